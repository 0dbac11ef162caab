from __future__ import annotations

import json
import re
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import edgekit
from edgekit.core.errors import EdgekitError, ImageError, ModelFileError, OutputError, PackageError
from edgekit.package import camera_vectors
from edgekit.package.android import axml, keys, template
from edgekit.package.android.apk import AndroidPackage, manifest
from edgekit.package.android.identity import Identity
from edgekit.package.android.template import Template
from edgekit.runtime import modelfile
from tests.package.android.compiled_xml import MANIFEST, compiled
from tests.package.android.test_archive import content_offsets
from tests.package.android.test_sign import verify
from tests.packaging import PASSWORD, stamped

if TYPE_CHECKING:
    from tests.conftest import Needs

PNG_HEADER = struct.Struct(">16xII")


def packaged(model: Path, output: Path | None = None, **options: Any) -> AndroidPackage:
    return edgekit.package_android(model, output or model.with_suffix(".apk"), **options)


# --- the manifest; these need no template


def test_the_manifest_gets_id_name_and_version() -> None:
    changed = axml.Document(
        manifest(compiled(), Identity("com.example.birds", "Vögel 🐦", "2.1", 2_001_000), "ai.edgekit.demo")
    )
    top, application, provider, activity = changed.elements
    assert top.required("package", namespace="").text == "com.example.birds"
    assert (top.required("versionName").text, top.required("versionCode").number) == ("2.1", 2_001_000)
    label = application.required("label")
    assert (label.type, label.text) == (axml.TYPE_STRING, "Vögel 🐦")
    assert provider.required("authorities").text == "com.example.birds.reports;other.one"
    assert activity.required("label").text == "1.0"


def test_a_manifest_that_lacks_something() -> None:
    who = Identity("com.example.birds", "Birds", "1", 1_000_000)
    for number in (0, 1, 2):
        nodes = [*MANIFEST]
        node = nodes[number]
        assert node is not None
        nodes[number] = node[0], []
        with pytest.raises(axml.AxmlError, match="has no attribute"):
            manifest(compiled(nodes), who, "ai.edgekit.demo")


# --- what is in the package


def test_what_comes_back(model: Path, with_template: Path) -> None:
    made = packaged(model)
    assert made.path == model.with_suffix(".apk")
    assert made.size == made.path.stat().st_size
    assert (made.app_id, made.name) == ("ai.edgekit.demo.birds_int8", "birds.int8")
    assert (made.version, made.version_code, made.abis) == ("1.0.0", 1_000_000, ("arm64-v8a",))
    assert made.certificate_sha256 == keys.debug_key().fingerprint
    assert (made.debug_key, made.verdict) == (True, "pass")
    assert made.model_sha256 == modelfile.digest(model)
    assert made.runtime == Template(with_template).facts.runtime


def test_the_model_is_in_it_byte_for_byte(model: Path, with_template: Path) -> None:
    made = packaged(model)
    with zipfile.ZipFile(made.path) as archive:
        assert archive.testzip() is None
        assert archive.read("assets/model.tflite") == model.read_bytes()
        spec = modelfile.read_spec(model)
        assert spec is not None
        assert archive.read("assets/camera_vectors.json") == camera_vectors.document(spec)
        assert len(json.loads(archive.read("assets/camera_vectors.json"))["vectors"]) == 8


def test_nothing_else_is_in_it(model: Path, with_template: Path) -> None:
    made, found = packaged(model), Template(with_template)
    expected = {name: content for name, content in found.app() if name != "AndroidManifest.xml"}
    expected |= dict(found.libraries("arm64-v8a"))
    with zipfile.ZipFile(made.path) as archive:
        own = {"AndroidManifest.xml", "assets/model.tflite", "assets/camera_vectors.json"}
        assert set(archive.namelist()) == {*expected, *own}
        assert len(archive.namelist()) == len(set(archive.namelist()))
        assert {name: archive.read(name) for name in expected} == expected


