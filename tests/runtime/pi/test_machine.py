from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgekit.runtime.pi import machine


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


PI = {
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n',
    "sys/class/thermal/thermal_zone0/type": "gpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "90000\n",
    "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "51234\n",
    "proc/self/status": "Name:\tpython\nVmHWM:\t  100000 kB\nVmRSS:\t   50000 kB\n",
}


def test_a_pi(tmp_path: Path) -> None:
    root = write(tmp_path, PI)
    assert machine.name(root) == "Raspberry Pi 5 Model B Rev 1.0"
    assert machine.system(root).startswith("Debian GNU/Linux 13 (trixie), Python 3.")
    assert machine.temperature(root) == 51.234
    assert machine.memory_mb(root) == {"peak": 102.4, "resident": 51.2}


def test_where_nothing_is_said(tmp_path: Path) -> None:
    assert machine.name(tmp_path).startswith("Linux on ")
    assert machine.temperature(tmp_path) is None
    assert machine.memory_mb(tmp_path) == {}
    assert machine.system(tmp_path).startswith("Linux, Python ")


@pytest.mark.parametrize(("answer", "words"), [
    ("throttled=0x0\n", []),
    ("throttled=0x50005\n", ["under-voltage", "throttled", "under-voltage has occurred", "throttling has occurred"]),
    ("throttled=0x80008", ["soft temperature limit", "soft temperature limit has occurred"]),
    ("error=1", None), ("", None),
])
def test_throttling(answer: str, words: list[str] | None) -> None:
    assert machine.flags(answer) == words


def test_vcgencmd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.throttled() is None
    program = tmp_path / "vcgencmd"
    program.write_text("#!/bin/sh\necho throttled=0x1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin:/usr/bin")
    assert machine.throttled() == ["under-voltage"]
