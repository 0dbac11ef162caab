"""Makes bundles for the Raspberry Pi of small models, packed and unpacked."""

from __future__ import annotations

import dataclasses
import tarfile
from pathlib import Path

from edgekit.core import embed
from edgekit.package.pi.bundle import package_pi
from edgekit.runtime import modelfile
from edgekit.runtime.spec import Verdict
from tests import device_reports


def passed(path: Path) -> Path:
    """Stamp a model with a verdict that it has passed; gives the path."""
    spec = modelfile.read_spec(path)
    assert spec is not None
    verdict = Verdict("pass", modelfile.digest(path), "", "", 500)
    embed.write_spec(path, dataclasses.replace(spec, verdict=verdict), path)
    return path


def model(path: Path) -> Path:
    """Write a small `.tflite` model with golden answers and a passed verdict: the brightest colour wins."""
    return passed(device_reports.model(path))


def unpacked(archive: Path, folder: Path) -> Path:
    """Unpack a bundle as `tar` does; gives its own folder."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    [made] = folder.iterdir()
    return made


def folder(path: Path, source: Path | None = None, *, runtime: str | None = None, ungated: bool = False) -> Path:
    """The unpacked bundle of a model, or of a small one, below `path`."""
    path.mkdir(exist_ok=True)
    archive = path / "bundle.tar.gz"
    package_pi(source or model(path / "colours.tflite"), archive, runtime=runtime, ungated=ungated)
    (path / "unpacked").mkdir()
    return unpacked(archive, path / "unpacked")
