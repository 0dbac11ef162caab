"""Makes small Keras files and SavedModels, good and hostile, by hand: the same bytes every time, and no TensorFlow.

The good ones are models that Keras loads: four numbers in, two probabilities out.
"""

from __future__ import annotations

import codecs
import copy
import io
import json
import marshal
import random
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KERNEL = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], np.float32) / np.float32(8)
BIAS = np.array([0.5, -0.5], np.float32)
_DATE = (1980, 1, 1, 0, 0, 0)

Config = dict[str, Any]


def layer(class_name: str, config: Config, module: str = "keras.layers", registered: str | None = None) -> Config:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": registered}


def dense(name: str = "scores", units: int = 2) -> Config:
    return layer("Dense", {"name": name, "units": units, "activation": "softmax"})


def lambda_layer(marker: Path) -> Config:
    """A Lambda layer, as Keras saves one, whose code writes the file `marker`."""
    function = eval(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]")
    code = codecs.encode(marshal.dumps(function.__code__), "base64").decode()
    config = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    return layer("Lambda", {"name": "sly", "function": config, "arguments": {}})


def sequential(*layers: Config) -> Config:
    image = layer("InputLayer", {"name": "image", "batch_shape": [None, 4], "dtype": "float32"})
    return layer("Sequential", {"name": "tiny", "layers": [image, *layers], "build_input_shape": [None, 4]}, "keras")


def keras2(config: Config) -> Config:
    """The same configuration in the words of Keras 2.4, which names no modules."""
    config = copy.deepcopy(config)
    for entry in [config, *config["config"]["layers"]]:
        del entry["module"], entry["registered_name"]
        if "batch_shape" in entry["config"]:
            entry["config"]["batch_input_shape"] = entry["config"].pop("batch_shape")
    return config


Edit = Callable[[Any], None]


def weights(edit: Edit | None = None, kernel: NDArray[np.float32] = KERNEL, name: str = "dense") -> bytes:
    """A `.weights.h5` file of Keras 3; `edit` may change the open `h5py.File`."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_group("vars")
        variables = file.create_group(f"layers/{name}/vars")
        variables["0"], variables["1"] = kernel, BIAS
        if edit:
            edit(file)
    return buffer.getvalue()


def write_keras(path: Path, config: Config | str, h5: bytes | None = None, extra: dict[str, bytes] | None = None,
                compression: int = zipfile.ZIP_STORED) -> Path:
    """A `.keras` archive."""
    members = {
        "metadata.json": json.dumps({"keras_version": "3.15.1", "date_saved": "1980-01-01@00:00:00"}).encode(),
        "config.json": (config if isinstance(config, str) else json.dumps(config)).encode(),
        "model.weights.h5": weights() if h5 is None else h5,
        **(extra or {}),
    }
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content, compression)
    return path


def write_h5(path: Path, config: Config | str | None, edit: Edit | None = None) -> Path:
    """A whole model in Keras 2's HDF5 layout, or only its weights when `config` is None."""
    import h5py

    with h5py.File(path, "w") as file:
        group = file if config is None else file.create_group("model_weights")
        if config is not None:
            file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
            file.attrs["keras_version"], file.attrs["backend"] = "2.4.0", "tensorflow"
        group.attrs["layer_names"] = np.array([b"image", b"scores"])
        group.create_group("image").attrs["weight_names"] = np.array([], "S1")
        scores = group.create_group("scores")
        scores.attrs["weight_names"] = np.array([b"scores/kernel:0", b"scores/bias:0"])
        scores["scores/kernel:0"], scores["scores/bias:0"] = KERNEL, BIAS
        if edit:
            edit(file)
    return path


