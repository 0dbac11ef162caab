from __future__ import annotations

import datetime
import hashlib
import io
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from edgekit.package.android import archive, sign
from edgekit.package.android.archive import STORED, Entry
from edgekit.package.android.keys import SigningKey

if TYPE_CHECKING:
    from tests.conftest import Needs

ENTRIES = [Entry("AndroidManifest.xml", b"manifest" * 500), Entry("assets/model.tflite", bytes(3 << 20), STORED, 64)]
LEVELS = ("--min-sdk-version", "26")


def signing_key(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> SigningKey:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(day).not_valid_after(day.replace(year=2056)).sign(private, hashes.SHA256())
    )
    return SigningKey(private, certificate.public_bytes(Encoding.DER))


@pytest.fixture(scope="module", params=["rsa", "p256", "p384"])
def key(request: pytest.FixtureRequest) -> SigningKey:
    if request.param == "rsa":
        return signing_key(rsa.generate_private_key(65537, 2048))
    return signing_key(ec.generate_private_key(ec.SECP256R1() if request.param == "p256" else ec.SECP384R1()))


def signed(key: SigningKey, entries: list[Entry] = ENTRIES) -> bytes:
    stream = io.BytesIO()
    directory, end = archive.write(stream, entries)
    block, end = sign.signing_block(memoryview(stream.getvalue()), directory, end, key)
    return stream.getvalue() + block + directory + end


def verify(path: Path) -> subprocess.CompletedProcess[str]:
    """What Android's own checker says."""
    command = ["apksigner", "verify", "--verbose", "--print-certs", *LEVELS, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_apksigner_accepts_it(key: SigningKey, needs: Needs, tmp_path: Path) -> None:
    needs.program("apksigner", apt="apksigner")
    (tmp_path / "a.apk").write_bytes(signed(key))
    done = verify(tmp_path / "a.apk")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Verified using v1 scheme (JAR signing): false" in done.stdout
    assert "Verified using v2 scheme (APK Signature Scheme v2): true" in done.stdout
    assert "Verified using v3 scheme (APK Signature Scheme v3): true" in done.stdout
    assert f"Signer #1 certificate SHA-256 digest: {key.fingerprint}" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr


def test_one_flipped_bit_anywhere_is_rejected(needs: Needs, tmp_path: Path) -> None:
    needs.program("apksigner", apt="apksigner")
    content = signed(signing_key(ec.generate_private_key(ec.SECP256R1())))
    v2, v3 = (content.index(number.to_bytes(4, "little")) for number in (0x7109871A, 0xF05368C0))
    places = {
        "manifest": 100,
        "model": 2 << 20,
        "last byte of the model": content.index(b"APK Sig Block 42") - 4096 + 12,
        "v2": v2 + 60,
        "v3": v3 + 60,
        "central directory": content.rindex(b"PK\1\2") + 10,
        "end record": len(content) - 14,
    }
    for name, at in places.items():
        damaged = bytearray(content)
        damaged[at] ^= 1
        (tmp_path / "a.apk").write_bytes(damaged)
        assert verify(tmp_path / "a.apk").returncode != 0, name


def test_v3_cannot_be_cut_out(needs: Needs, tmp_path: Path) -> None:
    """The signature of v2 says that there is one of v3."""
    needs.program("apksigner", apt="apksigner")
    content = signed(signing_key(ec.generate_private_key(ec.SECP256R1())))
    without = content.replace((0xF05368C0).to_bytes(4, "little"), (0x12345678).to_bytes(4, "little"))
    (tmp_path / "a.apk").write_bytes(without)
    done = verify(tmp_path / "a.apk")
    assert done.returncode != 0
    assert "v3" in done.stdout + done.stderr


def test_the_block_ends_on_a_page(key: SigningKey) -> None:
    stream = io.BytesIO()
    directory, end = archive.write(stream, ENTRIES)
    block, signed_end = sign.signing_block(memoryview(stream.getvalue()), directory, end, key)
    assert len(block) % sign.ALIGNMENT == 0
    assert block.endswith(sign.MAGIC)
    assert int.from_bytes(signed_end[16:20], "little") == len(stream.getvalue()) + len(block)
    assert (signed_end[:16], signed_end[20:]) == (end[:16], end[20:])


def test_the_same_gives_the_same(key: SigningKey) -> None:
    assert signed(key) == signed(key)
    assert signed(key) != signed(key, ENTRIES[:1])


def test_the_fingerprint_is_that_of_the_certificate(key: SigningKey) -> None:
    assert key.fingerprint == hashlib.sha256(key.certificate).hexdigest()
