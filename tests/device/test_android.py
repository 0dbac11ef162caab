"""`edgekit device run android` against the stand-in for adb and a phone (`fake_adb.py`).

What adb and Android say here is what their manuals and sources say; no phone was asked.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import DataError, DeviceError, DeviceRunFailed, EdgekitError, OutputError, SpecError
from edgekit.device import adb, android
from edgekit.validate.device import DeviceValidation
from edgekit.validate.device_report import read_device_report
from tests import device_reports, models
from tests.device.apks import apk
from tests.device.phones import Phone

FILES = "/sdcard/Android/data/com.example.birds/files"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(android, "POLL_SECONDS", 0.0)


def run(phone: Phone, **arguments: Any) -> DeviceValidation:
    """Run the phone's app; the report goes to report.json beside the APK."""
    return android.run(phone.app, phone.app.with_name("report.json"), **arguments)


def refusal(phone: Phone, error: type[EdgekitError], **arguments: Any) -> str:
    """The message and the hint of the error that a run ends with, which must leave nothing behind."""
    with pytest.raises(error) as refused:
        run(phone, **arguments)
    assert not phone.app.with_name("report.json").exists()
    assert phone.files() == []
    assert list(phone.app.parent.glob("*.part")) == []
    return str(refused.value)


def test_a_run(phone: Phone) -> None:
    phone.set(looks=2)
    heard: list[str] = []
    found = run(phone, on_progress=lambda done, total, remark: heard.append(remark))
    assert (found.judgement.outcome, found.candidate) == ("pass", phone.app)
    assert read_device_report(found.path).chosen == "cpu"
    assert phone.files() == []
    assert heard[:2] == ["installing", "testing"]
    devices, install, start, *polls, pull, clean = phone.calls
    assert devices == ["devices"]
    assert install == ["-s", "PHONE1", "install", "-r", str(phone.app)]
    token = re.findall("--es run ([0-9a-f]{16})$", start[-1])[0]
    assert start == ["-s", "PHONE1", "shell",
                     f"am start -W -n com.example.birds/ai.edgekit.demo.ReportActivity --es run {token}"]
    assert {call[-1] for call in polls} == {"pidof com.example.birds", f"ls {FILES}"}
    assert pull[2:4] == ["pull", f"{FILES}/report-{token}.json"]
    assert clean[-1] == f"rm -f {FILES}/report-{token}.json {FILES}/report-{token}.error"


def test_what_the_gate_refuses_is_written_all_the_same(phone: Phone) -> None:
    wrong = device_reports.off_by(device_reports.answers(phone.model), 0.5)
    phone.writes(device_reports.report(phone.model, device_reports.run("cpu", wrong)))
    found = run(phone)
    assert found.failed(strict=False)
    assert found.path.exists()


def test_a_sustained_run(phone: Phone) -> None:
    phone.writes(device_reports.report(phone.model, sustained=device_reports.sustained()))
    found = run(phone, sustained=600)
    assert phone.calls[2][-1].endswith(" --ei sustained 600")
    assert found.throttling is not None


def test_one_device_of_several(phone: Phone) -> None:
    phone.set(devices=[["192.168.1.5:5555", "device"], ["PHONE1", "unauthorized"], ["PHONE2", "device"]])
    run(phone, serial="192.168.1.5:5555")
    assert phone.calls[1][:2] == ["-s", "192.168.1.5:5555"]
    said = refusal_of_choice(phone)
    assert said.splitlines() == ["Several devices are attached: 192.168.1.5:5555, PHONE2.",
                                 "Name one of them, as in android:192.168.1.5:5555"]


def test_the_only_one_that_is_ready_is_taken(phone: Phone) -> None:
    phone.set(devices=[["PHONE1", "offline"], ["PHONE2", "device"]])
    assert adb.choose(adb.find()).serial == "PHONE2"


