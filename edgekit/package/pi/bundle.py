"""`edgekit package pi`: a model file becomes a folder that runs on a Raspberry Pi, in one archive.

The archive holds `edgekit/runtime` as it is here, byte for byte, so that the device prepares images and reads scores
with the very code that was validated. Made twice, it is the same to the byte.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from edgekit import __version__, runtime
from edgekit.core import files
from edgekit.core.errors import PackageError
from edgekit.package.checks import CheckedModel, check_apart, check_model
from edgekit.package.pi import systems
from edgekit.package.pi.systems import Systems
from edgekit.runtime.pi.report import ENGINES
from edgekit.runtime.spec import printable

ENDING = ".tar.gz"
MAX_NAME = 40
_TEMPLATE = Path(__file__).with_name("template")
_PROGRAMS = ("classify", "install.sh")
_TIME = 315532800  # 1980-01-01: of every member
_BASE_MEMORY, _MEMORY_STEP = 384, 64  # MB: of the service, beside three times the model


@dataclass(frozen=True)
class PiBundle:
    """What was written: a `.tar.gz` with the folder `name`; `systems` says in sentences where it runs."""

    path: Path
    size: int
    name: str
    runtime: str
    verdict: str
    systems: tuple[str, ...]
    warnings: tuple[str, ...]


def default_output(model: Path) -> Path:
    """The bundle beside the model, where the user names none."""
    return model.parent / f"{model.stem}{ENDING}"  # with_name refuses the path "."


def package_pi(model: Path, output: Path, *, runtime: str | None = None, name: str | None = None,
               ungated: bool = False) -> PiBundle:
    """Check a model and write its bundle.

    Args:
        model: a `.tflite` or `.onnx` file with its spec and, unless `ungated`, a fresh verdict that passed.
        output: the archive to write.
        runtime: `litert` or `tflite-runtime` for a `.tflite` file; None takes LiteRT.
        name: of the folder and the service; None makes one of the model's file name.
        ungated: package a model without such a verdict; the bundle says so.

    Raises:
        PackageError: the name, the model or the runtime makes no bundle; nothing was written.
        ModelFileError, SpecError: the model is damaged, or carries no spec that fits.
        OutputError: the archive cannot be written.
    """
    files.check_target(output)
    check_apart(output, [model])
    chosen = _name(model, name)
    checked = check_model(model, ungated=ungated, runner="the bundle", onnx=True)
    where = systems.choose(checked, runtime)
    files.write_bytes(output, _archive(chosen, _members(checked, chosen, where)))
    return PiBundle(output, output.stat().st_size, chosen, where.runtime, checked.verdict, tuple(where.sentences()),
                    tuple(_warnings(checked)))


def _name(model: Path, name: str | None) -> str:
    """A word that can be a folder, a part of a unit's name and of a topic."""
    if name is None:
        name = re.sub(r"[^a-z0-9]+", "-", model.stem.lower()).strip("-")[:MAX_NAME].strip("-") or "model"
    if not re.fullmatch(rf"[a-z0-9](?:[a-z0-9-]{{0,{MAX_NAME - 2}}}[a-z0-9])?", name):
        raise PackageError(f"{printable(name)[:60]!r} is no name for a bundle.",
                           f"Use up to {MAX_NAME} lower-case letters, digits and hyphens inside: --name bird-feeder")
    return name


def _warnings(model: CheckedModel) -> list[str]:
    found = []
    if not model.spec.golden:
        found.append("the model carries no golden answers, so the bundle's self-test fails; "
                     "`edgekit validate --stamp` adds them")
    if model.verdict != "pass":
        found.append(f"packaged without a passed verdict (it is: {model.verdict})")
    return found


def _members(model: CheckedModel, name: str, where: Systems) -> dict[str, bytes]:
    """The files of the bundle's folder, by path."""
    package = Path(runtime.__file__).parent.parent
    found = {"edgekit/__init__.py": (package / "__init__.py").read_bytes()}
    for path in (package / "runtime").rglob("*"):
        if path.is_file() and path.suffix in (".py", ".html"):
            found[f"edgekit/{path.relative_to(package).as_posix()}"] = path.read_bytes()
    model_name = f"model.{model.kind}"
    found[model_name] = model.path.read_bytes()
    found["requirements.txt"] = where.requirements().encode()
    found["bundle.json"] = json.dumps({
        "edgekit_bundle": 1, "edgekit": __version__, "name": name, "model": model_name,
        "model_sha256": model.digest, "runtime": where.runtime, "verdict": model.verdict,
    }, indent=2).encode() + b"\n"
    values = _values(model, name, model_name, where)
    for path in _TEMPLATE.iterdir():
        text = path.read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        found[path.name] = text.encode()
    return found


def _values(model: CheckedModel, name: str, model_name: str, where: Systems) -> dict[str, str]:
    """What replaces the @WORDS@ of the templates. None of it is text from a file that a shell could act upon."""
    spec = model.spec
    megabytes = _BASE_MEMORY + 3 * model.path.stat().st_size // 1_000_000
    verdict = "passed" if model.verdict == "pass" else f"**{model.verdict}**: packaged with --ungated"
    return {
        "NAME": name, "VERSION": __version__, "MODEL": model_name, "SCHEME": spec.scheme,
        "LABELS": str(len(spec.labels)), "WIDTH": str(spec.input.width), "HEIGHT": str(spec.input.height),
        "ENGINE": ENGINES[where.runtime], "RUNTIME": where.runtime, "VERDICT": verdict,
        "SYSTEMS": "\n".join("| {} | {} |".format(*sentence.split(": ", 1)) for sentence in where.sentences()),
        "WIDE": " ".join(where.wide), "NARROW": " ".join(where.narrow),
        "WHY_NOT_NARROW": re.sub(r'["`$\\]', "", where.why_not_narrow),
        "MEMORY": str(-(-megabytes // _MEMORY_STEP) * _MEMORY_STEP),
    }


def _archive(name: str, members: dict[str, bytes]) -> bytes:
    """A `.tar.gz` that depends on nothing but the names and contents."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(members.items()):
            member = tarfile.TarInfo(f"{name}/{path}")
            member.size, member.mtime = len(content), _TIME
            member.mode = 0o755 if path in _PROGRAMS else 0o644
            archive.addfile(member, io.BytesIO(content))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=9, mtime=0) as compressed:
        compressed.write(stream.getvalue())
    return packed.getvalue()
