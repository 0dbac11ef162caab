"""What every candidate is made of and measured on: decoded images, and the float core with what it does on them."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.convert.float_core import TRACES, float_core, probe_pixels
from edgekit.convert.learned import PROBED, by_tensor
from edgekit.core import files, learned_ranges
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.observe import observe
from edgekit.runtime.spec import ModelSpec


@dataclass(frozen=True)
class Core:
    """A float core, and the files beside it.

    Attributes:
        source: the model that it was made of.
        path: of the core (`edgekit.convert.float_core`).
        spec: the source's spec as JSON.
        statistics: of its activations on the representative dataset (`edgekit.quantize.observe`).
        learned: the ranges of activations that the source has learned, by tensor, as JSON; none of them as a rule.
    """

    source: Path
    path: Path
    spec: Path
    statistics: Path
    learned: Path

    @property
    def has_learned(self) -> bool:
        """Whether the source comes from quantization-aware training."""
        return bool(json.loads(self.learned.read_text("utf-8")))


@dataclass(frozen=True)
class Material:
    """What candidates share.

    Attributes:
        folder: of the search.
        core: the model's.
        chosen: the representative dataset.
        calibration, selection: `.npy` files of pixels, uint8 [N, height, width, channels].
        io: type of the candidates' input, as in `edgekit.convert`.
        device: whose runtime must be able to run them: android, raspberry-pi or any.
        step: what candidates' provenance says, before the name of their plan.
        reference: the core's scores on the selection part, float32 [N, labels].
        truth: the right labels there, int [N]; None without labels.
    """

    folder: Path
    core: Core
    chosen: Calibration
    calibration: Path
    selection: Path
    io: str
    device: str
    step: str
    reference: NDArray[np.float32]
    truth: NDArray[np.int64] | None


def make_core(
    name: str, source: Path, spec: ModelSpec, kind: str, chosen: Calibration, folder: Path, allow_lambda: bool
) -> Core:
    """Write the core of `source` and what belongs to it into `folder`, unless an earlier search did.

    Args:
        name: of the files.
        kind: tflite or onnx.

    Raises:
        EdgekitError: as `edgekit.convert.float_core.float_core`.
    """
    path = folder / f"{name}.{kind}"
    core = Core(source, path, *(folder / f"{name}.{part}" for part in ("spec.json", "statistics.npz", "learned.json")))
    if not path.exists():
        with tempfile.TemporaryDirectory(prefix="edgekit-") as work:
            learned, probes = learned_ranges.read(source), probe_pixels(spec, chosen)
            made = float_core(source, spec, kind, probes, Path(work), allow_lambda, learned)
            found = by_tensor(made, spec, probes[:PROBED], Path(work) / TRACES).ranges if learned is not None else {}
            files.write_text(core.learned, json.dumps(found))
            files.write_text(core.spec, spec.to_json())
            files.copy(made, path)
    if not core.statistics.exists():
        observed = observe(path, chosen.pixels, spec.input.layout, os.cpu_count() or 1)
        with files.replacing(core.statistics) as part:
            observed.save(part)
    return core