def refusal_of_choice(phone: Phone, serial: str = "") -> str:
    with pytest.raises(DeviceError) as refused:
        adb.choose(adb.find(), serial)
    return str(refused.value)


@pytest.mark.parametrize(("devices", "serial", "said"), [
    ([], "", "adb sees no device.\nAttach a phone with USB debugging switched on"),
    ([], "X", "adb sees no device X; there are: none.\nAttach"),
    ([["A", "device"]], "X", "adb sees no device X; there are: A."),
    ([["A", "unauthorized"]], "", "The device A has not allowed this computer to debug it.\nUnlock it and accept"),
    ([["A", "device"], ["B", "unauthorized"]], "B", "The device B has not allowed this computer"),
    ([["A", "offline"]], "", "The device A does not answer.\nUnplug it"),
    ([["A", "no permissions (user in plugdev group; are your udev rules wrong?); see [the manual]"]], "",
     "The device A may not be used by you.\nInstall udev rules"),
    ([["A", "recovery"]], "", "The device A is in the state “recovery”.\nStart it normally"),
])
def test_a_device_that_is_not_there_or_not_ready(
    phone: Phone, devices: list[list[str]], serial: str, said: str,
) -> None:
    phone.set(devices=devices)
    assert refusal_of_choice(phone, serial).startswith(said)


def test_without_adb(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(phone.app.parent))
    said = refusal(phone, DeviceError)
    assert said.startswith("The program adb, which reaches Android devices, is not on the PATH.\nInstall it with: apt ")


@pytest.mark.parametrize("exits_with", [None, 0])
@pytest.mark.parametrize(("failure", "hint"), [
    ("INSTALL_FAILED_UPDATE_INCOMPATIBLE: Existing package com.example.birds signatures do not match newer version; "
     "ignoring!", "Remove it with `adb uninstall com.example.birds`"),
    ("INSTALL_FAILED_NO_MATCHING_ABIS: Failed to extract native libraries, res=-113", "package with --abi all"),
    ("INSTALL_FAILED_VERSION_DOWNGRADE", "package with a higher --version"),
    ("DELETE_FAILED_INTERNAL_ERROR", ""),
])
def test_an_installation_that_is_refused(phone: Phone, failure: str, hint: str, exits_with: int | None) -> None:
    phone.set(install=failure, install_exits_with=exits_with)
    said = refusal(phone, DeviceRunFailed)
    assert said.startswith("The device PHONE1 does not take app.apk: ")
    assert failure[:30] in said
    assert hint in said
    assert len(phone.calls) == 2, "nothing is started"


@pytest.mark.parametrize("complaint", [
    "Error type 3\nError: Activity class {com.example.birds/ai.edgekit.demo.ReportActivity} does not exist.",
    "java.lang.SecurityException: Permission Denial: starting Intent",
])
def test_an_app_that_cannot_be_started(phone: Phone, complaint: str) -> None:
    phone.set(start=complaint)
    said = refusal(phone, DeviceRunFailed)
    assert said.startswith(f"The app com.example.birds cannot be started: {complaint.splitlines()[-1]}")


@pytest.mark.parametrize("calls", [1, 2, 3, 4, 6, 7])
def test_a_device_that_vanishes(phone: Phone, calls: int) -> None:
    phone.set(vanishes_after=calls, looks=2)
    with pytest.raises(DeviceRunFailed, match="adb: device 'PHONE1' not found"):
        run(phone)
    assert not phone.app.with_name("report.json").exists()


def test_a_device_that_is_silent(phone: Phone, monkeypatch: pytest.MonkeyPatch) -> None:
    phone.set(hangs_on="install")
    monkeypatch.setattr(adb, "INSTALL_SECONDS", 0.5)
    assert refusal(phone, DeviceRunFailed).startswith("`adb install` gave no answer in 0.5 seconds.")


