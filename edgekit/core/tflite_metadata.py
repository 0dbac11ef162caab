"""The standard TFLite Model Metadata of an image classifier.

What MediaPipe Tasks and Android Studio read: normalisation of the input, labels of the output.
Source: metadata_schema.fbs, identifier M001 (https://ai.google.dev/edge/litert/models/metadata). It is written with
the flatbuffers package alone: the libraries made for it pull in OpenCV, or drop weights that lie outside of the
flatbuffer.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import flatbuffers

from edgekit.runtime.modelfile import FlatBuffer
from edgekit.runtime.spec import ModelSpec, printable

ENTRY = "TFLITE_METADATA"
LABELS_FILE = "labels.txt"

# Numbers of the schema: union members, enum values and table slots.
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES = 1, 2
_NORMALIZATION_OPTIONS = 1
_TENSOR_AXIS_LABELS = 2
_COLORS = {"RGB": 1, "BGR": 0, "gray": 2}  # RGB, UNKNOWN (the schema has no BGR), GRAYSCALE
_PARSER_VERSION = "1.5.0"


def classifier_metadata(spec: ModelSpec) -> bytes:
    """The metadata flatbuffer for a spec; the labels go into the file `LABELS_FILE` beside it."""
    build = flatbuffers.Builder(1024)
    mean, std = list(spec.preprocess.mean), list(spec.preprocess.std)
    low = [(0 - m) / s for m, s in zip(mean, std, strict=True)]
    high = [(255 - m) / s for m, s in zip(mean, std, strict=True)]

    color = _table(build, {0: ("int8", _COLORS[spec.preprocess.channel_order])})
    content = _table(build, {0: ("uint8", _IMAGE_PROPERTIES), 1: ("offset", color)})
    options = _table(build, {0: ("offset", _floats(build, mean)), 1: ("offset", _floats(build, std))})
    unit = _table(build, {0: ("uint8", _NORMALIZATION_OPTIONS), 1: ("offset", options)})
    stats = _table(build, {0: ("offset", _floats(build, high)), 1: ("offset", _floats(build, low))})
    image = _table(
        build,
        {
            0: ("offset", build.CreateString(spec.input.name)),
            3: ("offset", content),
            4: ("offset", _references(build, [unit])),
            5: ("offset", stats),
        },
    )

    feature = _table(build, {0: ("uint8", _FEATURE_PROPERTIES), 1: ("offset", _table(build, {}))})
    labels = _table(build, {0: ("offset", build.CreateString(LABELS_FILE)), 2: ("int8", _TENSOR_AXIS_LABELS)})
    scores = _table(
        build,
        {
            0: ("offset", build.CreateString(spec.output.name)),
            3: ("offset", feature),
            6: ("offset", _references(build, [labels])),
        },
    )

    subgraph = _table(build, {2: ("offset", _references(build, [image])), 3: ("offset", _references(build, [scores]))})
    root = _table(
        build,
        {
            0: ("offset", build.CreateString("edgekit")),
            3: ("offset", _references(build, [subgraph])),
            7: ("offset", build.CreateString(_PARSER_VERSION)),
        },
    )
    build.Finish(root, b"M001")
    return bytes(build.Output())


def labels_file(spec: ModelSpec, width: int) -> bytes:
    """The labels, one a line (line breaks in them are replaced), for an output of `width` scores.

    A binary classifier's single score is that of its second label; readers of the standard metadata want as many
    labels as scores.
    """
    labels = spec.labels[-width:] if width < len(spec.labels) else spec.labels
    return "".join(printable(label) + "\n" for label in labels).encode()


def _table(build: flatbuffers.Builder, slots: dict[int, tuple[str, int]]) -> int:
    prepend = {
        "offset": build.PrependUOffsetTRelativeSlot,
        "uint8": build.PrependUint8Slot,
        "int8": build.PrependInt8Slot,
    }
    build.StartObject(max(slots, default=-1) + 1)
    for number, (kind, value) in slots.items():
        prepend[kind](number, value, 0)
    return int(build.EndObject())


def _references(build: flatbuffers.Builder, targets: Sequence[int]) -> int:
    build.StartVector(4, len(targets), 4)
    for target in reversed(targets):
        build.PrependUOffsetTRelative(target)
    return int(build.EndVector())


def _floats(build: flatbuffers.Builder, values: Sequence[float]) -> int:
    build.StartVector(4, len(values), 4)
    for value in reversed(values):
        build.PrependFloat32(value)
    return int(build.EndVector())


def read_normalisation(metadata: bytes | memoryview) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation of the first input in a metadata flatbuffer; None when it has none, or is damaged."""
    flat = FlatBuffer(memoryview(metadata))
    try:
        subgraph = flat.tables(flat.root(), 3)[0]
        image = flat.tables(subgraph, 2)[0]
        for unit in flat.tables(image, 4):
            if flat.scalar(unit, 0, "<B") == _NORMALIZATION_OPTIONS:
                options = flat.reference(unit, 1)
                if options is not None:
                    return flat.floats(options, 0), flat.floats(options, 1)
    except (struct.error, IndexError, ValueError):
        pass
    return None
