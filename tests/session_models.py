"""Data and models that many tests share, each made once: every TensorFlow process takes seconds.

The images are noise in which one colour is brightest, and the models say which (`tests/keras_models.py`). What
`edgekit train` and `edgekit convert` make of them is made here once, by the functions that users call.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.convert.run import convert
from edgekit.core import child, embed
from edgekit.runtime import modelfile
from edgekit.runtime.spec import Crop, InputSpec, ModelSpec, OutputSpec, Preprocess
from edgekit.train.fit import train
from edgekit.train.run import Trained
from tests import hard, keras_models
from tests.keras_models import BGR_MEAN, BGR_STD, COLOURS, SIDE

if TYPE_CHECKING:
    from tests.conftest import Needs

PHOTOS = 60
MANY = 480

Once = Callable[[str, Callable[[Path], Any]], tuple[Path, Any]]


@dataclass(frozen=True)
class TrainedOnce:
    """What `edgekit train` made, with all that it reported on the way."""

    result: Trained
    progress: list[dict[str, Any]]
    arguments: dict[str, Any]


def spec(name: str = "rescaled", **changes: Any) -> ModelSpec:
    """How the Keras model of this name is fed."""
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    order, activation, labels = "RGB", "softmax", tuple(COLOURS)
    if name == "bgr":
        mean, std, order, activation = BGR_MEAN, BGR_STD, "BGR", "logits"
    if name == "gray":
        mean, std, order, activation, labels = (0.0,), (255.0,), "gray", "sigmoid", ("dark", "bright")
    made = ModelSpec(
        InputSpec("image", SIDE, SIDE, len(mean), "float32"),
        Preprocess("bilinear", Crop("none"), channel_order=order, mean=mean, std=std),
        OutputSpec("scores", activation),
        labels,
    )
    return dataclasses.replace(made, **changes)


def without_spec(source: Path, target: Path) -> Path:
    """Write a `.tflite` or `.onnx` file as somebody else would have made it; gives the target."""
    if modelfile.sniff(source) == "tflite":
        with modelfile.mapped(source) as data:
            start, end = modelfile.tflite_body(data)
            target.write_bytes(data[start:end])
    else:
        import onnx

        model = onnx.load(str(source))
        del model.metadata_props[:]
        onnx.save(model, str(target))
    return target


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Fills a folder once for all workers of pytest-xdist; gives it, and what was said (JSON) when it was filled."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def folder(name: str, fill: Callable[[Path], Any]) -> tuple[Path, Any]:
        made, said = base / f"once-{name}", base / f"once-{name}.json"
        with (base / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not said.exists():
                made.mkdir(exist_ok=True)  # there, if another worker failed to fill it
                said.write_text(json.dumps(fill(made)))
        return made, json.loads(said.read_text())

    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of class folders with 20 PNG files each, 20×16 pixels."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for number, (image, colour) in enumerate(zip(*keras_models.images(PHOTOS, 1, 16, 20), strict=True)):
        path = folder / COLOURS[colour] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `.npz` file of 480 labelled images of the models' own size: enough for the gate to pass."""
    path = tmp_path_factory.mktemp("data") / "many.npz"
    images, colours = keras_models.images(MANY, 2)
    np.savez(path, x=images, y=np.array(COLOURS)[colours])
    return path


@pytest.fixture(scope="session")
def keras_files(needs: Needs, once: Once) -> Path:
    """The folder that `tests.keras_models.write` fills."""
    needs.module("tensorflow", "pip install 'edgekit[keras]'")
    return once("keras", lambda folder: child.call("tests.keras_models:write", folder=str(folder)))[0]


@pytest.fixture(scope="session")
def keras_answers(keras_files: Path) -> dict[str, NDArray[np.float32]]:
    """What Keras says to `tests.keras_models.probes`, by model."""
    with np.load(keras_files / "answers.npz") as stored:
        return {name: stored[name] for name in stored.files}


