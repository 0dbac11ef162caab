"""The key that an APK is signed with: the user's own from a PKCS#12 keystore, or a debug key made once per user."""

from __future__ import annotations

import datetime
import hashlib
import os
import shlex
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

from edgekit.core import files
from edgekit.core.errors import OutputError, PackageError
from edgekit.runtime.spec import printable

PASSWORD_VARIABLE = "EDGEKIT_KEYSTORE_PASSWORD"
MAX_KEYSTORE_BYTES = 4 << 20

# Of APK Signature Scheme v2 and v3: RSASSA-PKCS1-v1_5 and ECDSA, each with SHA-256.
_RSA, _ECDSA = 0x0103, 0x0201
_MIN_RSA_BITS = 2048
_DEBUG_KEY = "android-debug.pem"
_YEARS = 30  # an app is updated with the key it was installed with
_JAVA_STORES = {b"\xfe\xed\xfe\xed": "JKS", b"\xce\xce\xce\xce": "JCEKS"}


@dataclass(frozen=True)
class SigningKey:
    """A private key with its certificate (DER)."""

    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    certificate: bytes

    @property
    def algorithm(self) -> int:
        """What APK signatures call this kind of key."""
        return _RSA if isinstance(self.private, rsa.RSAPrivateKey) else _ECDSA

    @property
    def public(self) -> bytes:
        """The public key (DER, SubjectPublicKeyInfo)."""
        return self.private.public_key().public_bytes(Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hexadecimal: what `apksigner verify --print-certs` shows."""
        return hashlib.sha256(self.certificate).hexdigest()

    def sign(self, content: bytes) -> bytes:
        """A signature that is the same whenever the same is signed; ECDSA's by RFC 6979."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(content, padding.PKCS1v15(), hashes.SHA256())
        try:
            return self.private.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        except UnsupportedAlgorithm:  # OpenSSL before 3.2
            return self.private.sign(content, ec.ECDSA(hashes.SHA256()))


def from_keystore(path: Path, alias: str | None, ask: Callable[[], str]) -> SigningKey:
    """The key in a PKCS#12 keystore, as keytool and Android Studio write it.

    Args:
        path: the keystore.
        alias: the name of its key; None takes the only one.
        ask: gives the password; called once the file is known to be a keystore.

    Raises:
        PackageError: it is no such keystore, its password or the alias is another, or its key cannot sign an APK.
    """
    name = printable(str(path))
    content = _read(path, name)
    try:
        store = pkcs12.load_pkcs12(content, ask().encode())
    except ValueError as error:
        if "password" in str(error).lower():
            raise PackageError(
                f"The password of {name} is wrong, or the file is damaged.",
                f"Set {PASSWORD_VARIABLE}, or leave it unset to be asked.",
            ) from None
        raise PackageError(
            f"{name} is no PKCS#12 keystore, or a damaged one.",
            "keytool and Android Studio make one: keytool -genkeypair -storetype PKCS12 …",
        ) from None
    except UnsupportedAlgorithm:
        raise PackageError(f"{name} is encrypted in a way that is too old.", _convert(name)) from None
    if store.key is None or store.cert is None:
        raise PackageError(f"{name} holds no key with a certificate.", "Name the keystore with the signing key.")
    _check_alias(store, alias, name)
    return _signing_key(store.key, store.cert.certificate, name)


def debug_key() -> SigningKey:
    """The user's own debug key: RSA with 2048 bits, made at the first call, in their folder of settings.

    Raises:
        OutputError: it cannot be written.
        PackageError: what is in its place is something else.
    """
    path = files.config_dir() / _DEBUG_KEY
    with suppress(FileExistsError):
        if not path.exists():
            _make_debug_key(path)
    name = printable(str(path))
    try:
        content = _read(path, name)
        private = serialization.load_pem_private_key(content, None)
        certificate = x509.load_pem_x509_certificate(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise PackageError(
            f"{name} is damaged.",
            "Delete it for a new one; apps signed with the old key must then be uninstalled before they are updated.",
        ) from None
    return _signing_key(private, certificate, name)


def _make_debug_key(path: Path) -> None:
    """Write a new key; FileExistsError when another process was faster, whose key stays."""
    private = rsa.generate_private_key(65537, _MIN_RSA_BITS)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgekit debug")])
    today = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=365 * _YEARS))
        .sign(private, hashes.SHA256())
    )
    content = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    content += certificate.public_bytes(Encoding.PEM)
    try:
        handle, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(part, path)  # unlike a renaming, it never replaces a key that another process has used by now
        finally:
            os.unlink(part)
    except FileExistsError:
        raise
    except OSError as error:
        raise OutputError(
            f"Cannot write the debug key {printable(str(path))}: {error.strerror}.",
            "Set XDG_CONFIG_HOME to a folder that you can write, or sign with --keystore.",
        ) from error


