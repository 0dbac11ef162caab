from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import PackageError
from edgekit.package.android import template
from edgekit.package.android.template import Template

FACTS = {
    "format": 1, "runtime": "2.16.1", "min_sdk": 26, "target_sdk": 35, "app_id": "ai.edgekit.demo",
    "abis": ["arm64-v8a", "x86_64"], "page_size": {"arm64-v8a": 4096, "x86_64": 16384}, "icon": "res/a.png",
    "sources_sha256": "0" * 64,
}
MEMBERS = {
    "apk/classes.dex": b"dex", "apk/AndroidManifest.xml": b"manifest", "lib/arm64-v8a/libb.so": b"b",
    "lib/arm64-v8a/liba.so": b"a", "lib/x86_64/liba.so": b"x", "project/app/build.gradle": b"gradle",
}


def written(path: Path, members: dict[str, bytes] | None = None, **facts: Any) -> Path:
    document = {name: value for name, value in {**FACTS, **facts}.items() if value is not None}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("template.json", json.dumps(document))
        for name, content in (MEMBERS if members is None else members).items():
            archive.writestr(name, content)
    return path


def test_reading(tmp_path: Path) -> None:
    found = Template(written(tmp_path / "t.zip"))
    assert found.facts.abis == ("arm64-v8a", "x86_64")
    assert (found.facts.runtime, found.facts.page_size["x86_64"]) == ("2.16.1", 16384)
    assert list(found.app()) == [("AndroidManifest.xml", b"manifest"), ("classes.dex", b"dex")]
    assert list(found.libraries("arm64-v8a")) == [("lib/arm64-v8a/liba.so", b"a"), ("lib/arm64-v8a/libb.so", b"b")]
    assert list(found.project()) == [("app/build.gradle", b"gradle")]


def test_a_missing_template_in_a_checkout_and_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "_REPOSITORY", tmp_path)
    with pytest.raises(PackageError, match="has not been built") as caught:
        Template(tmp_path / "nothing.zip")
    assert caught.value.hint == "Build it with: make android (it needs a JDK and Maven)"
    monkeypatch.setattr(template, "_REPOSITORY", tmp_path / "nothing")
    with pytest.raises(PackageError, match="has not been built") as caught:
        Template(tmp_path / "nothing.zip")
    assert "pip install --force-reinstall" in caught.value.hint


@pytest.mark.parametrize(
    "facts",
    [{"format": 2}, {"format": None}, {"runtime": None}, {"abis": None}, {"page_size": [1]}, {"icon": None}],
)
def test_a_template_of_another_edgekit(tmp_path: Path, facts: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match=r"t\.zip is damaged, or of another edgekit"):
        Template(written(tmp_path / "t.zip", **facts))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["../evil", "/evil", "apk/../../evil", "apk\\evil", "apk/classes.dex"])
def test_names_that_lead_elsewhere_or_repeat(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "t.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(PackageError, match="damaged"):
        Template(path)


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "t.zip", {"apk/zeros": bytes(2_000_000)})
    monkeypatch.setattr(template, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(PackageError, match="damaged"):
        Template(path)


def test_damage(tmp_path: Path) -> None:
    content = written(tmp_path / "t.zip", {"apk/a": bytes(range(256)) * 40}).read_bytes()
    path = tmp_path / "damaged.zip"
    for cut in (0, 10, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:cut])
        with pytest.raises(PackageError, match="damaged"):
            Template(path)
    path.write_bytes(b"not a zip archive")
    with pytest.raises(PackageError, match="damaged"):
        Template(path)
    damaged = bytearray(content)
    damaged[content.index(b"apk/a") + 20] ^= 0xFF
    path.write_bytes(damaged)
    with pytest.raises(PackageError, match="damaged"):
        list(Template(path).app())


def test_the_built_one(app_template: Path) -> None:
    """What the packager relies on."""
    found = Template(app_template)
    assert found.facts.app_id == "ai.edgekit.demo"
    assert found.facts.abis == ("arm64-v8a", "armeabi-v7a", "x86_64")
    members = dict(found.app())
    assert {"AndroidManifest.xml", "classes.dex", "resources.arsc", found.facts.icon} <= set(members)
    assert any(name.startswith("assets/licenses/") for name in members)
    for abi in found.facts.abis:
        assert {name.rpartition("/")[2] for name, _ in found.libraries(abi)} == {
            "libtensorflowlite_jni.so", "libtensorflowlite_gpu_jni.so"
        }
    assert {"app/build.gradle", "app/src/main/AndroidManifest.xml", "app/src/main/res/values/strings.xml"} <= {
        name for name, _ in found.project()
    }
