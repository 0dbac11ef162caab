"""The small network that edgekit trains from scratch. It needs Keras."""

from __future__ import annotations

from typing import Any

STEM_STRIDE_FROM = 64  # inputs of this many pixels and more are halved by the first convolution
SMALLEST_MAP = 4
WIDTHS = (64, 128, 160, 192, 256)


def cnn(height: int, width: int, channels: int, classes: int) -> Any:
    """A small separable CNN (MobileNet's blocks: Howard et al. 2017, arXiv:1704.04861) for training from scratch.

    Takes pixels 0..255, float32 [N, height, width, channels], and normalises them itself; gives probabilities
    [N, classes]. The map is halved until its shorter side has 4 to 7 pixels (8 for inputs of 512). It has 36,000 to
    123,000 weights, and up to 257 more per class.
    """
    import keras

    image = keras.Input((height, width, channels), name="image")
    side = min(height, width)
    stride = 2 if side >= STEM_STRIDE_FROM else 1
    side //= stride
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="normalise")(image)
    x = keras.layers.Conv2D(32, 3, strides=stride, padding="same", use_bias=False, name="stem")(x)
    x = _normalise_and_activate(x, "stem")
    for number, filters in enumerate(WIDTHS, start=1):
        stride = 2 if side // 2 >= SMALLEST_MAP else 1
        side //= stride
        x = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=f"depthwise{number}")(
            x
        )
        x = _normalise_and_activate(x, f"depthwise{number}")
        x = keras.layers.Conv2D(filters, 1, use_bias=False, name=f"pointwise{number}")(x)
        x = _normalise_and_activate(x, f"pointwise{number}")
        if stride == 1 and number >= 3:
            break
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    scores = keras.layers.Dense(classes, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="cnn")


def _normalise_and_activate(x: Any, name: str) -> Any:
    import keras

    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