@pytest.fixture(scope="session")
def with_spec(keras_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the `.keras` file of a name with its spec."""
    folder = tmp_path_factory.mktemp("specced")

    @functools.cache
    def make(name: str) -> Path:
        target = folder / f"{name}.keras"
        embed.write_spec(keras_files / target.name, spec(name), target)
        return target

    return make


@pytest.fixture(scope="session")
def float_tflite(with_spec: Callable[[str], Path], once: Once) -> Path:
    """`rescaled.keras` as float32 `.tflite` with float32 in and out."""
    return _float(with_spec("rescaled"), "float.tflite", once)


@pytest.fixture(scope="session")
def float_onnx(needs: Needs, with_spec: Callable[[str], Path], once: Once) -> Path:
    """`rescaled.keras` as float32 `.onnx` with float32 in and out."""
    needs.module("tf2onnx", "pip install 'edgekit[onnx]'")
    return _float(with_spec("rescaled"), "float.onnx", once)


def _float(source: Path, name: str, once: Once) -> Path:
    folder, _ = once(name, lambda folder: str(convert(source, folder / name, io="float32").path))
    return folder / name


@pytest.fixture(scope="session")
def int8_tflite(float_tflite: Path, many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`float_tflite` in int8, with bytes in."""
    target = tmp_path_factory.mktemp("int8") / "int8.tflite"
    return convert(float_tflite, target, quantize="int8", calibrate=many, samples=60).path


@pytest.fixture(scope="session")
def trained(needs: Needs, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedOnce:
    """`edgekit train` on the photos: a few epochs."""
    needs.module("tensorflow", "pip install 'edgekit[keras]'")
    progress: list[dict[str, Any]] = []
    arguments: dict[str, Any] = {"input_size": SIDE, "epochs": 6, "batch_size": 8, "seed": 3}
    target = tmp_path_factory.mktemp("trained") / "trained.keras"
    return TrainedOnce(train(photos, target, on_progress=progress.append, **arguments), progress, arguments)


@pytest.fixture(scope="session")
def hard_cnn(trained: TrainedOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`trained` made hard to quantize (`tests/hard.py`), as a `.keras` file: ReLU, depthwise convolutions."""
    target = tmp_path_factory.mktemp("hard") / "hard.keras"
    hard.harden(trained.result.path, target)
    return target


@pytest.fixture(scope="session")
def hard_relu6(with_spec: Callable[[str], Path], many: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`rescaled.keras` made hard to quantize (`tests/hard.py`), as a `.keras` file: ReLU6, a depthwise convolution."""
    target = tmp_path_factory.mktemp("hard") / "hard_relu6.keras"
    hard.harden(with_spec("rescaled"), target, many)
    return target


@pytest.fixture(scope="session")
def folded(needs: Needs, once: Once) -> dict[str, Any]:
    """See `tests.train.qat_in_child.networks`; and the folder that it filled."""
    needs.module("tensorflow", "pip install 'edgekit[keras]'")
    folder, said = once("folded", lambda folder: child.call("tests.train.qat_in_child:networks", folder=str(folder)))
    return {"folder": folder, **said}


def nchw_logits(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the model of `write_nchw_onnx` answers to normalised images, float32 [N, 3, H, W] -> [N, 3]."""
    maps = np.maximum(np.einsum("nchw,oc->nohw", values, _NCHW_KERNEL) + 1.5, 0)
    return np.asarray(maps.mean((2, 3)) @ _NCHW_DENSE.T, np.float32)


def write_nchw_onnx(path: Path, height: int = SIDE, width: int = SIDE) -> Path:
    """A model as PyTorch exports them: NCHW, nodes without names, no normalisation inside, logits out, fixed batch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["pixel_values", "kernel", "bias"], ["convolved"]),
            helper.make_node("Relu", ["convolved"], ["maps"]),
            helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "dense"], ["logits"], transB=1),
        ],
        "torch_model",
        [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])],
        [
            numpy_helper.from_array(_NCHW_KERNEL[:, :, None, None], "kernel"),
            numpy_helper.from_array(np.full(4, 1.5, np.float32), "bias"),
            numpy_helper.from_array(_NCHW_DENSE, "dense"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


_NCHW_KERNEL = np.array([[1, 0.1, 0], [0, 1, 0.1], [0.1, 0, 1], [0.3, 0.3, 0.3]], np.float32)
_NCHW_DENSE = np.array([[6, 0, 0, 0.5], [0, 6, 0, 0.5], [0, 0, 6, 0.5]], np.float32)
