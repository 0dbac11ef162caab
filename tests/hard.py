"""Networks made hard to quantize on purpose, though their float answers stay what they were.

The channels of an activation are multiplied by powers of two, and the weights that read them are divided by the same:
in float the two cancel exactly. In int8 one scale must now serve channels whose ranges differ by a factor of up to
4096, and so must one scale for all the weights of a filter. It is what batch normalization does to real networks, only
more so (Nagel et al. 2019, arXiv:1906.04721, section 3.1), and cross-layer equalization can undo all of it.

    python -m tests.hard MODEL.keras HARD.keras [--pairs LAYER …] [--data DATA]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child, embed
from edgekit.data.dataset import open_dataset
from edgekit.data.stream import BadImages, map_images
from edgekit.runtime import modelfile, preprocess

SPREAD = 6  # channels are scaled by 2^-6 to 2^6
CLIP = 6.0  # of ReLU6


def harden(
    source: Path, target: Path, data: Path | None = None, *, pairs: Sequence[str] | None = None, seed: int = 0
) -> list[str]:
    """Write the `.keras` file in `source`, which has a spec, as a hard one that answers the same, with the same spec.

    Args:
        data: images that a network with ReLU6 is to answer the same; a channel in which they reach the clip stays as it
            is, and none is scaled above it. Other networks answer everything the same and need none.
        pairs: the layers (convolutions, dense) whose output channels are scaled; without it, all that can be.
        seed: of the scales.

    Returns:
        The names of the layers whose output channels were scaled, in the order of the network.
    """
    spec = modelfile.read_spec(source)
    assert spec is not None
    bare = target.with_suffix(".bare.keras")
    stored = target.with_suffix(".npy")
    if data is not None:
        images = map_images(lambda image: preprocess.pixels(image, spec), open_dataset(data), BadImages(),
                            orientation=spec.preprocess.orientation)
        np.save(stored, np.stack([preprocess.to_tensor(pixels, spec) for _, pixels in images]))
    try:
        scaled: list[str] = child.call(
            "tests.hard:rescale_file", purpose=f"Making {target.name}", source=str(source), target=str(bare),
            images=str(stored) if data is not None else None, pairs=pairs, seed=seed,
        )
        embed.write_spec(bare, spec, target)
    finally:
        bare.unlink(missing_ok=True)
        stored.unlink(missing_ok=True)
    return scaled


def rescale_file(source: str, target: str, images: str | None, pairs: Sequence[str] | None, seed: int) -> list[str]:
    """In a child process: `harden` without the spec; `images` is a `.npy` of the network's inputs, float32 [N, …]."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras

    model = keras.saving.load_model(source, compile=False)
    scaled = rescale(model, np.load(images) if images else None, pairs, seed)
    model.save(target)
    return scaled


@dataclass(frozen=True)
class Pair:
    """A layer whose output channels can be scaled, and the one that can undo it.

    Attributes:
        producer: convolution or dense layer.
        norm: its batch normalization, or None.
        clipped: the output of the ReLU6 between the two, or None.
        consumer: convolution or dense layer.
    """

    producer: Any
    norm: Any
    clipped: Any
    consumer: Any


def rescale(model: Any, images: NDArray[np.float32] | None, pairs: Sequence[str] | None, seed: int) -> list[str]:
    """Scale the channels of a Keras model in place; see `harden`."""
    import keras

    rng = np.random.default_rng(seed)
    scaled = []
    for pair in find_pairs(model):
        channels = int(pair.producer.output.shape[-1])
        exponents = rng.integers(-SPREAD, SPREAD + 1, channels)
        if pairs is not None and pair.producer.name not in pairs:
            continue
        if pair.clipped is not None:
            assert images is not None, "a network with ReLU6 needs images"
            peaks = keras.Model(model.input, pair.clipped).predict(images, verbose=0)
            peaks = peaks.reshape(-1, channels).max(0)
            room = np.floor(np.log2(CLIP / np.maximum(peaks, 1e-6))).astype(int)
            exponents = np.where(peaks < CLIP, np.minimum(exponents, room), 0)
        scales = np.exp2(exponents).astype(np.float32)
        _scale_output(pair.norm or pair.producer, scales)
        _scale_input(pair.consumer, np.exp2(-exponents).astype(np.float32))
        scaled.append(str(pair.producer.name))
    return scaled


