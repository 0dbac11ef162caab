"""How much each layer suffers from quantization: the error of the model's answers with only this layer quantized.

All layers are measured in one child process, which tells of each as it comes; where one takes it down, another goes on
behind it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.convert import check
from edgekit.core import child
from edgekit.core.errors import ChildCrashed, ChildLimit
from edgekit.data.splits import evenly
from edgekit.quantize import litert_adapter, onnx_adapter
from edgekit.quantize.estimators import estimate
from edgekit.quantize.observe import Statistics
from edgekit.quantize.plan import Plan
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import ModelSpec
from edgekit.validate import layer_files
from edgekit.validate.layer_names import owners
from edgekit.validate.optimized import Sensitivity

MEASURE = "edgekit.optimize.sensitivity:measure"
IMAGES = 32
TIMEOUT = 1800.0  # seconds for all layers
MOST_DB, LEAST_DB = 120.0, -60.0  # where nothing differs, and where an answer is no number


def rank(
    plan: Plan,
    core: Path,
    statistics: Path,
    spec: Path,
    pixels: Path,
    classes: dict[str, str] | None,
    memory: int,
    on_layer: Callable[[str], None] = lambda layer: None,
) -> list[Sensitivity]:
    """Measure every layer with weights, the worst first; one that cannot be measured is left out.

    Args:
        plan: how it is quantized, of scheme int8.
        core: the float core, repaired already where the plan says so, and `statistics` those of its activations.
        spec: a file with the source's spec as JSON.
        pixels: a `.npy` of images to measure on, uint8 [N, height, width, channels]; `IMAGES` of them are used.
        classes: of Keras' layers (`edgekit.validate.layer_names.keras_classes`); None where there are none.
        memory: bytes that the child may use.
        on_layer: called with the name of each layer when it is measured.
    """
    weights = {node.outputs[0]: (node.kind, node.weight) for node in layer_files.read(core).nodes if node.weight}
    named = owners({tensor: (kind, weight.name) for tensor, (kind, weight) in weights.items()}, classes)
    noise: dict[str, float] = {}

    def note(progress: dict[str, Any]) -> None:
        noise[progress["tensor"]] = progress["noise"]
        on_layer(named[progress["tensor"]].name)

    left = list(weights)
    while left:
        try:
            child.call(
                MEASURE,
                timeout=TIMEOUT,
                memory=memory,
                purpose="Measuring layers",
                on_progress=note,
                plan=plan.to_json(),
                core=str(core),
                statistics=str(statistics),
                spec=str(spec),
                pixels=str(pixels),
                layers=left,
            )
            break
        except (ChildCrashed, ChildLimit):
            unknown = [number for number, layer in enumerate(left) if layer not in noise]
            left = left[1 + unknown[0] :] if unknown else []
    found = []
    total = sum(noise.values())
    for tensor, (kind, weight) in weights.items():
        if tensor in noise and weight.values is not None:
            grows = weight.values.nbytes - weight.values.size
            share = noise[tensor] / total if total else 0.0
            decibels = -10 * math.log10(noise[tensor]) if noise[tensor] > 0 else MOST_DB
            found.append(
                Sensitivity(
                    tensor, named[tensor].name, kind, max(LEAST_DB, min(MOST_DB, decibels)), grows, share / grows
                )
            )
    return sorted(found, key=lambda layer: layer.sqnr_db)


def measure(
    plan: dict[str, Any], core: str, statistics: str, spec: str, pixels: str, layers: Sequence[str]
) -> None:
    """In the child: report for each layer, by its first output, the noise of the answers relative to their power.

    The layer is quantized by the plan, and everything else stays in float.
    """
    wanted, of_source = Plan.from_json(plan), ModelSpec.from_json(Path(spec).read_bytes())
    ranges: Any = estimate(Statistics.load(Path(statistics)), wanted.ranges)
    images = np.load(pixels, mmap_mode="r")
    images = images[evenly(len(images), IMAGES)]
    everything = [node.outputs[0] for node in layer_files.read(Path(core)).nodes if node.outputs]
    expected = check.run_float(open_interpreter(Path(core)), images, of_source.input.layout)
    power = float(np.square(expected, dtype=np.float64).sum())
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / Path(core).name
        for layer in layers:
            others = tuple(name for name in everything if name != layer)
            alone = Plan("int8", wanted.ranges, keep_float=others).to_json()
            try:
                if made.suffix == ".tflite":
                    probabilities = of_source.output.activation != "logits"
                    litert_adapter.quantize(core, str(made), alone, ranges, "float32", probabilities)
                else:
                    onnx_adapter.quantize(core, str(made), alone, ranges)
                answers = check.run_float(open_interpreter(made), images, of_source.input.layout)
            except Exception:  # whatever a library says of it: a layer that cannot be quantized alone is left out
                continue
            with np.errstate(over="ignore", invalid="ignore"):
                noise = float(np.square(answers - expected, dtype=np.float64).sum()) / max(power, 1e-30)
            child.report(tensor=layer, noise=noise if math.isfinite(noise) else 10 ** (-LEAST_DB / 10))
