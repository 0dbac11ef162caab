"""A phone that is not there: the stand-in for adb (`fake_adb.py`), with a folder of its own."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import device_reports
from tests.device.apks import apk

SOURCE = Path(__file__).with_name("fake_adb.py")


@dataclass(frozen=True)
class Phone:
    """What the stand-in does and what it was asked; `app` is an APK for it, and `report` what that writes."""

    folder: Path
    app: Path
    model: Path

    def set(self, **scenario: Any) -> None:
        """Say what happens: the keys are those of `DEFAULTS` in `fake_adb.py`."""
        (self.folder / "scenario.json").write_text(json.dumps(scenario))

    def writes(self, report: dict[str, Any]) -> None:
        """Say which report the app writes."""
        device_reports.write(self.folder / "report.json", report)

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of all calls."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def files(self) -> list[str]:
        """The names of the files on the device."""
        return sorted(path.name for path in (self.folder / "files").rglob("*") if path.is_file())

    def environment(self) -> dict[str, str]:
        """The environment that leads to it."""
        return {"PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "FAKE_PHONE": str(self.folder)}


def plug_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """A phone at which all goes well, unless the test says otherwise; `folder` gets the APK and the phone."""
    home, model = folder / "phone", device_reports.model(folder / "model.tflite")
    program = home / "bin" / "adb"
    program.parent.mkdir(parents=True)
    # -S: it is started a thousand times and needs no installed packages.
    program.write_text(f"#!{sys.executable} -IS\n{SOURCE.read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)
    made = Phone(home, apk(folder / "app.apk", model), model)
    made.set()
    made.writes(device_reports.report(model))
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    return made
