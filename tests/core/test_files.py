"""Files are complete or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.core import files
from edgekit.core.errors import OutputError


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_writes_what_it_is_given(tmp_path: Path) -> None:
    files.write_bytes(tmp_path / "a.bin", b"\x00\xff")
    files.write_text(tmp_path / "a.txt", "grün\n")
    files.copy(tmp_path / "a.bin", tmp_path / "b.bin")
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a.txt").read_bytes() == "grün\n".encode()
    assert names(tmp_path) == ["a.bin", "a.txt", "b.bin"]


def test_a_new_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    files.write_bytes(tmp_path / "made", b"")
    usual, made = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "made"))
    assert made == usual


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    target.write_bytes(b"old")
    with files.replacing(target) as part:
        part.write_bytes(b"new")
        assert target.read_bytes() == b"old"
        assert part.parent == target.parent  # a rename is only atomic within one file system
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["model.tflite"]


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    for mode in (0o600, 0o444, 0o775):
        target.touch()
        target.chmod(mode)
        files.write_bytes(target, b"new")
        assert stat.S_IMODE(target.stat().st_mode) == mode
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("existed", [True, False])
def test_a_symbolic_link_is_followed(tmp_path: Path, existed: bool) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "links").mkdir()
    real, link = tmp_path / "real" / "v1.tflite", tmp_path / "links" / "model.tflite"
    if existed:
        real.write_bytes(b"old")
    link.symlink_to("../real/v1.tflite")
    with files.replacing(link) as part:
        assert part.parent == real.parent
        part.write_bytes(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert (names(tmp_path / "real"), names(tmp_path / "links")) == (["v1.tflite"], ["model.tflite"])


def test_a_symbolic_link_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").symlink_to("missing/v1.tflite")
    with pytest.raises(OutputError, match=r"folder .*missing does not exist"):
        files.check_target(tmp_path / "model.tflite")


def write_half(target: Path, failure: type[BaseException] | BaseException) -> None:
    with files.replacing(target) as part:
        part.write_bytes(b"half")
        raise failure


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("existed", [True, False])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, exception: type[BaseException], existed: bool
) -> None:
    target = tmp_path / "model.tflite"
    if existed:
        target.write_bytes(b"old")
    with pytest.raises(exception):
        write_half(target, exception)
    assert names(tmp_path) == (["model.tflite"] if existed else [])
    assert not existed or target.read_bytes() == b"old"


@pytest.mark.parametrize("name", ["model.tflite", "model[1].tflite", "*.tflite"])
def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path, name: str) -> None:
    orphan = tmp_path / f".{name}.{dead_pid()}.part"
    others = [
        tmp_path / f".{name}.{os.getppid()}.part",  # a process at work
        tmp_path / f".{name}.mine.part",  # not edgekit's
        tmp_path / f".model1.tflite.{dead_pid()}.part",  # of another file
    ]
    for path in (orphan, *others):
        path.write_bytes(b"half")
    files.write_bytes(tmp_path / name, b"new")
    assert names(tmp_path) == sorted([name, *(path.name for path in others)])


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    target.write_bytes(b"old")
    code = (
        "import os, sys; from pathlib import Path; from edgekit.core import files\n"
        "with files.replacing(Path(sys.argv[1])) as part: part.write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)]).returncode == -9
    assert target.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    files.write_bytes(target, b"new")
    assert names(tmp_path) == ["model.tflite"]


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("missing", "file", "file/below"):
        with pytest.raises(OutputError, match=r"folder .* does not exist") as caught:
            files.write_bytes(tmp_path / folder / "x.tflite", b"")
        assert caught.value.exit_code == 2
        assert str(tmp_path / folder) in caught.value.message
    assert names(tmp_path) == ["file"]


def test_only_ordinary_files_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        files.write_bytes(tmp_path / "folder", b"")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not an ordinary file"):
        files.write_bytes(tmp_path / "pipe", b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    assert names(tmp_path) == ["folder", "pipe"]


@pytest.mark.parametrize("folder", ["/proc", "/sys"])
def test_a_folder_that_takes_no_files(folder: str) -> None:
    """Even root cannot write here."""
    with pytest.raises(OutputError, match=f"Cannot write {folder}/x.tflite"):
        files.write_bytes(Path(folder, "x.tflite"), b"")


def test_a_folder_of_somebody_else_is_met_before_the_work(tmp_path: Path) -> None:
    """Root may write anywhere, and becomes nobody for this."""
    code = (
        "import os; from pathlib import Path; from edgekit.core import errors, files\n"
        "if os.getuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: files.check_target(Path('x.tflite'))\n"
        "except errors.OutputError as error: print(error.message)"
    )
    tmp_path.chmod(0o555)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
    tmp_path.chmod(0o755)
    assert result.stdout == "Cannot write x.tflite: its folder takes no files of yours.\n"


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        files.write_bytes(tmp_path / ("x" * 300), b"")
    assert names(tmp_path) == []


def test_a_name_with_control_characters_is_shown_without_them(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        files.write_bytes(tmp_path / "\x1b[31m" / "x", b"")
    assert "\x1b" not in str(caught.value)


def write(source: Path, target: Path) -> None:
    files.write_bytes(target, source.read_bytes())


@pytest.mark.parametrize("how", [files.copy, write])
def test_a_full_disk(tmp_path: Path, how: Callable[[Path, Path], None]) -> None:
    """The part lies on /dev/full, which has no space left for anything."""
    source, target = tmp_path / "source.tflite", tmp_path / "model.tflite"
    source.write_bytes(bytes(1000))
    target.write_bytes(b"old")
    (tmp_path / f".{target.name}.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OutputError) as caught:
        how(source, target)
    assert caught.value.message == f"Cannot write {target}: {os.strerror(errno.ENOSPC)}."
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.tflite", "source.tflite"]


def test_a_full_disk_met_by_a_copy_within_the_kernel(tmp_path: Path) -> None:
    """What `shutil.copyfile` raises on a full tmpfs: the source comes first."""
    target = tmp_path / "model.tflite"
    part = tmp_path / f".{target.name}.{os.getpid()}.part"
    failure = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "source.tflite"), None, str(part))
    with pytest.raises(OutputError, match=f"Cannot write {target}: No space left on device"):
        write_half(target, failure)
    assert names(tmp_path) == []


def test_a_file_that_grows_too_large(tmp_path: Path) -> None:
    target = tmp_path / "model.tflite"
    target.write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path; from edgekit.core import errors, files\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: files.write_bytes(Path(sys.argv[1]), bytes(5000))\n"
        "except errors.OutputError as error: print(error.message)"
    )
    result = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=True)
    assert result.stdout == f"Cannot write {target}: File too large.\n"
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["model.tflite"]


def test_a_source_that_cannot_be_read_is_not_the_target_s_fault(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        files.copy(tmp_path / "missing", tmp_path / "target")
    assert names(tmp_path) == []


def test_sha256(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    files.write_bytes(tmp_path / "x", content)
    assert files.sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_the_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEKIT_CACHE", str(tmp_path / "own"))
    assert files.cache_dir() == tmp_path / "own"
    monkeypatch.delenv("EDGEKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert files.cache_dir() == tmp_path / "xdg" / "edgekit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert files.cache_dir() == tmp_path / "home" / ".cache" / "edgekit"
    assert (tmp_path / "home" / ".cache" / "edgekit").is_dir()


def test_the_folder_of_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "a" / "b"))
    folder = files.config_dir()
    assert folder == tmp_path / "a" / "b" / "edgekit" == files.config_dir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.config_dir() == tmp_path / ".config" / "edgekit"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="Cannot make the folder"):
        files.config_dir()
