"""Pairs of weighted operators that can be equalized: the second alone reads the first, across what scaling passes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.network import Channels, Network, broadcasts, spread


@dataclass(frozen=True)
class Link:
    """Two weighted operators, by their place in the network, and what lies between them.

    Attributes:
        count: of the output channels of the first.
        channels: for each input channel of the second, the output channel of the first that it comes from.
        shifts: operators in between that add constants, with the channel numbers that enter them.
        clips: operators that clip from above, with the channel numbers that leave them; the first itself where it does.
        entering: the activation that the second reads.
        numbers: the channel numbers in it.
    """

    first: int
    second: int
    count: int
    channels: Channels
    shifts: tuple[tuple[int, Channels], ...]
    clips: tuple[tuple[int, Channels], ...]
    entering: str
    numbers: Channels


def find_links(network: Network) -> tuple[list[Link], dict[str, str]]:
    """The links of a network in its order, and for each other weighted operator why nothing can be scaled behind it."""
    readers: dict[str, list[int]] = defaultdict(list)
    for place, operator in enumerate(network.operators):
        for tensor in operator.inputs:
            readers[tensor].append(place)
    links, alone = [], {}
    for place, operator in enumerate(network.operators):
        if operator.kind == "weighted":
            found = _follow(network, readers, place)
            if isinstance(found, Link):
                links.append(found)
            else:
                alone[operator.output] = found
        elif operator.kind == "mixes" and operator.why:
            alone[operator.output] = operator.why
    return links, alone


def _follow(network: Network, readers: dict[str, list[int]], first: int) -> Link | str:
    operator = network.operators[first]
    shape = network.shape(operator.output)
    if shape is None:
        return "the shape of its output is not known"
    count = shape[operator.axis]
    numbers = spread(np.arange(count), operator.axis, shape)
    shifts: list[tuple[int, Channels]] = []
    clips: list[tuple[int, Channels]] = []
    at = first
    while True:
        if operator.activation == "other":
            return f"what follows it is not linear for positive values ({operator.type})"
        if operator.activation == "clip":
            clips.append((at, numbers))
        tensor = operator.output
        if tensor in network.outputs:
            return "it makes the output"
        if len(readers[tensor]) != 1:
            return f"its output is read by {len(readers[tensor])} operators"
        [at] = readers[tensor]
        operator = network.operators[at]
        if operator.kind == "mixes":
            return f"{operator.type} reads it{f': {operator.why}' if operator.why else ''}"
        if operator.kind == "weighted":
            channels = operator.read(numbers)
            if channels is None:
                return "its channels mix on the way"
            return Link(first, at, count, channels, tuple(shifts), tuple(clips), tensor, numbers)
        if operator.kind == "shifts":
            if offset_by_channel(network.offset(at), numbers) is None:
                return "what is added to it differs within a channel"
            shifts.append((at, numbers))
        carried = operator.carry(numbers)
        if carried is None:
            return f"its channels mix in {operator.type}"
        numbers = carried


def offset_by_channel(offset: NDArray[np.float32], numbers: Channels) -> tuple[NDArray[np.float32], Channels] | None:
    """An added constant with one value for each place along the axes where channels vary, and the channel of each.

    None where it varies along other axes as well.
    """
    axes = varying(numbers)
    picked = tuple(slice(None) if axis in axes else slice(1) for axis in range(numbers.ndim))
    wide = np.broadcast_to(offset, numbers.shape)
    if (wide != wide[picked]).any():
        return None
    values, places = wide[picked], numbers[picked]
    if offset.size == values.size and broadcasts(offset, numbers.shape):
        return values.reshape(offset.shape), places.reshape(offset.shape)
    return values, places


def varying(numbers: Channels) -> tuple[int, ...]:
    """The axes along which channel numbers differ."""
    return tuple(
        axis
        for axis in range(numbers.ndim)
        if numbers.strides[axis] and (numbers != numbers.take([0], axis)).any()  # without stride it is one value
    )
