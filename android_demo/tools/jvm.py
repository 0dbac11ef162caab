"""Compile Java sources, and run programs and JUnit tests on the JVM of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from android_demo.tools.artifacts import Group
from android_demo.tools.errors import ToolError, UnavailableError

JUNIT = "org.junit.runner.JUnitCore"
ROBOLECTRIC_OPENS = ("java.io", "java.lang", "java.nio", "java.util")  # what it reflects on


def javac(
    sources: Iterable[Path],
    out: Path,
    classpath: Iterable[Path] = (),
    processor_path: Iterable[Path] = (),
    release: int = 8,
) -> Path:
    """Compile Java sources to the folder `out`, which is made anew.

    android.jar may be on the class path: java.* comes from the JDK's own record of the release.

    Args:
        sources: files, and folders of files.
        out: where the classes go.
        classpath: jars and folders of classes.
        processor_path: jars of annotation processors; none is used without it.
        release: of the Java language and library.

    Returns:
        `out`.

    Raises:
        UnavailableError: there is no JDK.
        ToolError: the sources do not compile.
    """
    files = [file for path in sources for file in (sorted(path.rglob("*.java")) if path.is_dir() else [path])]
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    processors = ["-processorpath", join(processor_path)] if processor_path else ["-proc:none"]
    options = ["-encoding", "UTF-8", "--release", str(release), "-Xlint:-options", "-nowarn", "-g:source,lines"]
    done = run("javac", [*options, *processors, "-cp", join(classpath), "-d", str(out), *map(str, files)])
    if done.returncode:
        raise ToolError(f"The Java sources do not compile:\n{done.stdout}")
    return out


def java(
    main: str,
    arguments: Sequence[str] = (),
    *,
    classpath: Iterable[Path],
    options: Sequence[str] = (),
    properties: Mapping[str, str | Path] | None = None,
    libraries: Path | None = None,
    environment: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Run a Java program to its end.

    Args:
        main: the class.
        arguments: its arguments.
        classpath: jars and folders of classes.
        options: for the JVM.
        properties: system properties.
        libraries: the folder of native libraries.
        environment: variables beside this process' own.
        timeout: seconds; subprocess.TimeoutExpired after that.

    Returns:
        The finished process; its `stdout` holds what it wrote to both streams.
    """
    said = [f"-D{name}={value}" for name, value in (properties or {}).items()]
    variables = {**os.environ, **(environment or {})}
    if libraries:
        said.append(f"-Djava.library.path={libraries}")
        variables["LD_LIBRARY_PATH"] = str(libraries)
    command = [*options, *said, "-cp", join(classpath), main, *arguments]
    return run("java", command, environment=variables, timeout=timeout)


def robolectric(test: Group, config: Path, manifest: Path, resources: Path, assets: Path) -> dict[str, str | Path]:
    """What Robolectric needs to run without Gradle: gives system properties, and fills the folder `config`.

    Args:
        test: the group `test` of the artifacts.
        config: a folder that goes on the class path.
        manifest: the application's AndroidManifest.xml as text, without placeholders.
        resources: the package that aapt2 linked.
        assets: the folder of assets.
    """
    properties = config / "com/android/tools/test_config.properties"
    properties.parent.mkdir(parents=True, exist_ok=True)
    properties.write_text(
        f"android_merged_manifest={manifest}\nandroid_merged_assets={assets}\n"
        f"android_resource_apk={resources}\nandroid_custom_package=ai.edgekit.demo\n"
    )
    platforms = next(iter(test.files.values())).parent
    return {"robolectric.offline": "true", "robolectric.dependency.dir": platforms}


def opens() -> list[str]:
    """The options of a JVM that runs Robolectric."""
    return [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in ROBOLECTRIC_OPENS]


def join(classpath: Iterable[Path]) -> str:
    """A class path as the tools of a JDK take it."""
    return os.pathsep.join(map(str, classpath))


def run(
    program: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run a program of the JDK; `stdout` of what it gives holds both streams."""
    if not shutil.which(program):
        raise UnavailableError(f"The program {program} is missing.", "Debian: apt-get install openjdk-17-jdk-headless")
    return subprocess.run(
        [program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        timeout=timeout,
    )
