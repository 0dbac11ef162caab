"""APK Signature Scheme v2 and v3 (source.android.com, "Application signing"), for Android 8 and newer.

The signing block lies between the archive's contents and its central directory. It holds a signature of the digest of
all the rest, once for each scheme: Android 9 and newer read v3, older ones v2.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.package.android.keys import SigningKey

MAGIC = b"APK Sig Block 42"
ALIGNMENT = 4096  # of the block's size, so that the central directory starts on a page when the block does

_CHUNK = 1 << 20
_V2, _V3, _PADDING = 0x7109871A, 0xF05368C0, 0x42726577
_STRIPPING_PROTECTION = 0xBEEFF00D
_FIRST_WITH_V3, _NO_LAST = 28, 0x7FFFFFFF  # API levels


def signing_block(contents: memoryview, directory: bytes, end: bytes, key: SigningKey) -> tuple[bytes, bytes]:
    """The signing block of an archive, and its end record, changed to say where the central directory is then.

    Args:
        contents: everything before the central directory.
        directory, end: from `archive.write`; the end record without a comment.
        key: signs with SHA-256.
    """
    # The end record is digested as if the central directory started where the signing block does.
    digest = _digest(contents, memoryview(directory), memoryview(end))
    algorithm = struct.pack("<I", key.algorithm)
    digests = _prefixed(_prefixed(algorithm + _prefixed(digest)))
    certificates = _prefixed(_prefixed(key.certificate))

    def signatures(signed: bytes) -> bytes:
        return _prefixed(_prefixed(algorithm + _prefixed(key.sign(signed))))

    # So that nobody can cut out v3 and offer v2 alone to a device that reads both.
    attributes = _prefixed(_prefixed(struct.pack("<II", _STRIPPING_PROTECTION, 3)))
    signed = digests + certificates + attributes
    v2 = _prefixed(_prefixed(_prefixed(signed) + signatures(signed) + _prefixed(key.public)))
    levels = struct.pack("<II", _FIRST_WITH_V3, _NO_LAST)
    signed = digests + certificates + levels + _prefixed(b"")
    v3 = _prefixed(_prefixed(_prefixed(signed) + levels + signatures(signed) + _prefixed(key.public)))

    pairs = _pair(_V2, v2) + _pair(_V3, v3)
    frame = 8 + 8 + len(MAGIC)  # the size twice, and the magic number
    pairs += _pair(_PADDING, bytes(-(len(pairs) + 12 + frame) % ALIGNMENT))
    size = struct.pack("<Q", len(pairs) + frame - 8)
    block = size + pairs + size + MAGIC
    (start,) = struct.unpack_from("<I", end, 16)
    return block, end[:16] + struct.pack("<I", start + len(block)) + end[20:]


def _digest(*sections: memoryview) -> bytes:
    """SHA-256 over the SHA-256 of each megabyte, no chunk reaching from one section into the next."""
    chunks = [hashlib.sha256(b"\xa5" + struct.pack("<I", len(chunk)) + chunk).digest() for chunk in _chunks(sections)]
    return hashlib.sha256(b"\x5a" + struct.pack("<I", len(chunks)) + b"".join(chunks)).digest()


def _chunks(sections: tuple[memoryview, ...]) -> Iterator[bytes]:
    for section in sections:
        for at in range(0, len(section), _CHUNK):
            yield bytes(section[at : at + _CHUNK])


def _prefixed(content: bytes) -> bytes:
    return struct.pack("<I", len(content)) + content


def _pair(name: int, content: bytes) -> bytes:
    return struct.pack("<QI", 4 + len(content), name) + content
