"""What a run needs to know of a bundle for the Raspberry Pi: its name, and the model in it."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

from edgekit.core import files
from edgekit.core.errors import DataError, EdgekitError
from edgekit.runtime.spec import printable

MAX_BYTES = 2 << 30
_MAX_FACTS = 1 << 16
_MODELS = ("model.tflite", "model.onnx")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")


def read_bundle(path: Path, folder: Path) -> tuple[str, Path]:
    """Copy the model in a bundle into a folder; gives the bundle's name and the model's path there.

    Raises:
        DataError: it cannot be read, is damaged, or no bundle that `edgekit package pi` made.
        OutputError: the model cannot be written.
    """
    name = printable(str(path))
    try:
        with tarfile.open(path, "r:gz") as archive:
            # The members are in the order of their names, so this is found soon; nothing is extracted by its path.
            facts = next((member for member in archive if re.fullmatch(r"[a-z0-9-]+/bundle\.json", member.name)), None)
            if facts is None:
                raise DataError(f"{name} is no bundle of edgekit: it has no bundle.json.",
                                "Make one with: edgekit package pi MODEL")
            found = json.loads(_content(archive, facts, _MAX_FACTS))
            bundle, model = str(found["name"]), str(found["model"])
            if found["edgekit_bundle"] != 1 or not _NAME.fullmatch(bundle) or model not in _MODELS:
                raise DataError(f"{name} is no bundle that this edgekit knows.", "Package the model again.")
            target = folder / model
            files.write_bytes(target, _content(archive, archive.getmember(f"{bundle}/{model}"), MAX_BYTES))
            return bundle, target
    except EdgekitError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from None
    except Exception as error:  # what tarfile, zlib and json raise about damaged files has no common base
        reason = printable(str(error))[:100] or type(error).__name__
        raise DataError(f"{name} is no bundle, or a damaged one: {reason}.") from None


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo, limit: int) -> bytes:
    stream = archive.extractfile(member) if member.isfile() and member.size <= limit else None
    if stream is None:
        raise tarfile.TarError(f"{member.name} is no file, or too large")
    return stream.read()
