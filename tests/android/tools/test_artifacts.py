from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from android_demo.tools import application, artifacts
from android_demo.tools.artifacts import Coordinates
from tests.android.tools.conftest import Checkout


def test_a_changed_file_is_refused_and_removed(ready: Checkout) -> None:
    changed = ready.root / "android_demo/build/artifacts/build/files/dalvik-dx-16.0.1.jar"
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = ready.run("artifacts", "fetch", "build")
    assert done.returncode == 2
    assert "com.jakewharton.android.repackaged:dalvik-dx:16.0.1 is not the file in artifacts.lock" in done.stderr
    assert "artifacts lock" in done.stderr
    assert not changed.exists()


def test_without_maven_it_says_what_to_install(checkout: Checkout, tmp_path: Path) -> None:
    done = checkout.run("artifacts", "fetch", "bench", PATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == "error: Maven (mvn) is not installed.\nDebian: apt-get install maven\n"


def test_when_maven_fails_it_says_why(checkout: Checkout, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "mvn"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '[ERROR] Could not transfer artifact: no route to host'\nexit 1\n")
    program.chmod(0o755)
    done = checkout.run("artifacts", "fetch", "bench", PATH=f"{program.parent}:/usr/bin:/bin")
    assert done.returncode == 2
    assert "'bench': Could not transfer artifact: no route to host" in done.stderr
    assert "settings.xml" in done.stderr
    assert not (checkout.root / "android_demo/build/artifacts/bench").exists()


def test_the_lock_has_what_is_asked_for() -> None:
    lock = json.loads(artifacts.LOCK.read_text())
    assert list(lock) == list(tomllib.loads(artifacts.LIST.read_text()))
    for group, parts in lock.items():
        wanted = artifacts.requested(group)
        assert set(parts["files"]) == {str(one) for one in wanted["files"]}
        assert {str(one) for one in wanted["classpath"]} <= set(parts["classpath"])
        assert all(len(digest) == 64 for part in parts.values() for digest in part.values())


def test_gradle_takes_the_same_versions() -> None:
    catalog = tomllib.loads((application.ROOT / "gradle/libs.versions.toml").read_text())
    asked = [one for group in ("build", "test") for part in artifacts.requested(group).values() for one in part]
    versions = {f"{one.group}:{one.artifact}": one.version for one in asked}
    found = {lib["module"]: catalog["versions"][lib["version"]["ref"]] for lib in catalog["libraries"].values()}
    assert found == {module: versions[module] for module in found}
    assert set(found) >= {module for module in versions if module.startswith("org.tensorflow:")}


def test_gradle_builds_for_the_same_platforms() -> None:
    text = (application.ROOT / "app/build.gradle").read_text()
    for name, value in (
        ("compileSdk", application.TARGET_SDK),
        ("targetSdk", application.TARGET_SDK),
        ("minSdk", application.MIN_SDK),
        ("applicationId", repr(application.APP_ID)),
    ):
        assert f"{name} = {value}\n" in text


@pytest.mark.parametrize("text", ["a.b:c:1.0", "a.b:c:1.0:aar"])
def test_coordinates_are_read_and_written(text: str) -> None:
    assert str(Coordinates.parse(text)) == text


def test_another_runtime_has_other_coordinates() -> None:
    files = artifacts.requested("build")["files"]
    older = [str(artifacts.of_runtime(one, "2.15.0")) for one in files if one.group == "org.tensorflow"]
    newer = [str(artifacts.of_runtime(one, "1.0.1")) for one in files if one.group == "org.tensorflow"]
    assert older[0] == "org.tensorflow:tensorflow-lite:2.15.0:aar"
    assert older[3] == "org.tensorflow:tensorflow-lite-gpu-api:2.14.0:aar"
    assert newer[3] == "com.google.ai.edge.litert:litert-gpu-api:1.0.1:aar"
    assert [artifacts.of_runtime(one, "1.0.1") for one in files if one.group != "org.tensorflow"] == files[4:]
