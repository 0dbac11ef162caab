"""The application's screens under Robolectric: its own classes and resources, models in its own native library."""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from android_demo.tools import jvm
from android_demo.tools.artifacts import Group
from edgekit.core import golden
from edgekit.package import camera_vectors
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.runtime.spec import Golden, ModelSpec, Provenance, ScoreCalibration, Verdict, encode_scores
from edgekit.validate.device import validate_device_report
from tests import models
from tests.android.conftest import TESTS, App, JUnit
from tests.android.host import natives

SOURCES = TESTS / "ai/edgekit/demo"
SCREENS = (
    "Storage",
    "FrameRelay",
    "CameraActivity",
    "ImageActivity",
    "SelfTestActivity",
    "OpenModelActivity",
    "AboutActivity",
    "ReportActivity",
)
QUICK = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")  # a JVM that lives for a minute
WEIRD = ("🦊 fox \u202e", "قطة صغيرة", "a label that is far too long for any screen " * 5)


def _model(path: Path, said: ModelSpec) -> ModelSpec:
    """Write the network of `tests.models` with a spec that has golden answers; gives the spec."""
    models.with_spec(models.tflite(path, dtype="uint8"), said)
    images = (models.colour(*sides) for sides in ((200, 20, 20), (20, 200, 20), (20, 20, 200)))
    made = dataclasses.replace(said, golden=golden.make(Classifier(path), images))
    models.with_spec(path, made)
    return made


def _wrong(answers: Iterable[Golden]) -> tuple[Golden, ...]:
    return tuple(
        dataclasses.replace(answer, scores=encode_scores(np.roll(answer.score_array(), 1))) for answer in answers
    )


def write_models(folder: Path) -> None:
    """Write all models that the tests in Java name into `folder`; model.tflite is the packaged one."""
    said = models.spec("uint8", provenance=Provenance(source="colours.keras", steps=("edgekit train colours",)))
    good = _model(folder / "model.tflite", said)
    digest = modelfile.digest(folder / "model.tflite")
    verdict = Verdict("pass", digest, "0" * 64, "1" * 64, 300, {"drop": 0.3, "top1": 0.97}, {"max_drop": 1.0})
    models.with_spec(folder / "model.tflite", dataclasses.replace(good, verdict=verdict))
    models.with_spec(
        models.tflite(folder / "wrong.tflite", dtype="uint8"), dataclasses.replace(good, golden=_wrong(good.golden))
    )
    unsure = dataclasses.replace(good.output, calibration=ScoreCalibration(threshold=0.9))
    _model(folder / "unsure.tflite", dataclasses.replace(said, output=unsure))
    _model(folder / "weird.tflite", models.spec("uint8", WEIRD))
    (folder / "damaged.tflite").write_bytes((folder / "model.tflite").read_bytes()[:200])
    models.tflite(folder / "without_spec.tflite", dtype="uint8")


Robolectric = Callable[..., str]


@pytest.fixture(scope="module")
def robolectric(
    app: App, test_group: Group, junit: JUnit, host_libraries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Robolectric:
    """Run test classes of the screens in one JVM, which has one version of Android; further properties by name."""
    folder = tmp_path_factory.mktemp("robolectric")
    made, package, config = folder / "models", folder / "resources.apk", folder / "config"
    made.mkdir()
    write_models(made)
    shutil.copy(app.resources.package, package)
    with zipfile.ZipFile(package, "a", zipfile.ZIP_STORED) as archive:  # Android maps what is stored
        archive.write(made / "model.tflite", "assets/model.tflite")
        said = modelfile.read_spec(made / "model.tflite")
        assert said is not None
        archive.writestr("assets/camera_vectors.json", camera_vectors.document(said))
    properties = jvm.robolectric(test_group, config, app.resources.manifest, package, folder)

    def run(*names: str, libraries: Path = host_libraries, **more: str | Path) -> str:
        return junit(
            sorted(SOURCES.glob("*.java")),
            [f"ai.edgekit.demo.{name}Test" for name in names],
            [*app.classpath, config],
            properties={**properties, "edgekit.models": made}
            | {f"edgekit.{name}": value for name, value in more.items()},
            options=[*jvm.opens(), *QUICK],
            libraries=libraries,
            environment=natives.MESA,
            timeout=900,
        )

    return run


@pytest.mark.slow
def test_screens(robolectric: Robolectric, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    robolectric("CameraGeometry", *SCREENS, report=report)
    write_models(tmp_path)
    found = validate_device_report(tmp_path / "model.tflite", report)
    assert found.judgement.outcome == "pass"


@pytest.mark.slow
def test_the_oldest_android(robolectric: Robolectric) -> None:
    robolectric("OldestAndroid")


@pytest.mark.slow
@pytest.mark.parametrize("driver", ["right", "wrong"])
def test_nnapi_is_used_if_it_is_right(
    driver: str, robolectric: Robolectric, host_libraries: Path, tmp_path: Path
) -> None:
    libraries = natives.with_nnapi(host_libraries, tmp_path / "nnapi")
    if driver == "wrong":  # its softmax prefers the lowest score
        source = tmp_path / "wrong.c"
        right = natives.HERE / "neuralnetworks.c"
        source.write_text(f'#include <math.h>\n#define expf(x) expf(-(x))\n#include "{right}"\n')
        natives.shared(source, libraries / "libneuralnetworks.so", "-lm")
    robolectric("Nnapi", libraries=libraries, driver=driver)


@pytest.mark.slow
def test_every_screen_is_drawn(robolectric: Robolectric, tmp_path: Path) -> None:
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[:, :, 0] = np.linspace(40, 250, 640, dtype=np.uint8)
    photo[:, :, 1] = np.linspace(120, 20, 480, dtype=np.uint8)[:, None]
    Image.fromarray(photo).save(tmp_path / "photo.png")
    screenshots = tmp_path / "screenshots"
    robolectric("Screenshot", screenshots=screenshots, photo=tmp_path / "photo.png")
    drawn = {path.stem for path in screenshots.iterdir()}
    for screen in ("camera", "photo", "self-test", "about", "permission", "no-camera", "refused", "first-start"):
        for look in ("light-portrait", "dark-portrait", "light-landscape", "dark-landscape"):
            assert f"{screen}-{look}" in drawn
