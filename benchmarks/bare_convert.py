"""From Keras to int8 TFLite with the libraries alone: what `conversion` compares `edgekit convert` with.

    python bare_convert.py MODEL.keras IMAGES.npz MEAN STD OUTPUT.tflite

One process: SavedModel export, TFLite conversion, min/max calibration, quantization. It checks nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from litert_quantizer import calibrator, quantizer, recipe


def convert(model: str, images: str, mean: float, std: float, output: str) -> None:
    """Convert and quantize; `images` has `x`, uint8 [N, H, W] or [N, H, W, C]."""
    pixels = np.load(images)["x"]
    inputs = ((pixels.reshape(*pixels.shape[:3], -1) - mean) / std).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        saved_model, float_model = f"{folder}/saved_model", f"{folder}/float.tflite"
        keras.saving.load_model(model, compile=False).export(saved_model, verbose=False)
        Path(float_model).write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved_model).convert())
        [(signature, tensors)] = Interpreter(float_model).get_signature_list().items()
        work = quantizer.Quantizer(float_model)
        work.load_quantization_recipe(recipe.static_wi8_ai8())
        calibration = calibrator.Calibrator(float_model, num_threads=os.cpu_count() or 1, qsv_update_func=min_max,
                                            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED)
        samples = [{tensors["inputs"][0]: image[None]} for image in inputs]
        calibration.calibrate({signature: samples}, work._recipe_manager)
        result = work.quantize(calibration_result=calibration.get_model_qsvs(), enable_progress_report=False)
        Path(output).write_bytes(result.quantized_model)


def min_max(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The range over all images; the library's own moving average loses accuracy."""
    if not old:
        return new
    return {**new, "min": np.minimum(old["min"], new["min"]), "max": np.maximum(old["max"], new["max"])}


if __name__ == "__main__":
    convert(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.argv[5])