def expected(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the good model answers, float32 [N, 4] -> [N, 2]."""
    logits = x @ KERNEL + BIAS
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    answer: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return answer


def mutated(content: bytes, seed: int) -> bytes:
    """A copy with a few bytes changed, or a stretch cut out or doubled."""
    dice = random.Random(seed)
    data = bytearray(content)
    for _ in range(dice.choice((1, 4, 16, 64))):
        data[dice.randrange(len(data))] = dice.randrange(256)
    if dice.random() < 0.3:
        start = dice.randrange(len(data))
        stretch = data[start : start + dice.randrange(1, 200)]
        data[start : start + len(stretch)] = stretch * dice.choice((0, 2))
    return bytes(data)


def load_all(paths: list[str], done: str) -> list[str]:
    """In a child: load each file; "loaded", or the name of the error. `done` grows by a line for each."""
    from edgekit.core.errors import EdgekitError
    from edgekit.importers import keras_model

    outcomes = []
    for path in paths:
        try:
            keras_model.load(Path(path))
            outcomes.append("loaded")
        except EdgekitError as error:
            outcomes.append(type(error).__name__)
        with open(done, "a") as log:
            log.write(f"{outcomes[-1]}\n")
    return outcomes


# --- SavedModels: protobuf by hand; the field numbers are those in edgekit.importers.saved_model_scan


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(*fields: tuple[int, bytes | str]) -> bytes:
    out = b""
    for number, value in fields:
        content = value.encode() if isinstance(value, str) else value
        out += _varint(number << 3 | 2) + _varint(len(content)) + content
    return out


def node(name: str, op: str, inputs: Iterable[str] = (), calls: str = "", **texts: str) -> bytes:
    """A NodeDef; `calls` names a function to call, `texts` are string attributes."""
    attributes = [(5, message((1, key), (2, message((2, value))))) for key, value in texts.items()]
    if calls:
        attributes.append((5, message((1, "f"), (2, message((10, message((1, calls))))))))
    return message((1, name), (2, op), *((3, source) for source in inputs), *attributes)


def function(name: str, *nodes: bytes) -> bytes:
    return message((1, message((1, name))), *((3, item) for item in nodes))


def graph(nodes: Iterable[bytes], functions: Iterable[bytes] = ()) -> bytes:
    return message(*((1, item) for item in nodes), (2, message(*((1, item) for item in functions))))


SAVE = function("traced_save", node("SaveV2", "SaveV2"), node("Merge", "MergeV2Checkpoints"))
RESTORE = function("traced_restore", node("RestoreV2", "RestoreV2"))
SERVE = function("serve_fn", node("MatMul", "MatMul"), node("Softmax", "Softmax"))


def write_saved_model(
    folder: Path, *, nodes: Iterable[bytes] = (), functions: Iterable[bytes] = (SERVE, SAVE, RESTORE),
    objects: Iterable[str] = ("serve_fn",), served: str = "call:0", init: str = "init", assets: Iterable[str] = (),
    graphs: int = 1, object_graph: bool = True,
) -> Path:
    """A SavedModel folder laid out like TensorFlow 2's: a call, an init op, and a saver behind two nodes."""
    body = graph([
        node("image", "Placeholder"), node("call", "StatefulPartitionedCall", ["image"], "serve_fn"),
        node("init", "NoOp"), node("saver_filename", "Placeholder"),
        node("call_1", "StatefulPartitionedCall", ["saver_filename"], "traced_save"),
        node("call_2", "StatefulPartitionedCall", ["saver_filename"], "traced_restore"), *nodes,
    ], functions)
    saver = message((1, "saver_filename:0"), (2, "call_1:0"), (3, "call_2"))
    outputs = message((2, message((1, "scores"), (2, message((1, served))))))
    collection = message((1, "saved_model_main_op"), (2, message((1, message((1, init))))))
    fields = [(2, body), (3, saver), (4, collection), (5, message((1, "serving_default"), (2, outputs))),
              *((6, message((2, name))) for name in assets)]
    if object_graph:
        fields.append((7, message(*((2, message((1, name))) for name in objects), (1, b""))))
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"\x08\x01" + message(*((2, message(*fields)) for _ in range(graphs))))
    return folder
