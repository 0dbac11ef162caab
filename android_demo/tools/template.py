"""Build the template that `edgekit package android` makes applications from: edgekit/package/android/template.zip.

    python -m android_demo.tools.template [--runtime VERSION] [--check]

The same sources give the same bytes, with the same JDK. What is in the template is written in docs/architecture.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from android_demo.tools import application, artifacts
from android_demo.tools.application import APP_ID, MIN_SDK, ROOT, TARGET_SDK
from android_demo.tools.artifacts import BUILD, Group
from android_demo.tools.elf import page_size
from android_demo.tools.errors import ToolError

FORMAT = 1
TEMPLATE = ROOT.parent / "edgekit/package/android/template.zip"
LICENSE = ROOT.parent / "LICENSE"
NOTICES = ROOT / "THIRD_PARTY_NOTICES.txt"  # of what is compiled into the native libraries
ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")
PROJECT = (
    *("README.md", "settings.gradle", "build.gradle", "gradle.properties", "gradle"),
    *("app/build.gradle", "app/src/main"),
)
ICON = "icon_foreground.png"
FIXED_TIME = (1980, 1, 1, 0, 0, 0)


def build(target: Path = TEMPLATE, runtime: str | None = None) -> None:
    """Write the template; all of it or nothing.

    Args:
        target: the file to write.
        runtime: a version of the TensorFlow Lite runtime other than the pinned one.

    Raises:
        ToolError: an artifact cannot be fetched or is not the pinned one, or the sources do not compile.
    """
    fetched = artifacts.fetch("build", runtime)
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BUILD, prefix="template-") as folder:
        work = Path(folder)
        resources = application.compile_resources(fetched, work)
        classes = application.compile_classes(fetched, resources, work / "classes")
        content = {"apk/classes.dex": application.dex(fetched, classes, work / "classes.dex").read_bytes()}
        with zipfile.ZipFile(resources.package) as package:
            content |= {f"apk/{name}": package.read(name) for name in package.namelist()}
    content |= _licences(fetched) | dict(_native_libraries(fetched)) | dict(_project())
    content["template.json"] = _description(fetched, content, runtime)
    _write(target, content)


def sources_sha256(runtime: str | None = None) -> str:
    """The digest of all that a template is built from: sources, tools and locked artifacts (or another runtime)."""
    files = [file for name in (*PROJECT, "tools") for file in _files(ROOT / name)]
    digest = hashlib.sha256((runtime or "").encode())
    for file in sorted({*files, LICENSE, NOTICES}):
        name, content = os.path.relpath(file, ROOT.parent).encode(), file.read_bytes()
        for part in (name, content):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
    return digest.hexdigest()


def is_current(target: Path = TEMPLATE, runtime: str | None = None) -> bool:
    """Whether the template was built from the sources as they are now."""
    try:
        with zipfile.ZipFile(target) as template:
            said = json.loads(template.read("template.json"))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False
    return bool(said.get("sources_sha256") == sources_sha256(runtime))


def _description(fetched: Group, content: dict[str, bytes], runtime: str | None) -> bytes:
    version = next(one.version for one in fetched.files if one.artifact in ("tensorflow-lite", "litert"))
    pages = {abi: [page_size(data) for name, data in content.items() if name.startswith(f"lib/{abi}/")] for abi in ABIS}
    said = {
        "format": FORMAT,
        "runtime": version,
        "min_sdk": MIN_SDK,
        "target_sdk": TARGET_SDK,
        "app_id": APP_ID,
        "abis": list(ABIS),
        "page_size": {abi: min(found) for abi, found in pages.items()},
        "icon": next(name.removeprefix("apk/") for name in content if name.startswith("apk/") and name.endswith(ICON)),
        "sources_sha256": sources_sha256(runtime),
    }
    return (json.dumps(said, indent=2) + "\n").encode()


def _native_libraries(fetched: Group) -> Iterator[tuple[str, bytes]]:
    for path in application.runtime_files(fetched):
        with zipfile.ZipFile(path) as library:
            for name in library.namelist():
                folder, _, rest = name.partition("/")
                if folder == "jni" and rest.startswith(tuple(f"{abi}/" for abi in ABIS)) and rest.endswith(".so"):
                    yield f"lib/{rest}", library.read(name)


def _licences(fetched: Group) -> dict[str, bytes]:
    """edgekit's licence, each that a library of TensorFlow Lite carries (a text that repeats is written once), and the
    notices of what these are made of."""
    texts = {LICENSE.read_bytes(): "edgekit", NOTICES.read_bytes(): "third-party"}
    for one, path in fetched.files.items():
        if path.suffix == ".aar":
            with zipfile.ZipFile(path) as library:
                for name in library.namelist():
                    if name.split("/")[-1].upper().startswith(("LICENSE", "NOTICE", "THIRD_PARTY")):
                        texts.setdefault(library.read(name), one.artifact)
    return {f"apk/assets/licenses/{name}.txt": text for text, name in texts.items()}


def _project() -> Iterator[tuple[str, bytes]]:
    for name in PROJECT:
        for file in _files(ROOT / name):
            yield f"project/{file.relative_to(ROOT).as_posix()}", file.read_bytes()


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return [file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts]


def _write(target: Path, content: dict[str, bytes]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for name in sorted(content):
                entry = zipfile.ZipInfo(name, FIXED_TIME)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, content[name], compresslevel=9)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Build the template of `edgekit package android`.")
    parser.add_argument("--runtime", metavar="VERSION", help="another version of the TensorFlow Lite runtime (LiteRT)")
    parser.add_argument("--check", action="store_true", help="only say whether the template is current")
    arguments = parser.parse_args()
    try:
        if is_current(runtime=arguments.runtime):
            print(f"{TEMPLATE.relative_to(ROOT.parent)} is current")
        elif arguments.check:
            sys.exit(f"{TEMPLATE.relative_to(ROOT.parent)} is missing or out of date: make android")
        else:
            build(runtime=arguments.runtime)
            print(f"{TEMPLATE.relative_to(ROOT.parent)}: {TEMPLATE.stat().st_size:,} bytes")
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
