"""`edgekit device run USER@HOST`: install a bundle on a Raspberry Pi, let it test and measure itself, judge its report.

The system's `ssh` does the talking, with its own configuration, keys and known hosts; one connection is shared by all
calls, so a password is asked for once. There is no shell on this side; on the other one, every word is quoted.
"""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from edgekit.core import files
from edgekit.core.errors import DeviceError, DeviceRunFailed
from edgekit.device.bundle_file import read_bundle
from edgekit.runtime.spec import printable
from edgekit.validate.device import DeviceValidation, checkable_spec, validate_device_report
from edgekit.validate.device_report import MAX_BYTES

REMOTE = "edgekit"  # in the user's home folder there: one folder for each bundle
CALL_SECONDS, INSTALL_SECONDS, TEST_SECONDS = 60.0, 1800.0, 900.0
_SSH_FAILED = 255

Progress = Callable[[int, int, str], None]


def run(host: str, bundle: Path, output: Path, *, config: Path | None = None,
        on_progress: Progress | None = None) -> DeviceValidation:
    """Copy a bundle to a machine, install it there, let it benchmark itself, write its report, and judge it.

    It stays in the folder `edgekit/NAME` of the user's home there; an older one of the same name is replaced, and its
    Python environment is used again. Debian packages are not installed: that needs the user's password there.

    Args:
        host: as `ssh` takes it: HOST, USER@HOST, or a name of its configuration.
        bundle: what `edgekit package pi` made.
        output: the report to write; also when the gate says no.
        config: another configuration of `ssh` than the user's.
        on_progress: told what is going on.

    Raises:
        DataError, SpecError: the bundle is none of edgekit's, or its model has no golden answers.
        DeviceError: the host's name is none, there is no ssh, or it cannot connect.
        DeviceRunFailed: the installation or the test fails there.
        OutputError: the report cannot be written.
    """
    files.check_target(output)
    say = on_progress or (lambda done, total, what: None)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        name, model = read_bundle(bundle, Path(folder))
        checkable_spec(model)
        with Remote(host, Path(folder), config) as remote:
            home = f"{REMOTE}/{name}"
            say(0, 0, "copying")
            remote.call(["mkdir", "-p", "--", home])
            with bundle.open("rb") as stream:
                remote.call(["tar", "-xzf", "-", "-C", REMOTE], source=stream, seconds=INSTALL_SECONDS)
            say(0, 0, "installing")
            # 1, of both: an answer is wrong; the report says which.
            remote.call([f"./{home}/install.sh", "--no-apt"], seconds=INSTALL_SECONDS, accepted=(0, 1))
            say(0, 0, "testing")
            report = remote.call([f"./{home}/classify", "--benchmark", "--json"], seconds=TEST_SECONDS, accepted=(0, 1))
        if len(report) > MAX_BYTES:
            raise DeviceRunFailed(f"The report of {printable(host)} is larger than {MAX_BYTES >> 20} MB.")
        fetched = Path(folder) / "report.json"
        fetched.write_bytes(report)
        found = validate_device_report(model, fetched)
        files.copy(fetched, output)
    return dataclasses.replace(found, path=output, candidate=bundle)


class Remote:
    """Commands on another machine through one connection of `ssh`.

    Args:
        host: as `run` takes it.
        folder: a private folder, for the connection's socket.
        config: as `run` takes it.

    Raises:
        DeviceError: the host's name is none, or there is no ssh.
    """

    def __init__(self, host: str, folder: Path, config: Path | None) -> None:
        # ssh takes a name that begins with a hyphen for an option, and options can name commands to be run here.
        if not host or host.startswith("-") or "@-" in host or any(c.isspace() or not c.isprintable() for c in host):
            raise DeviceError(f"{printable(host)!r} is no name of a host.",
                              "Write USER@HOST, as in pi@raspberrypi.local")
        program = shutil.which("ssh")
        if program is None:
            raise DeviceError("The program ssh is not on the PATH.", "Install it with: apt install openssh-client")
        self._host = host
        self._ssh = [program, *(["-F", str(config.absolute())] if config else []),
                     "-o", f"ControlPath={folder}/ssh", "-o", "ControlMaster=auto", "-o", "ControlPersist=600",
                     "-o", "ConnectTimeout=20", "-o", "ServerAliveInterval=15", "-T"]

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run([*self._ssh, "-O", "exit", "--", self._host], stdin=subprocess.DEVNULL, capture_output=True,
                           timeout=CALL_SECONDS, check=False)

    def call(self, command: Sequence[str], *, source: BinaryIO | None = None, seconds: float = CALL_SECONDS,
             accepted: Sequence[int] = (0,)) -> bytes:
        """Run a command there, in the user's home folder; gives what it printed.

        Args:
            command: its words; each arrives as it is.
            source: what it reads.
            seconds: how long it may take.
            accepted: the exit codes that are no failure, if the command printed something.

        Raises:
            DeviceError: there is no connection.
            DeviceRunFailed: it ends with another exit code, or takes too long.
        """
        where, what = printable(self._host), printable(Path(command[0]).name)
        try:
            done = subprocess.run([*self._ssh, "--", self._host, shlex.join(command)],
                                  stdin=subprocess.DEVNULL if source is None else source,
                                  capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise DeviceRunFailed(f"{what} on {where} did not end in {seconds:g} seconds.",
                                  "Look at that machine, and try again.") from None
        except OSError as error:
            raise DeviceError(f"Cannot start ssh: {error.strerror}.") from None
        if done.returncode == 0 or (done.returncode in accepted and done.stdout):
            return done.stdout
        said = _last_lines(done.stderr) or _last_lines(done.stdout) or f"exit code {done.returncode}"
        if done.returncode == _SSH_FAILED:
            raise DeviceError(f"ssh cannot reach {where}: {said}", f"`ssh {where}` must work first.")
        raise DeviceRunFailed(f"{what} on {where} failed: {said}")


def _last_lines(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return printable(" ".join(lines[-2:]))[:400]
