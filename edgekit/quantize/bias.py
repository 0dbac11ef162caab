"""Bias correction: what quantized weights add to the mean of each channel is taken back by its bias.

Nagel et al. (2019, arXiv:1906.04721, section 4.2 and appendix D): the error of a layer's weights, quantized − float, is
run over what the layer reads in the float model, on images, beside the layer itself; its mean over images and places
is what the bias takes back.

Measured on EfficientNet-Lite0 with 4-bit weights: 92.6 % top-1 agreement with float before, 98.9 % after.

All layers are corrected at once, each for its own weights. Measured on a CNN with 4-bit weights (Hellinger² of the
probabilities): uncorrected 0.0017, so 0.0010; layer after layer, each for what the corrected ones before leave, 0.0004,
which takes a run of the images per layer, minutes where this takes seconds. All at once for what arrives of all
errors, 0.011: they are then taken back again and again.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.network import open_network
from edgekit.quantize.taps import open_taps


@dataclass(frozen=True)
class Corrected:
    """What `correct_bias` did.

    Attributes:
        layers: the layers that were corrected, by their output's name, in the order of the network, each with its
            largest correction, in the units of its output.
    """

    layers: tuple[tuple[str, float], ...]


def correct_bias(core: Path, quantized: Path, target: Path, pixels: NDArray[np.uint8], layout: str) -> Corrected:
    """Write a float core to `target` with the biases that its quantized weights need.

    Quantizing the target by the same plan gives the same weights, and with these biases the right means.

    Args:
        core: a float `.tflite` or `.onnx` that takes pixels from 0 to 255.
        quantized: what a quantizer made of it. Layers whose weights are not 8- or 4-bit integers there are left alone.
        pixels: images like those that the model will see, uint8 [N, height, width, channels].
        layout: NHWC or NCHW, of the core's input.

    Raises:
        ModelFileError: a file is damaged, or cannot be looked at.
        MissingExtraError: onnx is not installed.
    """
    network, beside = open_network(core), open_network(core)
    places: dict[str, int] = {}
    for place, weights in network.quantized_weights(quantized).items():
        if network.operators[place].takes_bias:
            places[beside.add_twin(place, weights - network.weights(place))] = place
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        both = Path(folder) / f"both{core.suffix}"
        beside.save(both)
        axes = {twin: network.operators[place].axis for twin, place in places.items()}
        means = _means(both, axes, pixels, layout)
    layers = []
    for twin, place in places.items():
        bias = network.bias(place)
        network.set_bias(place, ((0 if bias is None else bias) - means[twin]).astype(np.float32))
        layers.append((network.operators[place].output, float(np.abs(means[twin]).max())))
    network.save(target)
    return Corrected(tuple(layers))


def _means(model: Path, axes: dict[str, int], pixels: NDArray[np.uint8], layout: str) -> dict[str, NDArray[np.float64]]:
    """The mean over images and places of activations, by channel; `axes` has theirs."""
    taps = open_taps(model)

    def by_channel(image: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
        tensor = np.ascontiguousarray((image.transpose(2, 0, 1) if layout == "NCHW" else image)[None], np.float32)
        return {
            name: np.moveaxis(values, axes[name], -1).reshape(-1, values.shape[axes[name]]).mean(0, np.float64)
            for name, values in taps.each(tensor)
            if name in axes
        }

    found = [by_channel(image) for image in pixels]
    return {name: np.mean([one[name] for one in found], 0) for name in axes}
