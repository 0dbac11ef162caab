"""The Android Debug Bridge: the program `adb`, which reaches a phone by USB or network.

What a device answers is text of a stranger: it is only looked at, and shown as one printable line.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import DeviceError, DeviceRunFailed
from edgekit.runtime.spec import printable

CALL_SECONDS = 60.0
INSTALL_SECONDS = 600.0

# By state in `adb devices`: what is wrong, and what to do.
_STATES = {
    "unauthorized": ("has not allowed this computer to debug it",
                     "Unlock it and accept its question “Allow USB debugging?”."),
    "offline": ("does not answer", "Unplug it and plug it in again; then try `adb kill-server`."),
    "no permissions": ("may not be used by you", "Install udev rules (apt install android-sdk-platform-tools-common), "
                       "and plug it in again."),
}
_ENABLE = "Attach a phone with USB debugging switched on (Settings → System → Developer options), or start an emulator."

# By the code of a refused installation: what to do. {} is the app's id.
_INSTALL_HINTS = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": "An app of this id is installed that another key has signed. Remove it with "
    "`adb uninstall {}` (its data goes with it), or package with the same key or another --app-id.",
    "INSTALL_FAILED_NO_MATCHING_ABIS": "The APK has no libraries for this device's processor: package with --abi all.",
    "INSTALL_FAILED_VERSION_DOWNGRADE": "A newer version is installed: package with a higher --version, or remove it "
    "with `adb uninstall {}`.",
    "INSTALL_FAILED_OLDER_SDK": "The device's Android is older than the app allows (8.0).",
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": "Free some space on the device.",
    "INSTALL_FAILED_USER_RESTRICTED": "Allow the installation on the device's screen, and in its developer options.",
}


@dataclass(frozen=True)
class Reply:
    """What a call gave."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """What it says, in one line that can be shown."""
        said = (self.err.strip() or self.out.strip() or f"exit code {self.code}").splitlines()
        return printable(said[0].strip())[:300]


def find() -> str:
    """The path of `adb`.

    Raises:
        DeviceError: there is none.
    """
    program = shutil.which("adb")
    if program is None:
        raise DeviceError("The program adb, which reaches Android devices, is not on the PATH.",
                          "Install it with: apt install adb, brew install android-platform-tools, or Android's SDK "
                          "Platform-Tools.")
    return program


def choose(program: str, serial: str = "") -> Adb:
    """The device of this serial number, or the only one that is ready.

    Raises:
        DeviceError: there is none, it is not ready, or there are several.
        DeviceRunFailed: adb does not answer.
    """
    states = _devices(Adb(program, ""))
    if serial and serial not in states:
        there = ", ".join(map(printable, states)) or "none"
        raise DeviceError(f"adb sees no device {printable(serial)}; there are: {there}.", _ENABLE if not states else "")
    if not states:
        raise DeviceError("adb sees no device.", _ENABLE)
    wanted = [serial] if serial else list(states)
    ready = [name for name in wanted if states[name] == "device"]
    if len(ready) > 1:
        raise DeviceError(f"Several devices are attached: {', '.join(map(printable, ready))}.",
                          f"Name one of them, as in android:{printable(ready[0])}")
    if not ready:
        state = states[wanted[0]]
        trouble, hint = next((found for name, found in _STATES.items() if state.startswith(name)),
                             (f"is in the state “{printable(state)[:40]}”", "Start it normally, and try again."))
        raise DeviceError(f"The device {printable(wanted[0])} {trouble}.", hint)
    return Adb(program, ready[0])


def _devices(adb: Adb) -> dict[str, str]:
    """State by serial number."""
    reply = adb.call("devices")
    if reply.code:
        raise DeviceError(f"adb cannot list devices: {reply.line}", "Try `adb kill-server`.")
    _, _, listed = reply.out.partition("List of devices attached")
    rows = [line.split(None, 1) for line in listed.splitlines() if not line.startswith("*")]
    return {row[0]: row[1].strip() for row in rows if len(row) == 2}


@dataclass(frozen=True)
class Adb:
    """Calls of `adb` for one device; `serial` is empty where a call is about none."""

    program: str
    serial: str

    def call(self, *arguments: str, seconds: float = CALL_SECONDS) -> Reply:
        """Run `adb` with these arguments.

        Raises:
            DeviceError: it cannot be started.
            DeviceRunFailed: it takes longer than this.
        """
        command = [self.program, *(["-s", self.serial] if self.serial else []), *arguments]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                                  timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise DeviceRunFailed(f"`adb {arguments[0]}` gave no answer in {seconds:g} seconds.",
                                  "Look at the device's screen, and try again.") from None
        except OSError as error:
            raise DeviceError(f"Cannot start {printable(self.program)}: {error.strerror}.") from None
        return Reply(done.returncode, done.stdout, done.stderr)

    def shell(self, *arguments: str, seconds: float = CALL_SECONDS) -> Reply:
        """Run a command on the device. adb joins arguments by spaces and the device's shell parses them: so, quoted.

        Raises:
            DeviceRunFailed: the device is gone, or does not answer.
        """
        reply = self.call("shell", shlex.join(arguments), seconds=seconds)
        adb_complains = re.search(r"^(adb(\.exe)?|error): ", reply.err, re.MULTILINE)  # not the command
        if reply.code and adb_complains:
            raise DeviceRunFailed(f"The device {printable(self.serial)} does not answer any more: {reply.line}",
                                  "Check the cable or the network, and try again.")
        return reply

    def install(self, apk: Path, app_id: str) -> None:
        """Install an APK, or replace the one of the same id and signature.

        Raises:
            DeviceRunFailed: the device refuses it.
        """
        reply = self.call("install", "-r", str(apk.absolute()), seconds=INSTALL_SECONDS)
        said = f"{reply.out}\n{reply.err}"
        refusal = re.search(r"INSTALL_[A-Z_]+", said)
        if reply.code == 0 and not refusal and "Failure [" not in said:  # older versions of adb end with 0 all the same
            return
        failures = [line for line in said.splitlines() if "Failure" in line]
        reason = printable(failures[0].strip())[:300] if failures else reply.line
        raise DeviceRunFailed(f"The device {printable(self.serial)} does not take {printable(apk.name)}: {reason}",
                              _INSTALL_HINTS.get(refusal[0], "").format(app_id) if refusal else "")

    def pull(self, remote: str, target: Path) -> None:
        """Copy a file of the device.

        Raises:
            DeviceRunFailed: that fails.
        """
        reply = self.call("pull", remote, str(target.absolute()))
        if reply.code or not target.is_file():
            raise DeviceRunFailed(f"Cannot fetch {printable(remote)} from {printable(self.serial)}: {reply.line}",
                                  "Check the cable or the network, and try again.")
