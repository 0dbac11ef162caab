"""From Keras to int8 TFLite by a library's own way: what `quantization` compares edgekit with.

    python bare_quantize.py tensorflow|litert MODEL.keras IMAGES.npz OUTPUT.tflite

tensorflow: the TensorFlow converter with a representative dataset, as its guide has it; float32 in and out.
litert: the converter's float file, quantized by litert-quantizer with its recipe and calibration as they come.
The model takes pixels from 0 to 255. Nothing is checked.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

Inputs = NDArray[np.float32]


def main(way: str, model: str, images: str, output: str) -> None:
    """Convert and quantize; `images` has `x`, uint8 [N, H, W] or [N, H, W, C]."""
    pixels = np.load(images)["x"]
    inputs: Inputs = pixels.reshape(*pixels.shape[:3], -1).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        saved_model, float_model = f"{folder}/saved_model", f"{folder}/float.tflite"
        keras.saving.load_model(model, compile=False).export(saved_model, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
        if way == "tensorflow":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: one_by_one(inputs)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            Path(output).write_bytes(converter.convert())
        else:
            Path(float_model).write_bytes(converter.convert())
            quantize(float_model, inputs, output)


def one_by_one(inputs: Inputs) -> Iterator[list[Inputs]]:
    """The representative dataset as the converter takes it."""
    for image in inputs:
        yield [image[None]]


def quantize(float_model: str, inputs: Inputs, output: str) -> None:
    """litert-quantizer's static int8."""
    from ai_edge_litert.interpreter import Interpreter
    from litert_quantizer import quantizer, recipe

    [(signature, tensors)] = Interpreter(float_model).get_signature_list().items()
    work = quantizer.Quantizer(float_model)
    work.load_quantization_recipe(recipe.static_wi8_ai8())
    found = work.calibrate({signature: [{tensors["inputs"][0]: image[None]} for image in inputs]})
    Path(output).write_bytes(work.quantize(found).quantized_model)


if __name__ == "__main__":
    main(*sys.argv[1:])
