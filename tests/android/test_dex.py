"""The bytecode inside an APK: it answers as Python does, and uses nothing that the oldest Android lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from android_demo.tools import artifacts, jvm, template
from android_demo.tools.artifacts import Group
from edgekit.package.android.apk import package_android
from tests.android import networks
from tests.android.conftest import available
from tests.android.host import natives
from tests.android.test_schemes import ANSWERS, LARGEST, answers, example, largest_difference

if TYPE_CHECKING:
    from tests.conftest import Needs

pytestmark = pytest.mark.slow

UNVERIFIED = ("-XX:+UnlockDiagnosticVMOptions", "-XX:-BytecodeVerificationRemote")  # dex2jar writes no stack maps


@pytest.fixture(scope="module")
def dex(needs: Needs) -> Group:
    """dex2jar, and the platform of API 26."""
    with available(needs):
        return artifacts.fetch("dex")


@pytest.fixture(scope="module")
def apk(build: Group, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network in an APK of the template as it is now."""
    if not template.is_current():
        template.build()
    folder = tmp_path_factory.mktemp("apk")
    package_android(networks.network(folder / "network.tflite"), folder / "app.apk", abis=["x86_64"], ungated=True)
    return folder / "app.apk"


@pytest.fixture(scope="module")
def classes(apk: Path, dex: Group, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The APK's classes.dex as a jar."""
    jar = tmp_path_factory.mktemp("dex") / "app.jar"
    done = jvm.java("com.googlecode.dex2jar.tools.Dex2jarCmd", ["-o", str(jar), str(apk)], classpath=dex.jars())
    assert done.returncode == 0, done.stdout
    return jar


def test_the_bytecode_of_an_apk_answers_as_python_does(
    apk: Path, classes: Path, build: Group, platform_classpath: list[Path], tmp_path: Path
) -> None:
    libraries = natives.libraries(natives.of_apk(apk, "x86_64"), tmp_path / "libraries", natives.GLES)
    classpath = [classes, platform_classpath[-1]]
    classpath = [jvm.javac([ANSWERS], tmp_path / "answers", classpath), *classpath]
    examples = {"none": example(networks.network(tmp_path / "none.tflite"))}
    found = answers("cpu", examples, classpath, libraries, tmp_path, *UNVERIFIED)
    assert largest_difference(found["none"], examples["none"]) < LARGEST["none"]["cpu"]


def test_every_member_of_the_framework_exists_on_the_oldest_android(classes: Path, dex: Group, tmp_path: Path) -> None:
    checker = jvm.javac([natives.HERE / "ApiCheck.java"], tmp_path / "checker", dex.jars(), release=11)
    arguments = [str(dex.file("android-all")), str(classes)]
    done = jvm.java("ApiCheck", arguments, classpath=[checker, *dex.jars()])
    assert done.returncode == 0, done.stdout
