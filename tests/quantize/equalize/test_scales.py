"""The scales of cross-layer equalization, against what can be computed by hand."""

from __future__ import annotations

import itertools

import numpy as np

from edgekit.quantize.equalize.scales import Joint, Layer, solve


def dense(*rows: list[float]) -> Layer:
    return Layer.of(np.array(rows, np.float32), 1)


def test_a_dense_reader_shares_the_burden() -> None:
    joint = Joint(dense([1], [1]), dense([1, 16]), np.arange(2), np.array([1.0, 1.0]), None)
    [scales] = solve([joint])  # sqrt(1 / 1) and sqrt(1 / 16), up to a common factor
    assert scales[0] / scales[1] == 4


def test_a_depthwise_reader_leaves_the_say_to_the_activation() -> None:
    second = Layer.of(np.array([[1.0], [64.0]], np.float32), 2)
    joint = Joint(dense([1], [1]), second, np.arange(2), np.array([1.0, 16.0]), None)
    [scales] = solve([joint])
    assert scales[1] / scales[0] == 16


def test_every_input_that_a_channel_feeds_counts() -> None:
    joint = Joint(dense([1], [1]), dense([1, 1, 16, 1]), np.array([0, 1, 0, 1]), np.ones(2), None)
    [scales] = solve([joint])
    assert scales[1] / scales[0] == 4


def test_scales_are_powers_of_two_and_dead_channels_have_none() -> None:
    rng = np.random.default_rng(0)
    ranges = rng.uniform(0.01, 100, 9)
    ranges[4] = 0
    joint = Joint(dense(*[[1.0]] * 9), dense(rng.uniform(0.01, 100, 9).tolist()), np.arange(9), ranges, None)
    [scales] = solve([joint])
    assert scales[4] == 1
    assert (np.log2(scales) % 1 == 0).all()
    assert len(set(scales)) > 3


def test_chains_settle() -> None:
    rng = np.random.default_rng(0)
    layers = [Layer.of(np.exp2(rng.uniform(-6, 6, (6, 6))).astype(np.float32), 1) for _ in range(5)]
    joints = [
        Joint(first, second, np.arange(6), np.exp2(rng.uniform(-6, 6, 6)), None)
        for first, second in itertools.pairwise(layers)
    ]
    for joint, scales in zip(joints, solve(joints), strict=True):
        balance = joint.ranges / scales / joint.second.by_channel(joint.channels, 6)
        assert np.ptp(np.log2(balance)) < 1.01  # what is left is the rounding of the scale itself


def test_a_channel_at_the_clip_does_not_move_and_the_others_keep_below() -> None:
    reach = np.array([1.0, 0.001, 0.4])
    joint = Joint(dense([1], [1], [1]), dense([1, 1, 1e-6]), np.arange(3), 6 * reach, reach)
    [scales] = solve([joint])
    assert scales[0] == 1
    assert (reach[1:] / scales[1:] <= 0.5 * 2**0.5).all()
    assert scales[1] < 1


def test_grouped_kernels_read_the_channels_of_their_group() -> None:
    layer = Layer.of(np.arange(8, dtype=np.float32).reshape(4, 2, 1, 1), 2)
    assert layer.inputs.tolist() == [[0, 1], [0, 1], [2, 3], [2, 3]]
    assert layer.by_channel(np.arange(4), 4).tolist() == [2, 3, 6, 7]
