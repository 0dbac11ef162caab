"""Cross-layer equalization of a float core: its weights are rescaled so that every channel uses its share of a range.

Nagel et al. (2019), "Data-Free Quantization Through Weight Equalization and Bias Correction", arXiv:1906.04721, section
4.1; `scales.py` says where edgekit departs from it. Between two layers, scaling commutes with ReLU, leaky ReLU, pooling
and the like (`network/`), and scales are powers of two: the float model answers the same, bit for bit. A clip (ReLU6)
does not commute. Where no image reaches it, it is made a ReLU; where some do, it stays, the channels that reach it stay
as they are, and the others are kept well below it. That is true of the images that were seen. So scales are found on
some of them, that the float model answers the same is verified on all, and pairs for which it is not so are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ConversionError
from edgekit.quantize.equalize.links import Link, find_links, offset_by_channel
from edgekit.quantize.equalize.scales import Joint, Layer, Real, solve
from edgekit.quantize.equalize.seen import Seen, look
from edgekit.quantize.network import Network, open_network
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import printable

HELD_OUT = 4  # one image in so many is for the verification alone
LEAST_AGREEMENT = 0.99
MOST_DIFFERENCE = 0.05  # of the largest output


@dataclass(frozen=True)
class Pair:
    """Two layers that were equalized.

    A spread is the largest range among channels over their median: how little the usual channel uses of what all share.

    Attributes:
        first: the first layer, by its output's name.
        second: the second layer, likewise.
        channels: how many they share.
        scaled: how many of these were scaled.
        activations: the spread of the activation that the second reads, before and after.
        weights: the spread of the second layer's weights over the channels that they read, likewise.
        clip: `raised` or `kept`, where something clips between them; else `none`.
    """

    first: str
    second: str
    channels: int
    scaled: int
    activations: tuple[float, float]
    weights: tuple[float, float]
    clip: Literal["none", "raised", "kept"]


@dataclass(frozen=True)
class Equalized:
    """What `equalize` did.

    Attributes:
        pairs: in the order of the network.
        left_alone: other layers, by their output's name, with the reason.
        max_difference: between the outputs of both float models, on all images.
        agreement: on what share of these both have the same top-1, from 0 to 1.
    """

    pairs: tuple[Pair, ...]
    left_alone: tuple[tuple[str, str], ...]
    max_difference: float
    agreement: float


def equalize(core: Path, target: Path, pixels: NDArray[np.uint8], layout: str) -> Equalized:
    """Write a float core, a `.tflite` or `.onnx` that takes pixels from 0 to 255, equalized to `target`.

    Tensors keep their names. With nothing to equalize, the target computes what the core does.

    Args:
        pixels: images like those that the model will see, uint8 [N, height, width, channels].
        layout: NHWC or NCHW, of the core's input.

    Raises:
        ModelFileError: the core is damaged, or cannot be looked at.
        MissingExtraError: onnx is not installed.
        ConversionError: the equalized model answers differently, though every pair that could be why was left alone.
    """
    network = open_network(core)
    links, alone = find_links(network)
    tensors = [_tensor(image, layout) for image in pixels]
    some, everything = look(core, network, links, tensors, HELD_OUT)
    reference = _answers(core, tensors)
    while True:
        scales = _solve(network, links, some)
        pairs = _rescale(network, links, some, scales)
        network.save(target)
        difference, agreement = _compare(reference, _answers(target, tensors))
        if agreement >= LEAST_AGREEMENT and difference <= MOST_DIFFERENCE * np.abs(reference).max():
            even = {_name(network, link) for link in links} - {pair.first for pair in pairs}
            alone |= dict.fromkeys(even, "its channels use their ranges evenly")
            in_order = [operator.output for operator in network.operators if operator.output in alone]
            return Equalized(tuple(pairs), tuple((name, alone[name]) for name in in_order), difference, agreement)
        kept = [
            number
            for number in range(len(links))
            if _holds(some[number].reach, everything[number].reach, scales[number])
        ]
        if len(kept) == len(links):
            raise ConversionError(
                f"Equalizing {printable(core.name)} gave a model that answers differently (by {difference:.3g})."
            )
        broken = [link for number, link in enumerate(links) if number not in kept]
        alone |= {_name(network, link): "images reach the clip behind it, and answers would change" for link in broken}
        links = [links[number] for number in kept]
        some, everything = [some[number] for number in kept], [everything[number] for number in kept]
        network = open_network(core)


def _solve(network: Network, links: Sequence[Link], seen: Sequence[Seen]) -> list[NDArray[np.float32]]:
    layers: dict[int, Layer] = {}
    for link in links:
        for place in (link.first, link.second):
            layers[place] = Layer.of(network.weights(place), network.operators[place].groups)
    return solve(
        [
            Joint(
                layers[link.first],
                layers[link.second],
                link.channels,
                one.ranges,
                None if _goes(one.reach) else one.reach,
            )
            for link, one in zip(links, seen, strict=True)
        ]
    )


def _goes(reach: Real | None) -> bool:
    """Whether nothing clips, as far as was seen."""
    return reach is None or bool((reach < 1).all())


def _holds(some: Real | None, everything: Real | None, scales: NDArray[np.float32]) -> bool:
    """Whether what was found on some images is true of all: no value is clipped that was not, and none no more."""
    if some is None or everything is None:
        return True
    if _goes(some):
        return _goes(everything)
    moved = scales != 1
    return not (moved & ((everything >= 1) | (everything / scales > 1))).any()


def _rescale(
    network: Network, links: Sequence[Link], seen: Sequence[Seen], scales: Sequence[NDArray[np.float32]]
) -> list[Pair]:
    moved = [number for number, one in enumerate(scales) if (one != 1).any()]
    before = {number: _reading(network, links[number], len(scales[number])) for number in moved}
    for number in moved:
        _divide_output(network, links[number], scales[number])
        _multiply_input(network, links[number], scales[number])
        if _goes(seen[number].reach):
            for clip, _ in links[number].clips:
                network.raise_clip(clip)
    pairs = []
    for number in moved:
        link, ranges = links[number], seen[number].ranges
        pairs.append(
            Pair(
                _name(network, link),
                network.operators[link.second].output,
                len(ranges),
                int((scales[number] != 1).sum()),
                (_spread(ranges), _spread(ranges / scales[number])),
                (_spread(before[number]), _spread(_reading(network, link, len(ranges)))),
                "none" if not link.clips else "raised" if _goes(seen[number].reach) else "kept",
            )
        )
    return pairs


def _divide_output(network: Network, link: Link, scales: NDArray[np.float32]) -> None:
    weights, bias = network.weights(link.first), network.bias(link.first)
    network.set_weights(link.first, weights / _aligned(scales, weights.ndim))
    if bias is not None:
        network.set_bias(link.first, bias / scales)
    for place, numbers in link.shifts:
        found = offset_by_channel(network.offset(place), numbers)
        assert found is not None  # find_links has looked
        values, channels = found
        network.set_offset(place, values / scales[channels])


def _multiply_input(network: Network, link: Link, scales: NDArray[np.float32]) -> None:
    weights = network.weights(link.second)
    layer = Layer.of(weights, network.operators[link.second].groups)
    network.set_weights(link.second, weights * _aligned(scales[link.channels][layer.inputs], weights.ndim))


def _aligned(scales: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    return scales.reshape(*scales.shape, *(1,) * (rank - scales.ndim))


def _reading(network: Network, link: Link, count: int) -> Real:
    layer = Layer.of(network.weights(link.second), network.operators[link.second].groups)
    return layer.by_channel(link.channels, count)


def _spread(ranges: Real) -> float:
    used = ranges[ranges > 0]
    return float(used.max() / np.median(used)) if used.size else 1.0


def _name(network: Network, link: Link) -> str:
    return network.operators[link.first].output


def _tensor(image: NDArray[np.uint8], layout: str) -> NDArray[np.float32]:
    return np.ascontiguousarray((image.transpose(2, 0, 1) if layout == "NCHW" else image)[None], np.float32)


def _answers(path: Path, tensors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    model = open_interpreter(path)
    return np.concatenate([model.run(tensor).reshape(1, -1) for tensor in tensors])


def _compare(reference: NDArray[np.float32], made: NDArray[np.float32]) -> tuple[float, float]:
    """The largest difference, infinite where one is not finite; and the share of the same top-1."""
    difference = float(np.abs(made - reference).max())
    same = float((made.argmax(1) == reference.argmax(1)).mean())
    return (difference if np.isfinite(difference) else np.inf), same
