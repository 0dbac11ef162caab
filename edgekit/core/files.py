"""Files that are either complete or not there."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgekit.core.errors import OutputError
from edgekit.runtime.spec import printable


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; rename it over `target` when the block succeeds.

    An existing target stays as it was until the new file is complete, which takes over its permissions; a symbolic
    link stays, and what it refers to is replaced. What an earlier, killed process left beside the target is removed
    first.

    Raises:
        OutputError: the folder or the file cannot be written (missing, read-only, disk full).
    """
    target = _behind_links(target)
    name, part = printable(str(target)), target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        check_target(target)
        _remove_orphans(target)
        part.touch()
        yield part
        if part.exists():
            with part.open("rb") as written:
                os.fsync(written.fileno())
            if target.exists():
                shutil.copymode(target, part)
            os.replace(part, target)
    except OSError as error:
        # Copying onto a full disk names the source first and the part second.
        names = {Path(str(found)).name for found in (error.filename, error.filename2) if found is not None}
        if names and not names & {part.name, target.name}:
            raise
        raise OutputError(f"Cannot write {name}: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            part.unlink()


def check_target(target: Path, option: str = "-o") -> None:
    """Raise OutputError when `target`, named by this option, cannot become a file: better now than after an hour."""
    target = _behind_links(target)
    name = printable(str(target))
    if target.exists() and not target.is_file():
        kind = "a folder" if target.is_dir() else "not an ordinary file"
        raise OutputError(f"{name} is {kind}.", f"Name a file to write with {option}.")
    if not target.parent.is_dir():
        folder = printable(str(target.parent))
        raise OutputError(f"The folder {folder} does not exist.", f"Make it first, or choose another {option}.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise OutputError(f"Cannot write {name}: its folder takes no files of yours.", f"Choose another {option}.")


def _behind_links(target: Path) -> Path:
    return Path(os.path.realpath(target)) if os.path.islink(target) else target


def _remove_orphans(target: Path) -> None:
    for orphan in target.parent.glob(f".{glob.escape(target.name)}.*.part"):
        owner = orphan.name.rsplit(".", 2)[-2]
        if owner.isdigit() and not _alive(int(owner)):
            with suppress(OSError):
                orphan.unlink()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_bytes(target: Path, content: bytes) -> None:
    """Write `content` to `target`, all of it or nothing."""
    with replacing(target) as part:
        part.write_bytes(content)


def write_text(target: Path, content: str) -> None:
    """Write `content` to `target` as UTF-8, all of it or nothing."""
    write_bytes(target, content.encode())


def copy(source: Path, target: Path) -> None:
    """Copy a finished file to `target`, all of it or nothing."""
    with replacing(target) as part:
        shutil.copyfile(source, part)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_dir() -> Path:
    """edgekit's own cache folder (EDGEKIT_CACHE, else the user's cache), made when missing."""
    base = os.environ.get("EDGEKIT_CACHE")
    folder = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def config_dir() -> Path:
    """edgekit's folder among the user's settings (XDG_CONFIG_HOME, else ~/.config), for them alone; made when missing.

    Raises:
        OutputError: it cannot be made.
    """
    folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "edgekit"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make the folder {printable(str(folder))}: {error.strerror}.",
            "Set XDG_CONFIG_HOME to a folder that you can write.",
        ) from error
    return folder
