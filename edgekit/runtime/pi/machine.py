"""What the machine says of itself: its name, its heat, whether it is being slowed down, the program's memory."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path("/")

# `vcgencmd get_throttled`, by bit; the upper ones say what has happened since the start (Raspberry Pi documentation).
_THROTTLED = {
    0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit",
    16: "under-voltage has occurred", 17: "frequency cap has occurred", 18: "throttling has occurred",
    19: "soft temperature limit has occurred",
}


def name(root: Path = ROOT) -> str:
    """As in "Raspberry Pi 4 Model B Rev 1.5"; elsewhere the processor's architecture."""
    model = _read(root / "proc/device-tree/model").rstrip("\0").strip()
    return model or f"Linux on {platform.machine()}"


def system(root: Path = ROOT) -> str:
    """As in "Debian GNU/Linux 12 (bookworm), Python 3.11.2"."""
    found = re.search(r'^PRETTY_NAME="?([^"\n]*)', _read(root / "etc/os-release"), re.MULTILINE)
    return f"{found[1] if found else platform.system()}, Python {platform.python_version()}"


def temperature(root: Path = ROOT) -> float | None:
    """The processor's temperature in degrees Celsius; None where the kernel does not say."""
    found: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        text = _read(zone / "temp").strip()
        if re.fullmatch(r"\d{1,6}", text):
            found.setdefault(_read(zone / "type").strip(), int(text) / 1000)
    return found.get("cpu-thermal", max(found.values(), default=None))


def throttled() -> list[str] | None:
    """What slows a Raspberry Pi down, now or since its start; None where vcgencmd is not there to ask."""
    try:
        done = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return flags(done.stdout)


def flags(answer: str) -> list[str] | None:
    """The words for vcgencmd's answer, as in `throttled=0x50005`; None for another answer."""
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]{1,8})\s*", answer)
    if not found:
        return None
    bits = int(found[1], 16)
    return [words for bit, words in _THROTTLED.items() if bits >> bit & 1]


def memory_mb(root: Path = ROOT) -> dict[str, float]:
    """The program's resident memory now, and its peak, in MB; empty where the kernel does not say."""
    status = _read(root / "proc/self/status")
    names = {"VmRSS": "resident", "VmHWM": "peak"}
    return {names[key]: round(int(kilobytes) * 1024 / 1e6, 1)
            for key, kilobytes in re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB$", status, re.MULTILINE)}


def threads() -> int:
    """How many threads the model is given: one for each core that this program may use, at most 4."""
    return max(1, min(4, len(os.sched_getaffinity(0))))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
