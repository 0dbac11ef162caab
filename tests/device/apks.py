"""Makes APKs that hold what a run reads: a compiled manifest that names an app, and a model."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path


def manifest(app_id: str) -> bytes:
    """A compiled `<manifest package="…"/>`, as AOSP's ResourceTypes.h lays it out."""
    strings = [text.encode("utf-16-le") for text in ("package", "manifest", app_id)]
    stored = [struct.pack("<H", len(text) // 2) + text + b"\0\0" for text in strings]
    offsets = [sum(map(len, stored[:index])) for index in range(len(stored))]
    data = b"".join(stored)
    data += b"\0" * (-len(data) % 4)
    start = 28 + 4 * len(strings)
    pool = struct.pack("<HHIIIIII", 0x0001, 28, start + len(data), len(strings), 0, 0, start, 0)
    pool += struct.pack(f"<{len(strings)}I", *offsets) + data
    none = 0xFFFFFFFF
    attribute = struct.pack("<IIIHBBI", none, 0, 2, 8, 0, 3, 2)
    element = struct.pack("<HHIIIIIHHHHHH", 0x0102, 16, 36 + len(attribute), 1, none, none, 1, 20, 20, 1, 0, 0, 0)
    end = struct.pack("<HHIIIII", 0x0103, 16, 24, 1, none, none, 1)
    body = pool + element + attribute + end
    return struct.pack("<HHI", 0x0003, 8, 8 + len(body)) + body


def apk(path: Path, model: Path, app_id: str = "com.example.birds") -> Path:
    """Write an APK with this model; gives the path."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", manifest(app_id), zipfile.ZIP_DEFLATED)
        archive.write(model, "assets/model.tflite")
    return path
