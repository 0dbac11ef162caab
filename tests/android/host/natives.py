"""The application's native libraries, made to load into a JVM on this machine.

Android's libraries are ordinary machine code; `debionic.py` and `bionic.c` make up for Android's C library.
"""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

from android_demo.tools import application
from android_demo.tools.artifacts import Group
from tests.android.host.debionic import debionic

HERE = Path(__file__).parent
GLES = ("-l:libEGL.so.1", "-l:libGLESv2.so.2")  # what the GPU delegate calls; the others would not find it
MESA = {"EGL_PLATFORM": "surfaceless", "LIBGL_ALWAYS_SOFTWARE": "1"}  # the environment of its software renderer


def of_abi(build: Group, abi: str) -> dict[str, bytes]:
    """The native libraries of TensorFlow Lite for one ABI, by name."""
    found: dict[str, bytes] = {}
    for path in application.runtime_files(build):
        with zipfile.ZipFile(path) as library:
            names = [name for name in library.namelist() if name.startswith(f"jni/{abi}/") and name.endswith(".so")]
            found |= {Path(name).name: library.read(name) for name in names}
    return found


def of_apk(apk: Path, abi: str) -> dict[str, bytes]:
    """The native libraries in an APK for one ABI, by name."""
    with zipfile.ZipFile(apk) as archive:
        names = [name for name in archive.namelist() if name.startswith(f"lib/{abi}/")]
        return {Path(name).name: archive.read(name) for name in names}


def libraries(contents: dict[str, bytes], out: Path, link: tuple[str, ...] = (), compiler: str = "gcc") -> Path:
    """Write libraries and what they stand on into the folder `out`.

    Args:
        contents: the libraries of one ABI, by name.
        out: a new folder.
        link: further libraries that these call.
        compiler: for the same machine as the libraries.

    Returns:
        `out`.
    """
    out.mkdir(parents=True)
    for name, content in contents.items():
        (out / name).write_bytes(debionic(content))
    shared(HERE / "bionic.c", out / "liblog.so", "-Wl,--no-as-needed", *link, "-lm", "-ldl", compiler=compiler)
    return out


def with_nnapi(libraries: Path, out: Path) -> Path:
    """The same libraries beside a stand-in for Android's NNAPI, in the folder `out`; gives it."""
    out.mkdir(parents=True)
    for path in libraries.iterdir():
        os.symlink(path, out / path.name)
    shared(HERE / "neuralnetworks.c", out / "libneuralnetworks.so", "-lm")
    shared(HERE / "sharedmemory.c", out / "libandroid.so")
    return out


def shared(source: Path, target: Path, *link: str, compiler: str = "gcc") -> None:
    """Compile a C file to a shared library."""
    flags = ["-O2", "-shared", "-fPIC", f"-Wl,-soname,{target.name}"]
    subprocess.run([compiler, *flags, "-o", str(target), str(source), *link], check=True)