def test_no_report_in_time(phone: Phone) -> None:
    phone.set(looks=10**6)
    said = refusal(phone, DeviceRunFailed, limit_seconds=0.3)
    assert said.startswith("The app com.example.birds has written no report in 0.3 seconds.")
    assert ["-s", "PHONE1", "shell", "am force-stop com.example.birds"] in phone.calls


def test_what_the_app_says_when_it_fails(phone: Phone) -> None:
    phone.set(error="The model is damaged.\x1b[2J\nmore\n")
    said = refusal(phone, DeviceRunFailed)
    assert said == "The self-test of com.example.birds failed: The model is damaged.\N{REPLACEMENT CHARACTER}[2J"


@pytest.mark.parametrize("crashes", [1, 6])
def test_an_app_that_a_delegate_takes_down_is_started_again(phone: Phone, crashes: int) -> None:
    phone.set(crashes=crashes)
    heard: list[str] = []
    assert run(phone, on_progress=lambda done, total, remark: heard.append(remark)).judgement.outcome == "pass"
    starts = {call[-1] for call in phone.calls if "am start" in call[-1]}
    assert len(starts) == 1, "with the same token"
    assert heard[-1] == f"testing, started again after it ended ({crashes})"


def test_an_app_that_never_gets_to_its_report(phone: Phone) -> None:
    phone.set(crashes=100)
    said = refusal(phone, DeviceRunFailed)
    assert said.startswith("The app com.example.birds ended 7 times before its self-test did.")


def test_a_report_about_another_model(phone: Phone, tmp_path: Path) -> None:
    other = device_reports.model(tmp_path / "other.tflite", weights_scale=2)
    phone.writes(device_reports.report(other))
    assert "is about another model: other.tflite" in refusal(phone, DataError)


def test_a_report_that_is_none(phone: Phone) -> None:
    (phone.folder / "report.json").write_bytes(b'{"edgekit_device_report": 1')
    assert "The device report is not valid JSON" in refusal(phone, DataError)


def test_an_older_report_stays_when_a_run_fails(phone: Phone) -> None:
    output = phone.app.with_name("report.json")
    output.write_text("older")
    phone.set(install="INSTALL_FAILED_ABORTED")
    with pytest.raises(DeviceRunFailed):
        run(phone)
    assert output.read_text() == "older"


def test_what_cannot_work_is_known_before_a_device_is_touched(phone: Phone, tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        android.run(phone.app, tmp_path / "nowhere" / "report.json")
    with pytest.raises(DataError, match="is no app of edgekit"):
        android.run(phone.model, tmp_path / "report.json")
    bare = models.with_spec(models.tflite(tmp_path / "bare.tflite"))
    with pytest.raises(SpecError, match="carries no golden answers"):
        android.run(apk(tmp_path / "bare.apk", bare), tmp_path / "report.json")
    assert phone.calls == []


def test_arguments_reach_the_device_as_they_are(phone: Phone) -> None:
    device = adb.choose(adb.find())
    device.shell("ls", "/a b/$(reboot)/'\";&|")
    assert phone.calls[-1] == ["-s", "PHONE1", "shell", shlex.join(["ls", "/a b/$(reboot)/'\";&|"])]
    assert shlex.split(phone.calls[-1][-1])[1] == "/a b/$(reboot)/'\";&|"


def test_an_interrupted_run_leaves_nothing(phone: Phone, tmp_path: Path) -> None:
    phone.set(looks=10**6)
    temporary, output = tmp_path / "temporary", tmp_path / "report.json"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgekit.cli.main", "device", "run", "android", str(phone.app), "-o", str(output)],
        env=os.environ | phone.environment() | {"TMPDIR": str(temporary)}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )
    until = time.monotonic() + 60
    while not any("pidof" in call[-1] for call in phone.calls):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "Interrupted."
    assert not output.exists()
    assert list(temporary.iterdir()) == []
    assert [call[-1].split()[:2] for call in phone.calls[-2:]] == [["am", "force-stop"], ["rm", "-f"]]
    assert json.loads((phone.folder / "state.json").read_text())["alive"] is False