def find_pairs(model: Any) -> list[Pair]:
    """The pairs of a Keras model with nothing between them but what scaling commutes with: ReLU, pooling, dropout."""
    readers: dict[int, list[Any]] = {}
    for operation in model.operations:
        for node in operation._inbound_nodes:
            for tensor in node.input_tensors:
                readers.setdefault(id(tensor._keras_history.operation), []).append(operation)
    outputs = {id(tensor._keras_history.operation) for tensor in model.outputs}
    found = []
    for producer in model.layers:
        pair = _pair_of(producer, readers, outputs)
        if pair is not None:
            found.append(pair)
    return found


def _pair_of(producer: Any, readers: dict[int, list[Any]], outputs: set[int]) -> Pair | None:
    import keras

    layers = keras.layers
    passing = (layers.Dropout, layers.ZeroPadding2D, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D,
               layers.AveragePooling2D, layers.MaxPooling2D)
    if not isinstance(producer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
        return None
    norm = clipped = None
    at = producer
    while True:
        clip = _clip(at)
        if clip is None:
            return None
        if clip == CLIP:
            clipped = at.output
        if id(at) in outputs or len(readers.get(id(at), [])) != 1:
            return None
        [after] = readers[id(at)]
        if isinstance(after, layers.BatchNormalization) and at is producer and _clip(at) == np.inf:
            norm = after
        elif isinstance(after, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
            return Pair(producer, norm, clipped, after)
        elif not isinstance(after, (*passing, layers.ReLU, layers.Activation)):
            return None
        at = after


def _clip(layer: Any) -> float | None:
    """Where a layer cuts its values off: 6, inf, or None where it does something that scaling does not commute with."""
    import keras

    if isinstance(layer, keras.layers.ReLU):
        value = np.inf if layer.max_value is None else float(layer.max_value)
        return value if layer.threshold == 0 and value in (CLIP, np.inf) else None
    activation = getattr(layer, "activation", keras.activations.linear)
    known = {keras.activations.linear: np.inf, keras.activations.relu: np.inf, keras.activations.relu6: CLIP}
    return known.get(activation)


def _scale_output(layer: Any, scales: NDArray[np.float32]) -> None:
    """Multiply the output channels of a convolution, dense layer or batch normalization."""
    import keras

    if isinstance(layer, keras.layers.BatchNormalization):
        layer.gamma.assign(layer.gamma * scales)
        layer.beta.assign(layer.beta * scales)
        return
    kernel = layer.kernel.numpy()
    shaped = scales.reshape(kernel.shape[-2:]) if isinstance(layer, keras.layers.DepthwiseConv2D) else scales
    layer.kernel.assign(kernel * shaped)
    if layer.bias is not None:
        layer.bias.assign(layer.bias * scales)


def _scale_input(layer: Any, scales: NDArray[np.float32]) -> None:
    """Multiply the weights of each input channel of a convolution or dense layer."""
    layer.kernel.assign(layer.kernel.numpy() * scales[:, None])


def main() -> None:
    """Make a hard network of a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.hard", description="Make a network hard to quantize.")
    parser.add_argument("source", type=Path, metavar="MODEL.keras")
    parser.add_argument("target", type=Path, metavar="HARD.keras")
    parser.add_argument("--pairs", nargs="+", metavar="LAYER", help="layers whose channels are scaled (default: all)")
    parser.add_argument("--data", type=Path, metavar="DATA", help="images, for a network with ReLU6")
    arguments = parser.parse_args()
    scaled = harden(arguments.source, arguments.target, arguments.data, pairs=arguments.pairs)
    print(f"wrote {arguments.target}: the channels of {', '.join(scaled)} scaled by 2^-{SPREAD} to 2^{SPREAD}")


if __name__ == "__main__":
    main()
