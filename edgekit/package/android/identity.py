"""What an app is called: its id, its name, its version; from the user's options or from the model's file name."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import PackageError
from edgekit.runtime.spec import printable

DEFAULT_VERSION = "1.0.0"
MAX_ID = 223  # PackageManager's limit
MAX_NAME = 100
MAX_VERSION_CODE = 2_100_000_000  # Google Play's limit
MAX_MAJOR = 2099

_SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_VERSION = re.compile(r"(\d{1,4})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?", re.ASCII)
# The Java Language Specification, 3.9: a project with such an id does not compile.
_KEYWORDS = {
    "abstract", "assert", "boolean", "break", "byte", "case", "catch", "char", "class", "const", "continue",
    "default", "do", "double", "else", "enum", "extends", "false", "final", "finally", "float", "for", "goto", "if",
    "implements", "import", "instanceof", "int", "interface", "long", "native", "new", "null", "package", "private",
    "protected", "public", "return", "short", "static", "strictfp", "super", "switch", "synchronized", "this",
    "throw", "throws", "transient", "true", "try", "void", "volatile", "while",
}


@dataclass(frozen=True)
class Identity:
    """An app's id (`com.example.birds`), the name below its icon, its version as people and as Android read it."""

    app_id: str
    name: str
    version: str
    version_code: int


def identity(model: Path, base_id: str, app_id: str | None, name: str | None, version: str) -> Identity:
    """Who an app is; each part that is not given comes from the name of the model's file.

    Args:
        model: the model's file.
        base_id: what default ids begin with.
        app_id, name: from the user.
        version: up to three numbers: `2`, `2.1`, `2.1.3`.

    Raises:
        PackageError: one of them is not possible; the message says why.
    """
    stem = model.name.removesuffix(".tflite") or model.name
    return Identity(
        _checked_id(app_id) if app_id is not None else default_id(base_id, stem),
        _checked_name(_visible(stem)[:MAX_NAME] if name is None else name),
        version,
        version_code(version),
    )


def default_id(base: str, stem: str) -> str:
    """An id of the app for a model, so that the apps of two models can be installed side by side."""
    segment = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")[:60]
    if not segment:
        segment = hashlib.sha256(stem.encode(errors="surrogateescape")).hexdigest()[:8]
    if not segment[0].isalpha() or segment in _KEYWORDS:
        segment = f"model_{segment}"
    return f"{base}.{segment}"


def version_code(version: str) -> int:
    """Android's number of a version: 1,000,000 · major + 1000 · minor + patch; a higher one replaces a lower one.

    Raises:
        PackageError: it is no version of up to three numbers, or one of them is too large.
    """
    found = _VERSION.fullmatch(version)
    major, minor, patch = (int(number or 0) for number in found.groups()) if found else (0, 0, 0)
    code = 1_000_000 * major + 1000 * minor + patch
    if not 1 <= code <= MAX_VERSION_CODE or major > MAX_MAJOR:
        raise PackageError(
            f"The version {printable(version)[:40]!r} is not possible.",
            f"Give up to three numbers: 2, 2.1 or 2.1.3; the first at most {MAX_MAJOR}, the others at most 999.",
        )
    return code


def _checked_id(app_id: str) -> str:
    shown, segments = printable(app_id)[:100], app_id.split(".")
    wrong = next((segment for segment in segments if not _SEGMENT.fullmatch(segment)), None)
    keyword = next((segment for segment in segments if segment in _KEYWORDS), None)
    if len(segments) < 2:
        reason = "it has no dot; an id has two or more parts"
    elif wrong is not None:
        reason = f"its part {printable(wrong)[:40]!r} is not a letter followed by letters, digits and _ (ASCII)"
    elif keyword is not None:
        reason = f"{keyword!r} is a keyword of Java"
    elif len(app_id) > MAX_ID:
        reason = f"it has {len(app_id)} characters, and {MAX_ID} are possible"
    else:
        return app_id
    raise PackageError(f"The app id {shown!r} is not possible: {reason}.", "Give one like com.example.birds.")


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or len(name) > MAX_NAME or _visible(name) != name:
        raise PackageError(
            f"The app's name {printable(name)[:40]!r} is not possible.",
            f"Give one line of 1 to {MAX_NAME} characters with --name.",
        )
    return name


def _visible(text: str) -> str:
    """The text without line breaks, control characters and what is no Unicode; marks for joining and direction stay."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp"))
