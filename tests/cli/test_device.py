"""`edgekit device run` on the command line, against the stand-in of `tests/device/fake_adb.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.device import android
from tests import device_reports
from tests.cli.conftest import Run
from tests.device.phones import Phone, plug_in


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    monkeypatch.setattr(android, "POLL_SECONDS", 0.0)
    return plug_in(tmp_path, monkeypatch)


def test_a_run_prints_what_validate_does(run: Run, phone: Phone, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    ran = run("device", "run", "android:PHONE1", phone.app, "-o", output)
    assert (ran.code, ran.err) == (0, "Testing on the device …\n")
    lines = ran.out.splitlines()
    assert lines[-1] == f"wrote {output}"
    assert lines[-2].startswith("PASS app.apk on Stand-in 1: cpu gives all 6 golden answers")
    again = run("validate", phone.model, "--device-report", output)
    assert again.code == 0
    assert again.out.splitlines()[:-1] == lines[:-2]


def test_exit_codes(run: Run, phone: Phone, tmp_path: Path) -> None:
    output = tmp_path / "report.json"
    wrong = device_reports.off_by(device_reports.answers(phone.model), 0.5)
    phone.writes(device_reports.report(phone.model, device_reports.run("cpu", wrong)))
    ran = run("device", "run", "android", phone.app, "-o", output, "--json")
    assert (ran.code, ran.json["judgement"]["outcome"]) == (1, "fail")
    phone.set(devices=[])
    assert run("device", "run", "android", phone.app, "-o", output).code == 2
    phone.set(error="Something broke.")
    ran = run("device", "run", "android", phone.app, "-o", output)
    assert ran.code == 3
    assert "Error: The self-test of com.example.birds failed: Something broke." in ran.err


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["pi", "a.apk", "-o", "r.json"], "'pi' is no phone; write android, or android:SERIAL."),
    (["android:", "a.apk", "-o", "r.json"], "'android:' is no phone"),
    (["android", "b.tar.gz", "-o", "r.json"], "b.tar.gz is no APK; a bundle for the Raspberry Pi goes to [USER@]HOST."),
    (["android", "a.apk", "-o", "r.json", "--ssh-config", "c"], "--ssh-config goes with a bundle"),
    (["pi@host", "b.tar.gz", "-o", "r.json", "--sustained", "60"], "--sustained goes with an app"),
    (["android", "a.apk"], "Missing option '-o'"),
    (["android", "-o", "r.json"], "Missing argument 'APP.apk|BUNDLE.tar.gz'"),
    (["android", "a.apk", "-o", "r.json", "--sustained", "5"], "5 is not in the range 10<=x<=3600"),
    (["android", "nowhere.apk", "-o", "r.json"], "nowhere.apk cannot be read: No such file or directory."),
])
def test_wrong_usage(run: Run, arguments: list[str], complaint: str) -> None:
    ran = run("device", "run", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
