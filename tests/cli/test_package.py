"""What `edgekit package android` prints, and with which exit code it ends."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgekit.package.android import keys, template
from tests.cli.conftest import Run
from tests.packaging import PASSWORD, stamped


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that has passed its validation."""
    return stamped(tmp_path / "birds.int8.tflite")


def test_an_apk(run: Run, model: Path, with_template: Path) -> None:
    target = model.with_suffix(".apk")
    ran = run("package", "android", model)
    assert ran.code == 0, ran.err
    first, second = ran.out.splitlines()
    assert first.startswith(f"wrote {target}: 5.")
    assert first.endswith(
        " MB, ai.edgekit.demo.birds_int8 1.0.0 (arm64-v8a), verdict pass, signed with your debug key, "
        f"certificate SHA-256 {keys.debug_key().fingerprint}"
    )
    assert second == f"install it with: adb install -r {target}   or copy it to the phone and open it there"
    assert ran.err.startswith("Warning: The native libraries of TensorFlow Lite 2.16.1 (arm64-v8a) are made for ")


def test_an_apk_as_json(run: Run, model: Path, with_template: Path, tmp_path: Path) -> None:
    abis = ["--abi", "x86_64,armeabi-v7a", "--abi", "arm64-v8a"]
    said = ["--app-id", "com.example.birds", "--name", "Vögel 🐦", "--version", "2.1"]
    ran = run("package", "android", model, "-o", tmp_path / "a.apk", *abis, *said, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert len(found.pop("warnings")) == 1
    assert found == {
        "path": str(tmp_path / "a.apk"),
        "size": (tmp_path / "a.apk").stat().st_size,
        "app_id": "com.example.birds",
        "name": "Vögel 🐦",
        "version": "2.1",
        "version_code": 2_001_000,
        "abis": ["arm64-v8a", "armeabi-v7a", "x86_64"],
        "certificate_sha256": keys.debug_key().fingerprint,
        "debug_key": True,
        "model_sha256": found["model_sha256"],
        "verdict": "pass",
        "runtime": "2.16.1",
    }


def test_a_keystore(
    run: Run, model: Path, with_template: Path, keystores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--keystore", keystores / "two.p12", "--key-alias", "first"]
    ran = run("package", "android", model, *options)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "Error: The keystore's password is needed.\nSet EDGEKIT_KEYSTORE_PASSWORD.\n"
    monkeypatch.setenv("EDGEKIT_KEYSTORE_PASSWORD", PASSWORD)
    ran = run("package", "android", model, *options)
    assert ran.code == 0, ran.err
    assert ", signed with your key, certificate SHA-256 " in ran.out
    assert PASSWORD not in ran.out + ran.err


def test_the_password_is_asked_for(
    run: Run, model: Path, with_template: Path, keystores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda prompt: PASSWORD)
    ran = run("package", "android", model, "--keystore", keystores / "ec.p12")
    assert ran.code == 0, ran.err
    assert "signed with your key" in ran.out
    assert PASSWORD not in ran.out + ran.err


def test_a_project(run: Run, model: Path, with_template: Path, tmp_path: Path) -> None:
    ran = run("package", "android", model, "--project", tmp_path / "p", "--name", "Birds")
    assert ran.code == 0
    assert "made for memory pages of 4 KB" in ran.err
    assert ran.out == (
        f"wrote {tmp_path}/p: ai.edgekit.demo.birds_int8 1.0.0, verdict pass\nopen it in Android Studio\n"
    )
    assert (tmp_path / "p/app/src/main/assets/model.tflite").read_bytes() == model.read_bytes()
    assert not model.with_suffix(".apk").exists()
    ran = run("package", "android", model, "--project", tmp_path / "q", "--json")
    assert (ran.json["path"], ran.json["verdict"]) == (str(tmp_path / "q"), "pass")


@pytest.mark.parametrize(
    "options", [["-o", "a.apk"], ["--abi", "x86_64"], ["--keystore", "a.p12"], ["--key-alias", "a"]]
)
def test_options_that_a_project_has_no_use_for(run: Run, model: Path, tmp_path: Path, options: list[str]) -> None:
    ran = run("package", "android", model, "--project", tmp_path / "p", *options)
    assert ran.code == 2
    assert f"{options[0]} is of no use with --project, which writes no APK." in ran.err


def test_an_alias_without_a_keystore(run: Run, model: Path) -> None:
    ran = run("package", "android", model, "--key-alias", "a")
    assert ran.code == 2
    assert "--key-alias belongs to --keystore." in ran.err


def test_the_gate(run: Run, with_template: Path, tmp_path: Path) -> None:
    path = stamped(tmp_path / "m.tflite", None)
    ran = run("package", "android", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        f"Error: {path} carries no verdict: nothing says that it answers like its reference.",
        f"edgekit validate REFERENCE {path} --data IMAGES --stamp; --ungated packages it as it is.",
    ]
    assert not (tmp_path / "m.apk").exists()
    ran = run("package", "android", path, "--ungated")
    assert ran.code == 0
    assert ", verdict none, " in ran.out


def test_no_template(run: Run, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "PATH", tmp_path / "template.zip")
    ran = run("package", "android", model)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "Error: The app's template has not been built.", "Build it with: make android (it needs a JDK and Maven)"
    ]


def test_another_process_makes_the_same_bytes(run: Run, model: Path, with_template: Path, tmp_path: Path) -> None:
    """Whatever the order of hashes, the time zone and the folder."""
    assert run("package", "android", model).code == 0
    code = (
        "import sys; from pathlib import Path; from edgekit.package.android import template; "
        f"template.PATH = Path({str(with_template)!r}); from edgekit.cli.main import main; main(sys.argv[1:])"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu",
                   "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code, "package", "android", model.name, "-o", "again.apk"], cwd=tmp_path,
                   env=environment, check=True, capture_output=True, timeout=120)
    digests = [hashlib.sha256((tmp_path / name).read_bytes()).digest() for name in ("birds.int8.apk", "again.apk")]
    assert digests[0] == digests[1]
    assert zipfile.is_zipfile(tmp_path / "again.apk")
