"""What a run needs to know of an APK: the app's id, and the model in it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.core.errors import DataError, EdgekitError, OutputError
from edgekit.package.android import axml
from edgekit.runtime.modelfile import unpack, unpacked_limit
from edgekit.runtime.spec import printable

MANIFEST, MODEL = "AndroidManifest.xml", "assets/model.tflite"


def read_app(apk: Path, model: Path) -> str:
    """Copy the model in an APK of edgekit to `model`; gives the app's id.

    Raises:
        DataError: it cannot be read, is damaged, or no APK that `edgekit package android` made.
        OutputError: the model cannot be written.
    """
    name = printable(str(apk))
    with _refusing_damage(name), zipfile.ZipFile(apk) as archive:
        members = {member.filename: member for member in archive.infolist()}
        for wanted in (MANIFEST, MODEL):
            if wanted not in members:
                raise DataError(f"{name} is no app of edgekit: it has no {wanted}.",
                                "Make one with: edgekit package android MODEL.tflite")
        app_id = _app_id(b"".join(_content(archive, members[MANIFEST], axml.MAX_BYTES)))
        pieces = _content(archive, members[MODEL], unpacked_limit(apk.stat().st_size))
        with model.open("wb") as stream:
            while piece := next(pieces, b""):
                try:
                    stream.write(piece)
                except OSError as error:
                    raise OutputError(f"Cannot write {printable(str(model))}: {error.strerror}.",
                                      "Free some space, or point TMPDIR to a larger disk.") from error
    return app_id


@contextmanager
def _refusing_damage(name: str) -> Iterator[None]:
    """Turn what zipfile, zlib and the manifest's reader raise on damaged archives, which has no common base."""
    try:
        yield
    except EdgekitError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from None
    except Exception as error:
        reason = printable(str(error))[:100] or type(error).__name__
        raise DataError(f"{name} is no APK, or a damaged one: {reason}.") from None


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit: int) -> Iterator[bytes]:
    if member.file_size > limit:
        raise zipfile.BadZipFile(f"its {member.filename} has {member.file_size:,} bytes")
    return unpack(archive, member)


def _app_id(manifest: bytes) -> str:
    root = axml.Document(manifest).elements[0]
    app_id = root.required("package", namespace="").text
    if root.path != "manifest" or not re.fullmatch(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+", app_id, re.ASCII):
        raise axml.AxmlError("its manifest names no app")
    return app_id