def _read(path: Path, name: str) -> bytes:
    try:
        if not path.is_file():
            raise PackageError(f"{name} does not exist, or is no file.", "Name the keystore with the signing key.")
        if path.stat().st_size > MAX_KEYSTORE_BYTES:
            raise PackageError(f"{name} is too large to be a keystore.", "Name the keystore with the signing key.")
        content = path.read_bytes()
    except OSError as error:
        raise PackageError(f"Cannot read {name}: {error.strerror}.", "Check its permissions.") from error
    kind = _JAVA_STORES.get(content[:4])
    if kind:
        raise PackageError(f"{name} is a {kind} keystore, Java's old format; PKCS#12 is needed.", _convert(name))
    return content


def _convert(name: str) -> str:
    source, target = shlex.quote(name), shlex.quote(f"{Path(name).stem}.pkcs12")
    arguments = f"-srckeystore {source} -destkeystore {target} -deststoretype PKCS12"
    return f"Convert it with: keytool -importkeystore {arguments}"


def _check_alias(store: pkcs12.PKCS12KeyAndCertificates, alias: str | None, name: str) -> None:
    """Of a keystore with several keys the library gives the first; it must be the wanted one.

    What is not in the chain of the key's certificate belongs to another key. Names do not tell them apart: the
    certificates of one person's keys have the same.
    """
    assert store.cert is not None
    own = _alias(store.cert)
    issuers, current = [], store.cert.certificate
    for other in store.additional_certs:  # a chain is stored in its order
        if _issued(other.certificate, current):
            issuers.append(other)
            current = other.certificate
    others = [_alias(other) for other in store.additional_certs if other not in issuers]
    if alias is None and others:
        raise PackageError(f"{name} holds several keys: {', '.join([own, *others])}.", "Name one with --key-alias.")
    if alias is None or alias.lower() == own.lower():  # keytool's aliases have no case
        return
    shown = printable(alias)
    if alias.lower() in (other.lower() for other in others):
        raise PackageError(
            f"edgekit reads only the first key of a keystore, and in {name} that is {own!r}.",
            f"Take {shown} out of it: keytool -importkeystore -srckeystore {shlex.quote(name)} "
            f"-srcalias {shlex.quote(shown)} -destkeystore {shlex.quote(f'{shown}.p12')} -deststoretype PKCS12",
        )
    raise PackageError(f"{name} has no key {shown!r}; it has {', '.join([own, *others])}.", "Change --key-alias.")


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _alias(certificate: pkcs12.PKCS12Certificate) -> str:
    return printable((certificate.friendly_name or b"").decode(errors="replace")) or "one without a name"


def _signing_key(private: object, certificate: x509.Certificate, name: str) -> SigningKey:
    weak = isinstance(private, rsa.RSAPrivateKey) and private.key_size < _MIN_RSA_BITS
    if weak or not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise PackageError(
            f"The key in {name} cannot sign an app: RSA of {_MIN_RSA_BITS} bits or more or an elliptic curve can.",
            "Make one with: keytool -genkeypair -storetype PKCS12 -keyalg RSA -keysize 2048 -validity 10000 …",
        )
    return SigningKey(private, certificate.public_bytes(Encoding.DER))