def test_the_layout(model: Path, with_template: Path, needs: Needs) -> None:
    made = packaged(model, abis=("all",))
    offsets = content_offsets(made.path.read_bytes())
    with zipfile.ZipFile(made.path) as archive:
        stored = {info.filename for info in archive.infolist() if info.compress_type == zipfile.ZIP_STORED}
    assert {"resources.arsc", "assets/model.tflite"} <= stored
    assert not {"classes.dex", "AndroidManifest.xml"} & stored
    libraries = [name for name in offsets if name.endswith(".so")]
    assert len(libraries) == 6
    assert stored.issuperset(libraries)
    assert all(offsets[name] % 16384 == 0 for name in libraries)
    assert offsets["assets/model.tflite"] % 64 == 0
    assert all(offsets[name] % 4 == 0 for name in stored)
    needs.program("zipalign", apt="zipalign")
    subprocess.run(["zipalign", "-c", "-p", "4", made.path], check=True, capture_output=True, timeout=60)


def test_the_size(model: Path, with_template: Path) -> None:
    made = packaged(model)
    assert made.size <= model.stat().st_size + 5_600_000


def test_the_same_inputs_give_the_same_bytes(model: Path, with_template: Path, tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "red").save(tmp_path / "i.png")
    options: dict[str, Any] = {"icon": tmp_path / "i.png", "abis": ("x86_64", "arm64-v8a"), "name": "שם"}
    first = packaged(model, tmp_path / "a.apk", **options).path.read_bytes()
    options["abis"] = ("arm64-v8a", "x86_64", "x86_64")
    assert packaged(model, tmp_path / "b.apk", **options).path.read_bytes() == first
    assert packaged(model, tmp_path / "c.apk", **{**options, "version": "1.0.1"}).path.read_bytes() != first


@pytest.mark.parametrize(
    ("abis", "chosen"),
    [(("armeabi-v7a",), {"armeabi-v7a"}), (("x86_64", "arm64-v8a"), {"arm64-v8a", "x86_64"}),
     (("all",), {"arm64-v8a", "armeabi-v7a", "x86_64"})],
)
def test_abis(model: Path, with_template: Path, abis: tuple[str, ...], chosen: set[str]) -> None:
    made = packaged(model, abis=abis)
    with zipfile.ZipFile(made.path) as archive:
        found = {name.split("/")[1] for name in archive.namelist() if name.startswith("lib/")}
    assert found == chosen == set(made.abis)
    warned = [warning for warning in made.warnings if "16 KB" in warning]
    assert bool(warned) == bool({"arm64-v8a", "x86_64"} & chosen)  # TensorFlow Lite 2.16.1 was not made for these


def test_the_icon(model: Path, with_template: Path, tmp_path: Path) -> None:
    Image.new("RGB", (50, 50), "red").save(tmp_path / "i.webp")
    made, name = packaged(model, icon=tmp_path / "i.webp"), Template(with_template).facts.icon
    with zipfile.ZipFile(made.path) as archive:
        content = archive.read(name)
    assert PNG_HEADER.unpack_from(content) == (432, 432)
    assert content != dict(Template(with_template).app())[name]


# --- Android's own checkers, and others'


