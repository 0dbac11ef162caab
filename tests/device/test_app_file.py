"""The app's id and its model come out of an APK, and what is none is refused."""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path

import pytest

from edgekit.core.errors import DataError
from edgekit.device.app_file import read_app
from tests.device.apks import apk, manifest


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not looked at")
    return path


def test_the_id_and_the_model(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.tflite"
    assert read_app(apk(tmp_path / "a.apk", model, "org.example.My_App2"), out) == "org.example.My_App2"
    assert out.read_bytes() == b"not looked at"


@pytest.mark.parametrize("app_id", ["", "app", "a.b;reboot", "a.b c", "a.b\n", "a.$(reboot)", "a..b", "1.b", "ä.b"])
def test_an_id_that_is_none_never_reaches_a_shell(model: Path, tmp_path: Path, app_id: str) -> None:
    with pytest.raises(DataError, match="its manifest names no app"):
        read_app(apk(tmp_path / "a.apk", model, app_id), tmp_path / "out")


def test_what_is_no_apk_is_refused(model: Path, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.apk"):
        with pytest.raises(DataError, match="cannot be read"):
            read_app(path, tmp_path / "out")
    with pytest.raises(DataError, match="is no APK, or a damaged one"):
        read_app(model, tmp_path / "out")


def test_an_apk_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.apk"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", manifest("com.example.birds"))
    with pytest.raises(DataError, match=r"is no app of edgekit: it has no assets/model\.tflite"):
        read_app(path, tmp_path / "out")


def test_an_apk_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.apk"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AndroidManifest.xml", manifest("com.example.birds"))
        archive.writestr("assets/model.tflite", bytes(65 << 20))
    with pytest.raises(DataError, match=r"its assets/model\.tflite has 68,157,440 bytes"):
        read_app(path, tmp_path / "out")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("AndroidManifest.xml", bytes(5 << 20))
        archive.writestr("assets/model.tflite", b"")
    with pytest.raises(DataError, match=r"its AndroidManifest\.xml has 5,242,880 bytes"):
        read_app(path, tmp_path / "out")


def test_damage_anywhere_is_one_error(model: Path, tmp_path: Path) -> None:
    whole = bytearray(apk(tmp_path / "a.apk", model).read_bytes())
    path = tmp_path / "damaged.apk"
    for position in range(0, len(whole), 3):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            read_app(path, tmp_path / "out")
