"""The app's Android Studio project with a model in its place."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape

from edgekit.core.errors import OutputError, PackageError
from edgekit.package.android import app, fit, template
from edgekit.package.android.identity import DEFAULT_VERSION, Identity
from edgekit.runtime.spec import printable

_MAIN = "app/src/main/"
_GRADLE = "app/build.gradle"
_STRINGS = f"{_MAIN}res/values/strings.xml"


@dataclass(frozen=True)
class AndroidProject:
    """A finished project. `verdict` is pass, fail, inconclusive, stale or none, as the app will show it."""

    path: Path
    app_id: str
    name: str
    version: str
    version_code: int
    model_sha256: str
    verdict: str
    runtime: str
    warnings: tuple[str, ...]


def android_project(
    model: str | Path,
    folder: str | Path,
    *,
    app_id: str | None = None,
    name: str | None = None,
    icon: str | Path | None = None,
    version: str = DEFAULT_VERSION,
    ungated: bool = False,
) -> AndroidProject:
    """Write the Android Studio project with the model, its name and its icon into a new folder.

    Args:
        model: a `.tflite` file with a spec.
        folder: missing or empty; it is complete or not there.
        app_id, name, icon, version, ungated: as for `edgekit.package_android`.

    Raises:
        EdgekitError: as for `edgekit.package_android`.
        OutputError: the folder has something in it, or cannot be written.
    """
    model, folder = Path(model), Path(folder)
    _check_folder(folder)
    options = app.Options(app_id, name, None if icon is None else Path(icon), version, ungated)
    made = app.prepare(model, options, project=True)
    facts = made.template.facts
    try:
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            part.chmod(0o755)
            for relative, content in _content(made):
                target = part / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            shutil.copyfile(model, part / _MAIN / app.MODEL_ASSET)
            os.rename(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"Cannot write {printable(str(folder))}: {error.strerror or error}.") from error
    who = made.identity
    return AndroidProject(
        path=folder,
        app_id=who.app_id,
        name=who.name,
        version=who.version,
        version_code=who.version_code,
        model_sha256=made.model.digest,
        verdict=made.model.verdict,
        runtime=facts.runtime,
        warnings=(*made.warnings, *fit.page_warnings(facts, facts.abis, project=True)),
    )


def _check_folder(folder: Path) -> None:
    shown = printable(str(folder))
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{shown} is a file.", "Name a new folder with --project.")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"The folder {shown} is not empty.", "Name a new folder with --project.")
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"The folder {printable(str(folder.parent))} does not exist.", "Make it first.")


def _content(made: app.App) -> Iterator[tuple[str, bytes]]:
    icon = PurePosixPath(made.template.facts.icon).name
    names = set()
    for name, content in made.template.project():
        if name == _GRADLE:
            content = _gradle(content.decode(), made.identity).encode()
        elif name == _STRINGS:
            content = _strings(content.decode(), made.identity.name).encode()
        elif PurePosixPath(name).name == icon:
            content = made.icon or content
        names.add(name)
        yield name, content
    if not {_GRADLE, _STRINGS} <= names:
        raise PackageError("There is no project in the app's template.", template.remedy())
    for name, content in made.template.app():
        if name.startswith("assets/"):  # the licences
            yield _MAIN + name, content
    yield _MAIN + app.VECTORS_ASSET, made.vectors


def _gradle(text: str, who: Identity) -> str:
    text = _replace(r"(?<=\bapplicationId = )'[^']*'", f"'{who.app_id}'", text)
    text = _replace(r"(?<=\bversionCode = )\d+", str(who.version_code), text)
    return _replace(r"(?<=\bversionName = )'[^']*'", f"'{who.version}'", text)


def _strings(text: str, name: str) -> str:
    # Unless told otherwise, aapt2 takes every % for a placeholder, and refuses two.
    element = f'<string name="app_name" formatted="false">{_resource_text(name)}</string>'
    return _replace(r'<string name="app_name">[^<]*</string>', element, text)


def _resource_text(text: str) -> str:
    """A text as a string resource holds it (developer.android.com, "String resources": special characters)."""
    quoted = re.sub(r"(['\"\\])", r"\\\1", text).replace("  ", r" \u0020")  # spaces are else joined
    return escape(f"\\{quoted}" if quoted[0] in "@?" else quoted)


def _replace(pattern: str, replacement: str, text: str) -> str:
    text, count = re.subn(pattern, lambda _: replacement, text)
    if count != 1:
        raise PackageError("The project in the app's template is of another edgekit.", template.remedy())
    return text
