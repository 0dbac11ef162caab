"""A Raspberry Pi's software without a Pi: real Debian userlands and real ARM wheels, run by QEMU's user emulation.

Debian packages are only unpacked, into a folder, and QEMU takes that folder for the root of what the guest opens: no
root, no chroot, no container. It proves that things install, load and compute the same; nothing about speed. What is
fetched (through apt's own configured archive, and pip) is kept in the user's cache.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
QEMU_SUITE = "trixie"  # QEMU 7.2, of Debian 12, shows guests the processor of the host, and runtimes crash on that
MINUTES = 60

# glibc of each suite: the newest wheels that it takes.
_GLIBC = {"bookworm": 36, "trixie": 41}
_TAGS = (17, 24, 26, 27, 28, 31, 34, 35, 36, 38, 39, 40, 41)
_PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
_MACHINE = {"arm64": "aarch64", "armhf": "armv7l"}
_QEMU = {"arm64": "qemu-aarch64", "armhf": "qemu-arm"}
# 32-bit ARM has no wheels of these, so install.sh takes the distribution's.
_PACKAGES = {"arm64": ("python3", "libstdc++6"), "armhf": ("python3", "libstdc++6", "python3-numpy", "python3-pil")}


class FetchError(Exception):
    """A part cannot be fetched here; the message says why."""


@dataclass(frozen=True)
class System:
    """A Raspberry Pi OS as Debian has it: the suite, `arm64` or `armhf`, and the emulated processor."""

    suite: str
    architecture: str
    cpu: str

    @property
    def python(self) -> str:
        """The version of its Python, as in 3.11."""
        return _PYTHON[self.suite]

    @property
    def machine(self) -> str:
        """What `uname -m` says there."""
        return _MACHINE[self.architecture]

    def run(self, bundle: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a bundle's `classify`, with the wheels that its requirements.txt names for this system.

        Raises:
            FetchError: QEMU, the userland or the wheels cannot be fetched.
        """
        qemu, root = _emulator(self.architecture), _userland(self.suite, self.architecture)
        wheels = _wheels(self, (bundle / "requirements.txt").read_text(encoding="utf-8"))
        environment = {"PATH": "/usr/bin:/bin", "QEMU_CPU": self.cpu, "PYTHONPATH": str(wheels),
                       "PYTHONDONTWRITEBYTECODE": "1", "PYTHONNOUSERSITE": "1"}
        return subprocess.run([qemu, "-L", root, root / f"usr/bin/python{self.python}", bundle / "classify",
                               *arguments], capture_output=True, text=True, env=environment, timeout=10 * MINUTES,
                              check=False)


@functools.cache
def _emulator(architecture: str) -> Path:
    host = _run("dpkg", "--print-architecture").strip()
    with _made_once(f"qemu-{QEMU_SUITE}-{host}") as (folder, new):
        if new:
            _unpack(_debs(QEMU_SUITE, host, ("qemu-user",), folder / "debs", only="qemu-user_"), folder)
            shutil.rmtree(folder / "debs")
    return folder / "usr/bin" / _QEMU[architecture]


@functools.cache
def _userland(suite: str, architecture: str) -> Path:
    with _made_once(f"userland-{suite}-{architecture}") as (folder, new):
        if new:
            for name in ("bin", "lib", "sbin"):  # trixie's packages have no /lib, where the loader is looked for
                (folder / "usr" / name).mkdir(parents=True)
                (folder / name).symlink_to(f"usr/{name}")
            _unpack(_debs(suite, architecture, _PACKAGES[architecture], folder / "debs"), folder)
            shutil.rmtree(folder / "debs")
            # What update-alternatives does when these packages are installed; numpy looks for the links.
            found = (folder.glob(f"usr/lib/*/{name}/lib{name}.so.3") for name in ("blas", "lapack"))
            for library in itertools.chain(*found):
                link = library.parent.parent / library.name
                link.unlink(missing_ok=True)
                link.symlink_to(library.relative_to(link.parent))
    return folder


def _wheels(system: System, requirements: str) -> Path:
    """The packages of a requirements.txt as they are for a system, unpacked into one folder.

    pip asks markers about the Python that it runs in, not about the one that it fetches for; so they are asked here.
    """
    there = {"python_version": system.python, "platform_machine": system.machine}
    wanted = [Requirement(line) for line in requirements.splitlines() if line and not line.startswith("#")]
    chosen = sorted(f"{each.name}{each.specifier}" for each in wanted if not each.marker or each.marker.evaluate(there))
    if system.architecture == "armhf":
        chosen = [each for each in chosen if not each.startswith(("numpy", "pillow"))]
    digest = hashlib.sha256("\n".join(chosen).encode()).hexdigest()[:12]
    with _made_once(f"wheels-{system.suite}-{system.architecture}-{digest}") as (folder, new):
        if new:
            tags = [f"manylinux_2_{minor}_{system.machine}" for minor in _TAGS if minor <= _GLIBC[system.suite]]
            platforms = [f"--platform={tag}" for tag in (*tags, f"manylinux2014_{system.machine}")]
            _run(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
                 "--only-binary=:all:", "--implementation=cp", f"--python-version={system.python}", *platforms,
                 f"--target={folder / 'site'}", *chosen)
    return folder / "site"


def _debs(suite: str, architecture: str, packages: Sequence[str], folder: Path, only: str = "") -> list[Path]:
    """Fetch packages of any suite and architecture, with all that they depend on, by an apt with a state of its own."""
    archive = next(iter(sorted(set(_run(
        "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian",
    ).split()))), "")
    if not archive:
        raise FetchError("apt knows no Debian archive")
    state = folder / "apt"
    for name in ("lists/partial", "cache/archives/partial", "etc/apt.conf.d", "etc/preferences.d"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    (state / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {archive} {suite} main\n")
    (state / "apt.conf").write_text(f"""
Dir::Etc "{state}/etc";
Dir::Etc::sourcelist "{state}/etc/sources.list";
Dir::Etc::sourceparts "-";
Dir::Etc::parts "{state}/etc/apt.conf.d";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "5";
Debug::NoLocking "true";
""")
    environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf")}
    _run("apt-get", "-qq", "update", environment=environment)
    _run("apt-get", "-qq", "-y", "--download-only", "install", *packages, environment=environment)
    return sorted((state / "cache/archives").glob(f"{only}*.deb"))


def _unpack(debs: Sequence[Path], folder: Path) -> None:
    for deb in debs:
        content = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE)
        unpack = ["tar", "-x", "--keep-directory-symlink", "-C", str(folder)]
        done = subprocess.run(unpack, stdin=content.stdout, check=False)
        if content.wait() or done.returncode:
            raise FetchError(f"{deb.name} cannot be unpacked")


@contextmanager
def _made_once(name: str) -> Iterator[tuple[Path, bool]]:
    """A folder of the cache, and whether it is to be filled; half-filled ones are thrown away."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgekit-emulator"
    folder, done = base / name, base / name / ".done"
    if done.exists():
        yield folder, False
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder, True
    done.touch()


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=20 * MINUTES,
                              check=True).stdout
    except FileNotFoundError:
        raise FetchError(f"the program {command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise FetchError(f"{command[0]} took too long") from None
    except subprocess.CalledProcessError as error:
        raise FetchError(f"{' '.join(command[:2])} failed: {error.stderr.strip()[-300:]}") from None