@pytest.mark.parametrize("store", [None, "rsa.p12", "ec.p12"])
def test_apksigner_accepts_it(
    model: Path, with_template: Path, request: pytest.FixtureRequest, needs: Needs, store: str | None
) -> None:
    needs.program("apksigner", apt="apksigner")
    options: dict[str, Any] = {}
    if store is not None:
        options = {"keystore": request.getfixturevalue("keystores") / store, "ask_password": lambda: PASSWORD}
    made = packaged(model, **options)
    assert made.debug_key == (store is None)
    done = verify(made.path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "v2 scheme (APK Signature Scheme v2): true" in done.stdout
    assert "v3 scheme (APK Signature Scheme v3): true" in done.stdout
    assert f"certificate SHA-256 digest: {made.certificate_sha256}" in done.stdout
    assert "WARNING" not in done.stdout + done.stderr


def test_a_tampered_copy_is_rejected(model: Path, with_template: Path, needs: Needs, tmp_path: Path) -> None:
    needs.program("apksigner", apt="apksigner")
    made = packaged(model)
    content, offsets = made.path.read_bytes(), content_offsets(made.path.read_bytes())
    for name in ("AndroidManifest.xml", "classes.dex", "assets/model.tflite", "lib/arm64-v8a/libtensorflowlite_jni.so"):
        tampered = bytearray(content)
        tampered[offsets[name] + 100] ^= 1
        (tmp_path / "tampered.apk").write_bytes(tampered)
        assert verify(tmp_path / "tampered.apk").returncode != 0, name


NAMES = ["Vögel", "🐦‍🔥 Fire", "שלום עולם", "مرحبا‏", 'a "b" \'c\'', "<b>&amp;", "@string/app_name", "\\n %s"]


@pytest.mark.parametrize("name", NAMES)
def test_aapt_and_androguard_read_the_name(model: Path, with_template: Path, needs: Needs, name: str) -> None:
    made = packaged(model, name=name, app_id="com.example.Birds_2", version="2.13.999")
    needs.module("androguard")
    from androguard.core.apk import APK  # type: ignore[import-untyped]
    from loguru import logger

    logger.disable("androguard")
    found = APK(str(made.path))
    assert found.is_valid_APK()
    assert found.get_package() == "com.example.Birds_2"
    if not name.startswith("@"):  # it takes such a text for a reference; Android looks at the value's type
        assert found.get_app_name() == name
    assert (found.get_androidversion_name(), found.get_androidversion_code()) == ("2.13.999", "2013999")
    assert (found.get_min_sdk_version(), found.get_main_activity()) == ("26", "ai.edgekit.demo.CameraActivity")
    assert found.get_permissions() == ["android.permission.CAMERA"]
    assert (found.is_signed_v1(), found.is_signed_v2(), found.is_signed_v3()) == (False, True, True)
    [certificate] = found.get_certificates_v3()
    assert certificate.sha256.hex() == made.certificate_sha256
    needs.program("aapt", apt="aapt")
    command = ["aapt", "dump", "badging", str(made.path)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    assert "package: name='com.example.Birds_2' versionCode='2013999' versionName='2.13.999'" in shown
    assert "sdkVersion:'26'" in shown
    assert "native-code: 'arm64-v8a'" in shown
    assert f"application-label:'{_as_aapt_shows(name)}'" in shown
    command[2] = "xmltree"
    tree = subprocess.run([*command, "AndroidManifest.xml"], check=True, capture_output=True, text=True, timeout=60)
    authorities = re.findall(r'android:authorities\(0x01010018\)="([^"]*)"', tree.stdout)
    assert authorities
    assert all(one.startswith("com.example.Birds_2.") for one in authorities)


def _as_aapt_shows(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# --- refusals; nothing is written


def refused(model: Path, output: Path | None = None, **options: Any) -> EdgekitError:
    output = output or model.with_suffix(".apk")
    with pytest.raises(EdgekitError) as caught:
        packaged(model, output, **options)
    assert caught.value.exit_code == 2
    assert not output.is_file() or output == model
    assert not list(model.parent.glob(".*.part"))
    return caught.value


def test_refused_options(model: Path, with_template: Path, keystores: Path, tmp_path: Path) -> None:
    assert "'birds' is not possible" in refused(model, app_id="birds").message
    assert "The app's name" in refused(model, name="a\nb").message
    assert "The version" in refused(model, version="one").message
    error = refused(model, abis=("arm64-v8a", "mips"))
    assert (error.message, error.hint) == (
        "The app has no ABI 'mips'.", "Choose from arm64-v8a, armeabi-v7a, x86_64, all."
    )
    assert refused(model, abis=()).message == "The app needs an ABI."
    assert isinstance(refused(model, icon=tmp_path / "nothing.png"), ImageError)
    error = refused(model, keystore=keystores / "rsa.p12")
    assert (error.message, error.hint) == ("The keystore's password is needed.", "Set EDGEKIT_KEYSTORE_PASSWORD.")
    assert "is wrong" in refused(model, keystore=keystores / "rsa.p12", ask_password=lambda: "no").message
    wrong = refused(model, keystore=keystores / "rsa.p12", key_alias="b", ask_password=lambda: PASSWORD)
    assert "has no key 'b'" in wrong.message


def test_the_password_from_the_environment(
    model: Path, with_template: Path, keystores: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEKIT_KEYSTORE_PASSWORD", PASSWORD)
    assert not packaged(model, keystore=keystores / "ec.p12").debug_key


def test_refused_models(with_template: Path, tmp_path: Path) -> None:
    assert "has failed" in refused(stamped(tmp_path / "m.tflite", "fail")).message
    assert packaged(tmp_path / "m.tflite", ungated=True).verdict == "fail"
    assert isinstance(refused(tmp_path / "none.tflite"), ModelFileError)


def test_outputs(model: Path, with_template: Path, tmp_path: Path) -> None:
    assert isinstance(refused(model, model), OutputError)
    assert isinstance(refused(model, tmp_path), OutputError)
    assert isinstance(refused(model, tmp_path / "no" / "a.apk"), OutputError)
    assert refused(model, tmp_path / "a.aab").message.endswith("a.aab does not end in .apk.")
    icon = tmp_path / "icon.apk"
    Image.new("RGB", (9, 9)).save(icon, "PNG")
    with pytest.raises(OutputError, match="is itself needed"):
        packaged(model, icon, icon=icon)


def test_an_existing_package_stays_until_the_new_one_is_complete(
    model: Path, with_template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = packaged(model).path.read_bytes()
    monkeypatch.setattr("edgekit.package.android.sign.signing_block", lambda *_: pytest.fail("no signature today"))
    with pytest.raises(pytest.fail.Exception):
        packaged(model, version="2")
    assert model.with_suffix(".apk").read_bytes() == old
    assert not list(model.parent.glob(".*.part"))
    monkeypatch.undo()


def test_a_template_that_is_missing_or_foreign(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "PATH", tmp_path / "template.zip")
    assert "make android" in refused(model).hint
    (tmp_path / "template.zip").write_bytes(b"PK\3\4")
    assert "is damaged, or of another edgekit" in refused(model).message


@pytest.mark.parametrize("lost", ["apk/AndroidManifest.xml", "icon"])
def test_a_template_that_lacks_a_part(
    model: Path, app_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    lost = f"apk/{Template(app_template).facts.icon}" if lost == "icon" else lost
    _changed(app_template, tmp_path / "t.zip", {lost: None})
    monkeypatch.setattr(template, "PATH", tmp_path / "t.zip")
    assert "lacks its manifest or icon" in refused(model).message


def test_a_template_with_a_damaged_manifest(
    model: Path, app_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _changed(app_template, tmp_path / "t.zip", {"apk/AndroidManifest.xml": b"<manifest/>"})
    monkeypatch.setattr(template, "PATH", tmp_path / "t.zip")
    error = refused(model)
    assert isinstance(error, PackageError)
    assert "The template's manifest is damaged: it is no compiled XML" in error.message


def _changed(source: Path, target: Path, changes: dict[str, bytes | None]) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changes.get(name, old.read(name))
            if content is not None:
                new.writestr(name, content)


def test_without_golden_answers(with_template: Path, tmp_path: Path) -> None:
    path = stamped(tmp_path / "m.tflite", golden=())
    [warning] = [one for one in packaged(path).warnings if "golden" in one]
    assert "edgekit validate --stamp" in warning
