from __future__ import annotations

import multiprocessing
import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edgekit.core.errors import OutputError, PackageError
from edgekit.package.android import keys
from tests.packaging import PASSWORD


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of settings with nothing in it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "new" / "settings"))
    return tmp_path / "new" / "settings" / "edgekit"


def test_the_debug_key_is_made_once_and_is_the_users_own(settings: Path) -> None:
    first = keys.debug_key()
    path = settings / "android-debug.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.stat().st_mode) == 0o700
    assert list(settings.iterdir()) == [path]
    content = path.read_bytes()
    assert keys.debug_key() == first or keys.debug_key().certificate == first.certificate
    assert path.read_bytes() == content
    assert isinstance(first.private, rsa.RSAPrivateKey)
    assert first.private.key_size == 2048
    certificate = x509.load_der_x509_certificate(first.certificate)
    assert certificate.not_valid_after_utc.year - certificate.not_valid_before_utc.year >= 29
    assert certificate.subject.rfc4514_string() == "CN=edgekit debug"


def _fingerprint(_: int) -> str:
    return keys.debug_key().fingerprint


def test_processes_that_start_together_get_one_key(settings: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        found = set(pool.map(_fingerprint, range(8), chunksize=1))
    assert found == {keys.debug_key().fingerprint}
    assert [path.name for path in settings.iterdir()] == ["android-debug.pem"]


def test_a_damaged_debug_key(settings: Path) -> None:
    keys.debug_key()
    path = settings / "android-debug.pem"
    for content in (b"", b"nonsense", path.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(PackageError, match=r"android-debug\.pem is damaged") as caught:
            keys.debug_key()
        assert "must then be uninstalled" in caught.value.hint


def test_no_place_for_a_debug_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="Cannot make the folder"):
        keys.debug_key()


@pytest.mark.parametrize(
    ("name", "kind"),
    [("rsa.p12", rsa.RSAPrivateKey), ("ec.p12", ec.EllipticCurvePrivateKey), ("legacy.p12", rsa.RSAPrivateKey)],
)
@pytest.mark.parametrize("alias", [None, "upload", "UPLOAD"])
def test_keystores_of_keytool(keystores: Path, name: str, kind: type, alias: str | None) -> None:
    key = keys.from_keystore(keystores / name, alias, lambda: PASSWORD)
    assert isinstance(key.private, kind)
    assert x509.load_der_x509_certificate(key.certificate).subject.rfc4514_string() == "CN=upload"
    assert key.sign(b"content") == key.sign(b"content")


def test_a_keystore_with_two_keys(keystores: Path) -> None:
    """Of one person, so that the name in both certificates is the same."""
    path = keystores / "two.p12"
    assert keys.from_keystore(path, "first", lambda: PASSWORD).certificate
    with pytest.raises(PackageError, match="holds several keys: first, second") as caught:
        keys.from_keystore(path, None, lambda: PASSWORD)
    assert caught.value.hint == "Name one with --key-alias."
    with pytest.raises(PackageError, match="only the first key of a keystore") as caught:
        keys.from_keystore(path, "second", lambda: PASSWORD)
    assert f"keytool -importkeystore -srckeystore {path} -srcalias second -destkeystore second.p12" in caught.value.hint


def test_an_alias_that_is_not_there(keystores: Path) -> None:
    with pytest.raises(PackageError, match="has no key 'other'; it has upload"):
        keys.from_keystore(keystores / "rsa.p12", "other", lambda: PASSWORD)


@pytest.mark.parametrize("password", ["", "other", PASSWORD.upper()])
def test_a_wrong_password(keystores: Path, password: str) -> None:
    with pytest.raises(PackageError, match=r"The password of .*rsa\.p12 is wrong") as caught:
        keys.from_keystore(keystores / "rsa.p12", None, lambda: password)
    assert "EDGEKIT_KEYSTORE_PASSWORD" in caught.value.hint
    assert password == "" or password not in str(caught.value)


def test_javas_old_keystore(keystores: Path, tmp_path: Path) -> None:
    old = tmp_path / "my keys.p12"  # whatever its name says
    shutil.copy(keystores / "old.jks", old)
    with pytest.raises(PackageError, match="is a JKS keystore") as caught:
        keys.from_keystore(old, None, pytest.fail)
    assert caught.value.hint == (
        f"Convert it with: keytool -importkeystore -srckeystore '{old}' -destkeystore 'my keys.pkcs12' "
        "-deststoretype PKCS12"
    )


@pytest.mark.parametrize("name", ["weak.p12", "edwards.p12"])
def test_keys_that_cannot_sign(keystores: Path, name: str) -> None:
    with pytest.raises(PackageError, match="cannot sign an app: RSA of 2048 bits or more"):
        keys.from_keystore(keystores / name, None, lambda: PASSWORD)


def test_what_is_no_keystore(keystores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PackageError, match="does not exist, or is no file"):
        keys.from_keystore(tmp_path / "nothing", None, pytest.fail)
    with pytest.raises(PackageError, match="does not exist, or is no file"):
        keys.from_keystore(tmp_path, None, pytest.fail)
    path = tmp_path / "a.p12"
    for content in (b"", b"nonsense", (keystores / "rsa.p12").read_bytes()[:700]):
        path.write_bytes(content)
        with pytest.raises(PackageError, match=r"a\.p12 is no PKCS#12 keystore"):
            keys.from_keystore(path, None, lambda: PASSWORD)
    monkeypatch.setattr(keys, "MAX_KEYSTORE_BYTES", 100)
    with pytest.raises(PackageError, match="too large"):
        keys.from_keystore(keystores / "rsa.p12", None, pytest.fail)
