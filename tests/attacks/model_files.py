"""Makes `.tflite`, `.onnx` and `.keras` files that nobody should have, for the tests of attacks."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests import models

# What a terminal acts upon: an escape sequence, its 8-bit form, a bell, a line break, a change of direction.
CONTROL = "\x1b[31m\x9b2J\x07\n\u202e"


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file of one bit a pixel whose header says this size, and whose content is `data` (black, if nothing)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def truncated(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Half of a good file with a spec."""

    def cut(path: Path) -> Path:
        content = models.with_spec(make(path)).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        return path

    return cut


def containing(content: bytes) -> Callable[[Path], Path]:
    """A file of just this."""

    def write(path: Path) -> Path:
        path.write_bytes(content)
        return path

    return write


def huge_tflite(path: Path) -> Path:
    """Claims to take an image of 100,000 by 100,000."""

    def damage(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors[:2]:
            if len(tensor.shape) == 4:
                tensor.shape = [1, 100_000, 100_000, 3]

    return models.with_spec(models.tflite(path, batch=1, damage=damage))


def crowded_tflite(path: Path) -> Path:
    """Has 100,000 metadata entries, which all name the same buffer of a megabyte."""

    def damage(file: models.TFLiteFile) -> None:
        file.metadata("big", bytes(1 << 20))
        file.model.metadata = file.model.metadata[-1:] * 2000

    return models.tflite(path, damage=damage)


def outside_onnx(path: Path) -> Path:
    """Names the system's list of users as its weights."""

    def damage(model: Any) -> None:
        [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
        tensor.ClearField("raw_data")
        tensor.data_location = 1
        for key, value in (("location", "../" * 12 + "etc/passwd"), ("offset", "0"), ("length", "36")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return models.with_spec(models.onnx(path, damage=damage))


def hungry_onnx(path: Path) -> Path:
    """Says that its weights are a billion numbers; they are nine."""

    def damage(model: Any) -> None:
        [tensor] = [tensor for tensor in model.graph.initializer if tensor.name == "weights"]
        tensor.dims[:] = [1_000_000_000, 3]

    return models.with_spec(models.onnx(path, damage=damage))


def nested_onnx(path: Path) -> Path:
    """A graph in a graph in a graph, 20,000 deep."""
    content = models.onnx(path).read_bytes()
    graph = b""
    for _ in range(20_000):
        graph = models.protobuf_field(1, models.protobuf_field(5, models.protobuf_field(6, graph)))  # node.attribute.g
    path.write_bytes(content + models.protobuf_field(7, graph))
    return path


def bomb_keras(path: Path) -> Path:
    """70 MB in 70 KB."""
    return models.keras(path, {"assets/zeros": bytes(70 << 20), "edgekit.json": verdict()}, zipfile.ZIP_DEFLATED)


def verdict() -> bytes:
    """A spec whose verdict makes edgekit compute the digest of the file."""
    document = json.loads(models.spec().to_json())
    document["verdict"] = {
        "outcome": "pass",
        "model_sha256": "0" * 64,
        "reference_sha256": "0" * 64,
        "data_sha256": "0" * 64,
        "images": 1,
        "figures": {},
        "gate": {},
    }
    return json.dumps(document).encode()


def spec_of(**changes: Any) -> bytes:
    """A spec with fields replaced by what does not belong there; a dot leads into an object."""
    document = json.loads(models.spec().to_json())
    for name, value in changes.items():
        place = document
        *outer, last = name.split("__")
        for part in outer:
            place = place[part]
        place[last] = value
    return json.dumps(document).encode()


def zip_of_photos(path: Path) -> Path:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.png", png(8, 8))
    path.write_bytes(stream.getvalue())
    return path


def named_badly(path: Path) -> Path:
    """Works, and has names that would act upon a terminal wherever a name can be."""

    def damage(file: models.TFLiteFile) -> None:
        for number, tensor in enumerate(file.graph.tensors):
            tensor.name = f"tensor {number}{CONTROL}"
        file.metadata(f"entry{CONTROL}", b"")

    models.tflite(path, damage=damage)
    labels = tuple(f"{label}{CONTROL}" for label in models.LABELS)
    document = json.loads(models.spec(labels=labels).to_json())
    document["input"]["name"] = document["output"]["name"] = CONTROL
    document["provenance"] |= {"source": CONTROL, "steps": [CONTROL], "tools": {CONTROL: CONTROL}}
    document["verdict"] = json.loads(verdict())["verdict"] | {"figures": {CONTROL: 1.0}, "gate": {CONTROL: 1.0}}
    from edgekit.runtime.spec import ModelSpec

    return models.with_spec(path, ModelSpec.from_json(json.dumps(document)))


def weights_of(value: float) -> Callable[[Path], Path]:
    """A working model, all of whose weights are this number."""

    def write(path: Path) -> Path:
        return models.with_spec(models.tflite(path, weights=np.full((3, 3), value, np.float32)))

    return write
