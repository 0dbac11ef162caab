"""What the tests of the Android application share: fetched artifacts, compiled classes, a way to run JUnit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from android_demo.tools import application, artifacts, jvm
from android_demo.tools.application import Resources
from android_demo.tools.artifacts import Group
from android_demo.tools.errors import UnavailableError
from tests.android.host import natives

if TYPE_CHECKING:
    from tests.conftest import Needs

TESTS = application.ROOT / "app/src/test/java"
RUNTIME = Path("ai/edgekit/demo/runtime")


@dataclass(frozen=True)
class App:
    """The compiled application."""

    resources: Resources
    classpath: list[Path]


@contextmanager
def available(needs: Needs) -> Iterator[None]:
    """Leave the test out where the tools lack something."""
    try:
        yield
    except UnavailableError as error:
        needs.leave_out(error.message, error.hint)


@pytest.fixture(scope="session")
def build(needs: Needs) -> Group:
    """What the application is built from."""
    needs.program("javac", apt="openjdk-17-jdk-headless")
    with available(needs):
        return artifacts.fetch("build")


@pytest.fixture(scope="session")
def test_group(needs: Needs) -> Group:
    """JUnit and Robolectric."""
    with available(needs):
        return artifacts.fetch("test")


@pytest.fixture(scope="session")
def platform_classpath(build: Group) -> list[Path]:
    """What the application finds on a phone: TensorFlow Lite, and the platform with org.json."""
    return [*application.libraries(build), application.android_jar(build)]


@pytest.fixture(scope="session")
def runtime_classpath(platform_classpath: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The classes of ai.edgekit.demo.runtime, which run on any JVM, and what they need."""
    sources = [application.MAIN / "java" / folder for folder in (RUNTIME, "org/tensorflow/lite")]
    return [jvm.javac(sources, tmp_path_factory.mktemp("runtime"), platform_classpath), *platform_classpath]


@pytest.fixture(scope="session")
def app(build: Group, platform_classpath: list[Path], needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> App:
    """The whole application, compiled."""
    folder = tmp_path_factory.mktemp("app")
    with available(needs):
        resources = application.compile_resources(build, folder)
    classes = application.compile_classes(build, resources, folder / "classes")
    return App(resources, [classes, *platform_classpath])


@pytest.fixture(scope="session")
def host_libraries(build: Group, needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The application's x86_64 libraries, made to load into a JVM here; the GPU delegate draws with Mesa."""
    needs.program("gcc", apt="gcc libc6-dev")
    needs.library("libEGL.so.1", apt="libegl1 libegl-mesa0 libgl1-mesa-dri")
    needs.library("libGLESv2.so.2", apt="libgles2")
    return natives.libraries(natives.of_abi(build, "x86_64"), tmp_path_factory.mktemp("host") / "x86_64", natives.GLES)


@pytest.fixture(scope="session")
def nnapi_libraries(host_libraries: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, on a machine with NNAPI: a stand-in that executes."""
    return natives.with_nnapi(host_libraries, tmp_path_factory.mktemp("host") / "nnapi")


JUnit = Callable[..., str]


@pytest.fixture(scope="session")
def junit(test_group: Group, tmp_path_factory: pytest.TempPathFactory) -> JUnit:
    """Compile and run JUnit tests in one JVM; gives what they wrote, and fails with it when one of them fails."""

    def run(
        sources: Sequence[Path],
        names: Sequence[str],
        classpath: Sequence[Path],
        *,
        properties: Mapping[str, str | Path] | None = None,
        options: Sequence[str] = (),
        libraries: Path | None = None,
        environment: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> str:
        path = [*classpath[:1], *test_group.jars(), *classpath[1:]]
        classes = jvm.javac(sources, tmp_path_factory.mktemp("tests"), path)
        done = jvm.java(
            jvm.JUNIT,
            names,
            classpath=[classes, *path],
            properties=properties,
            options=options,
            libraries=libraries,
            environment=environment,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run
