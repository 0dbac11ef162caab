from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from PIL import Image

from edgekit.core.errors import EdgekitError, OutputError, PackageError
from edgekit.package.android import template
from edgekit.package.android.project import android_project
from edgekit.package.android.template import Template
from edgekit.runtime import modelfile
from tests.package.android.test_apk import NAMES, _changed
from tests.packaging import stamped

if TYPE_CHECKING:
    from tests.conftest import Needs

MAIN = Path("app/src/main")


def app_name(project: Path) -> str:
    """The name in the project, as aapt2 reads a string resource."""
    tree = ElementTree.parse(project / MAIN / "res/values/strings.xml")
    text = next(one.text or "" for one in tree.iter("string") if one.get("name") == "app_name")
    text = re.sub(r" +", " ", text)
    return re.sub(r"\\(?:u([0-9a-fA-F]{4})|(.))", lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)


def test_a_project(model: Path, with_template: Path, tmp_path: Path) -> None:
    folder = tmp_path / "birds"
    made = android_project(model, folder, app_id="com.example.birds", name="Vögel", version="2.1")
    assert (made.path, made.app_id, made.name) == (folder, "com.example.birds", "Vögel")
    assert (made.version_code, made.verdict) == (2_001_000, "pass")
    assert made.model_sha256 == modelfile.digest(model)
    gradle = (folder / "app/build.gradle").read_text()
    assert "applicationId = 'com.example.birds'" in gradle
    assert "versionCode = 2001000" in gradle
    assert "versionName = '2.1'" in gradle
    assert "namespace = 'ai.edgekit.demo'" in gradle
    assets = folder / MAIN / "assets"
    assert (assets / "model.tflite").read_bytes() == model.read_bytes()
    assert len(json.loads((assets / "camera_vectors.json").read_text())["vectors"]) == 8
    assert list((assets / "licenses").iterdir())
    assert app_name(folder) == "Vögel"
    changed = {"app/build.gradle", str(MAIN / "res/values/strings.xml")}
    for name, content in Template(with_template).project():
        if name not in changed:
            assert (folder / name).read_bytes() == content, name
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize("name", [*NAMES, "@'\"é&<b>  x", "?attr", "a]]>b", "${x}", r"\u0041", "50 %d of %s"])
def test_names(model: Path, with_template: Path, tmp_path: Path, needs: Needs, name: str) -> None:
    android_project(model, tmp_path / "p", name=name)
    assert app_name(tmp_path / "p") == name
    needs.program("aapt2", apt="aapt")
    strings = tmp_path / "p" / MAIN / "res/values/strings.xml"
    done = subprocess.run(["aapt2", "compile", strings, "-o", tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_icon(model: Path, with_template: Path, tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "red").save(tmp_path / "i.png")
    android_project(model, tmp_path / "p", icon=tmp_path / "i.png")
    [found] = (tmp_path / "p" / MAIN / "res").rglob("icon_foreground.png")
    image = Image.open(found).convert("RGBA")
    assert image.getpixel((216, 216)) == (255, 0, 0, 255)


def test_an_empty_folder_is_taken(model: Path, with_template: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    android_project(model, tmp_path / "p")
    assert (tmp_path / "p" / "settings.gradle").exists()


def test_other_folders_are_not(model: Path, with_template: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for folder, reason in (("full", "is not empty"), ("full/file", "is a file"), ("no/p", "does not exist")):
        with pytest.raises(OutputError, match=reason):
            android_project(model, tmp_path / folder)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["file"]


def test_nothing_is_left_of_what_is_refused(with_template: Path, app_template: Path, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EdgekitError, match="has failed"):
        android_project(stamped(tmp_path / "m.tflite", "fail"), tmp_path / "p")
    model = stamped(tmp_path / "m.tflite")
    losses: list[dict[str, bytes | None]] = [
        {"project/app/build.gradle": None},
        {"project/app/build.gradle": b"other"},
        {f"project/{MAIN}/res/values/strings.xml": b"<resources/>"},
    ]
    for changes in losses:
        _changed(app_template, tmp_path / "t.zip", changes)
        monkeypatch.setattr(template, "PATH", tmp_path / "t.zip")
        with pytest.raises(PackageError, match="project"):
            android_project(model, tmp_path / "p")
    assert not (tmp_path / "p").exists()
    assert not list(tmp_path.glob(".*.part"))
