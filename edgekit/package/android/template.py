"""The app without a model, as `make android` builds it: compiled code and resources, native libraries, its project."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.core.errors import PackageError
from edgekit.runtime.spec import printable

PATH = Path(__file__).with_name("template.zip")
FORMAT = 1
FACTS = "template.json"
MAX_MEMBERS = 5000
MAX_UNPACKED = 512 << 20
_REPOSITORY = Path(__file__).resolve().parents[3] / "android_demo"


@dataclass(frozen=True)
class Facts:
    """`template.json`: what the template was built for; `page_size` is the one its libraries of an ABI are made for."""

    runtime: str
    app_id: str
    abis: tuple[str, ...]
    page_size: dict[str, int]
    icon: str


class Template:
    """An open template. Its members are checked (CRC-32) when they are read."""

    def __init__(self, path: Path) -> None:
        """Open a template.

        Raises:
            PackageError: it is missing, damaged, or of another edgekit.
        """
        if not path.exists():
            raise _missing()
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
            self._check()
            self.facts = _facts(json.loads(self._read(FACTS)))
        except (OSError, zipfile.BadZipFile, KeyError, TypeError, AttributeError, ValueError) as error:
            raise self._damaged() from error

    def app(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of what does not depend on the ABI, in the order of the names."""
        return self._below("apk/")

    def libraries(self, abi: str) -> Iterator[tuple[str, bytes]]:
        """Name (`lib/ABI/NAME`) and content of an ABI's native libraries, in the order of the names."""
        return ((f"lib/{abi}/{name}", content) for name, content in self._below(f"lib/{abi}/"))

    def project(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of the files of the Android Studio project."""
        return self._below("project/")

    def _below(self, folder: str) -> Iterator[tuple[str, bytes]]:
        for name in sorted(self._archive.namelist()):
            if name.startswith(folder) and not name.endswith("/"):
                yield name.removeprefix(folder), self._read(name)

    def _read(self, name: str) -> bytes:
        try:
            return self._archive.read(name)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
            raise self._damaged() from error

    def _check(self) -> None:
        members = self._archive.infolist()
        names = [PurePosixPath(member.filename) for member in members]
        if (
            len(members) > MAX_MEMBERS
            or sum(member.file_size for member in members) > MAX_UNPACKED
            or any(name.is_absolute() or ".." in name.parts or "\\" in str(name) for name in names)
            or len(set(names)) < len(names)
        ):
            raise ValueError("no template")

    def _damaged(self) -> PackageError:
        name = printable(str(self._path))
        return PackageError(f"The app's template {name} is damaged, or of another edgekit.", remedy())


def _facts(document: dict[str, Any]) -> Facts:
    if document["format"] != FORMAT:
        raise ValueError(document["format"])
    return Facts(
        runtime=str(document["runtime"]),
        app_id=str(document["app_id"]),
        abis=tuple(str(abi) for abi in document["abis"]),
        page_size={str(abi): int(size) for abi, size in document["page_size"].items()},
        icon=str(document["icon"]),
    )


def _missing() -> PackageError:
    return PackageError("The app's template has not been built.", remedy())


def remedy() -> str:
    """How to get a template."""
    if _REPOSITORY.is_dir():
        return "Build it with: make android (it needs a JDK and Maven)"
    return "The wheel of edgekit carries it: pip install --force-reinstall --no-deps edgekit"
