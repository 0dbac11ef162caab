"""Runs in a child process: what the networks that edgekit trains look like."""

from __future__ import annotations

from typing import Any

import numpy as np


def describe(sizes: list[list[int]]) -> list[dict[str, Any]]:
    """For each [height, width, channels, classes]: parameters, the last map's size, and answers to bytes."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    from edgekit.train import backbones

    found = []
    for height, width, channels, classes in sizes:
        model = backbones.cnn(height, width, channels, classes)
        noise = np.random.default_rng(0).integers(0, 256, (2, height, width, channels)).astype(np.float32)
        answers = np.asarray(model(noise, training=False))
        found.append(
            {
                "parameters": model.count_params(),
                "map": list(model.get_layer("pool").input.shape[1:3]),
                "input": list(model.inputs[0].shape),
                "sums": answers.sum(1).tolist(),
                "classes": answers.shape[1],
                "layers": [layer.name for layer in model.layers],
            }
        )
    return found
