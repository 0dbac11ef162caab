"""`edgekit device run android`: install an app of edgekit, let it test itself, and judge its report.

The app is asked by an intent that only the shell may send (ReportActivity, guarded by android.permission.DUMP). It
writes report-TOKEN.json into its own external folder, or report-TOKEN.error with one line.
"""

from __future__ import annotations

import dataclasses
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgekit.core import files
from edgekit.core.errors import DeviceRunFailed, EdgekitError
from edgekit.device import adb
from edgekit.device.adb import Adb
from edgekit.device.app_file import read_app
from edgekit.runtime.spec import printable
from edgekit.runtime.tolerance import DELEGATES
from edgekit.validate.device import DeviceValidation, checkable_spec, validate_device_report

ACTIVITY = "ai.edgekit.demo.ReportActivity"
SELF_TEST_SECONDS = 300.0
POLL_SECONDS = 1.0
CRASHES = 2  # of a delegate, before the app leaves it out: Android 8 to 10 do not tell one from an app that was closed
CLEAN_UP_SECONDS = 10.0

Progress = Callable[[int, int, str], None]


def run(
    apk: Path,
    output: Path,
    *,
    serial: str = "",
    sustained: int | None = None,
    on_progress: Progress | None = None,
    limit_seconds: float = SELF_TEST_SECONDS,
) -> DeviceValidation:
    """Install an APK of edgekit, let it test itself, write its report, and judge it against the model in the APK.

    The app stays installed, and the report is removed from the device. If it fails or is interrupted, the app is
    stopped, and nothing is written.

    Args:
        apk: what `edgekit package android` made.
        output: the report to write; also when the gate says no.
        serial: which device; empty for the only one.
        sustained: seconds that the app shall go on classifying generated frames after the self-test; None: not at all.
        on_progress: called with the seconds that have gone by, those after which it gives up, and what is going on.
        limit_seconds: how long the self-test may take, `sustained` not counted.

    Raises:
        DataError, SpecError: the APK is none of edgekit's, or its model has no golden answers.
        DeviceError: there is no adb, no device, or it is not ready.
        DeviceRunFailed: the installation or the self-test fails, or the device goes away.
        OutputError: the report cannot be written.
    """
    files.check_target(output)
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        model, report = Path(folder) / "model.tflite", Path(folder) / "report.json"
        app_id = read_app(apk, model)
        checkable_spec(model)
        device = adb.choose(adb.find(), serial)
        if on_progress:
            on_progress(0, 0, "installing")
        device.install(apk, app_id)
        self_test = _SelfTest(device, app_id, secrets.token_hex(8), sustained)
        try:
            self_test.start()
            self_test.wait(limit_seconds, on_progress)
            device.pull(f"{self_test.report}.json", report)
        except BaseException:
            self_test.stop()
            raise
        finally:
            self_test.clean_up()
        found = validate_device_report(model, report)
        files.copy(report, output)
    return dataclasses.replace(found, path=output, candidate=apk)


class _SelfTest:
    """One self-test of an app on a device, told from others by its token."""

    def __init__(self, device: Adb, app_id: str, token: str, sustained: int | None) -> None:
        self._device, self._app_id, self._token, self._sustained = device, app_id, token, sustained
        self._folder = f"/sdcard/Android/data/{app_id}/files"
        self.report = f"{self._folder}/report-{token}"

    def start(self) -> None:
        """Ask the app for the self-test.

        Raises:
            DeviceRunFailed: it cannot be started.
        """
        extras = ["--es", "run", self._token]
        if self._sustained is not None:
            extras += ["--ei", "sustained", str(self._sustained)]
        reply = self._device.shell("am", "start", "-W", "-n", f"{self._app_id}/{ACTIVITY}", *extras)
        complaints = [line.strip() for line in f"{reply.out}\n{reply.err}".splitlines()
                      if line.startswith("Error") or "Exception" in line]
        if reply.code or complaints:  # am often ends with 0 all the same
            reason = printable(complaints[-1])[:300] if complaints else reply.line
            raise DeviceRunFailed(f"The app {self._app_id} cannot be started: {reason}",
                                  "Package the model with this edgekit, and try again.")

    def wait(self, limit_seconds: float, on_progress: Progress | None) -> None:
        """Wait for the report.

        A delegate may take the app down. It remembers what it was trying and goes on with the others when it is started
        again, so that is done `CRASHES` times for each delegate.

        Raises:
            DeviceRunFailed: the app says that it failed, ends too often, or takes too long; or the device is gone.
        """
        begin, limit, restarts, gone = time.monotonic(), limit_seconds + (self._sustained or 0), 0, 0
        while True:
            # In this order: an app that ends after it has written its report is not taken for one that died.
            running = self._device.shell("pidof", self._app_id).code == 0
            names = self._device.shell("ls", self._folder).out.split()
            if f"report-{self._token}.json" in names:
                return
            if f"report-{self._token}.error" in names:
                said = self._device.shell("cat", f"{self.report}.error").line
                raise DeviceRunFailed(f"The self-test of {self._app_id} failed: {said}")
            gone = 0 if running else gone + 1
            if gone > 1:
                if restarts == CRASHES * len(DELEGATES):
                    raise DeviceRunFailed(
                        f"The app {self._app_id} ended {restarts + 1} times before its self-test did.",
                        "Open it on the device; `adb logcat` shows why it ends.")
                restarts, gone = restarts + 1, 0
                self.start()
            passed = time.monotonic() - begin
            if passed > limit:
                raise DeviceRunFailed(f"The app {self._app_id} has written no report in {limit:g} seconds.",
                                      "Unlock the device, keep its screen on, and try again.")
            if on_progress:
                again = f", started again after it ended ({restarts})" if restarts else ""
                on_progress(int(passed), int(limit), f"testing{again}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End the app, whatever it is doing."""
        with suppress(EdgekitError):
            self._device.shell("am", "force-stop", self._app_id, seconds=CLEAN_UP_SECONDS)

    def clean_up(self) -> None:
        """Remove what the self-test wrote on the device."""
        with suppress(EdgekitError):
            self._device.shell("rm", "-f", f"{self.report}.json", f"{self.report}.error", seconds=CLEAN_UP_SECONDS)
