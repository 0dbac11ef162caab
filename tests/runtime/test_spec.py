"""The spec: what is written is read back, what does not hold together is refused, and the JSON Schema says the same."""

from __future__ import annotations

import copy
import dataclasses
import json
import random
import re
import typing
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edgekit.runtime import spec as module
from edgekit.runtime.errors import SpecError
from edgekit.runtime.spec import (
    Crop,
    Golden,
    InputSpec,
    ModelSpec,
    OutputSpec,
    PixelStatistics,
    Preprocess,
    Provenance,
    Quantization,
    ScoreCalibration,
    Verdict,
    encode_scores,
    printable,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
SCHEMA = json.loads((DOCS / "spec.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

SCORES = encode_scores(np.array([0.25, 0.5, 0.25], np.float32))
FULL = ModelSpec(
    input=InputSpec("image", 96, 128, 3, "uint8", "NCHW", Quantization(0.5, 3)),
    preprocess=Preprocess("bilinear", Crop("center", 0.875, "round", (1, 2, 3)), "ignore", "BGR",
                          (127.5, 127.0, 1.5), (1.0, 2.0, 3.0)),
    output=OutputSpec("scores", "logits", "int8", Quantization(0.00390625, -128), ScoreCalibration(1.5, 0.25)),
    labels=("Katze", "犬 \U0001f415", "other"),
    scheme="int8",
    provenance=Provenance("net.keras", "ab" * 32, ("train", "convert"), {"keras": "3.15.1"}, "cd" * 32,
                          PixelStatistics(0.0, 255.0, 117.5, 60.25)),
    golden=(Golden(SCORES, "ef" * 32, image="iVBORw0K"), Golden(SCORES, "01" * 32, pattern="noise")),
    verdict=Verdict("inconclusive", "23" * 32, "45" * 32, "67" * 32, 467, {"drop": 0.25, "agreement": 1.0},
                    {"max_drop": 1.0}),
)
SMALLEST = {
    "edgekit": 1,
    "input": {"name": "x", "height": 1, "width": 1, "channels": 3, "dtype": "float32"},
    "preprocess": {"resize": "nearest"},
    "output": {"name": "y", "activation": "softmax"},
    "labels": ["a", "b"],
}


def full() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FULL.to_json())
    return document


def gray() -> dict[str, Any]:
    document = full()
    document["input"]["channels"] = 1
    document["preprocess"] |= {"channel_order": "gray", "mean": [0], "std": [255]}
    return document


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with the field at `path` ("input.height", "golden.0.image") set."""
    document = copy.deepcopy(document)
    *parents, last = path.split(".")
    at: Any = document
    for key in parents:
        at = at[int(key) if isinstance(at, list) else key]
    at[int(last) if isinstance(at, list) else last] = value
    return document


def read(document: Any) -> ModelSpec:
    return ModelSpec.from_json(json.dumps(document))


def refusal(document: Any) -> str | None:
    try:
        read(document)
    except SpecError as error:
        return error.message
    return None


@pytest.mark.parametrize("document", [full(), gray(), SMALLEST], ids=["full", "gray", "smallest"])
def test_round_trip(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document)
    spec = read(document)
    written = spec.to_json()
    assert ModelSpec.from_json(written) == ModelSpec.from_json(written.encode()) == spec
    assert ModelSpec.from_json(written).to_json() == written
    assert VALIDATOR.is_valid(json.loads(written))


def test_every_field_of_the_full_spec_survives() -> None:
    assert read(full()) == FULL
    assert FULL.size == (96, 128)
    assert FULL.golden[0].score_array().tolist() == [0.25, 0.5, 0.25]
    assert FULL.golden[0].image_bytes() == b"\x89PNG\r\n"


def test_defaults_of_the_smallest_spec() -> None:
    spec = read(SMALLEST)
    assert spec.input.layout == "NHWC"
    assert spec.preprocess == Preprocess("nearest", Crop("none", 1.0, "floor", (0, 0, 0)), "exif", "RGB",
                                         (0, 0, 0), (1, 1, 1))
    assert (spec.output.dtype, spec.output.calibration) == ("float32", ScoreCalibration(1.0, None))
    assert (spec.task, spec.scheme, spec.golden, spec.verdict) == ("classification", "none", (), None)


def test_the_same_spec_gives_the_same_bytes_whatever_the_order_of_its_fields() -> None:
    shuffled = dict(reversed(list(full().items())))
    assert read(shuffled).to_json() == FULL.to_json()


REFUSED = [
    ("edgekit", 2, "version '2'; this edgekit reads version 1"),
    ("edgekit", "1", "version"),
    ("edgekit", True, "version"),
    ("edgekit", None, "version"),
    ("task", "detection", "task is 'detection'; it must be one of classification"),
    ("scheme", "int4", "scheme is 'int4'"),
    ("extra", 1, "The spec's document has an unknown field 'extra'"),
    ("input.height", 0, "sides from 1 to 8192"),
    ("input.height", 8193, "sides from 1 to 8192"),
    ("input.width", -1, "sides from 1 to 8192"),
    ("input.width", 0.5, "The spec's input.width is not a whole number"),
    ("input.width", True, "input.width is not a whole number"),
    ("input.width", "96", "input.width is not a whole number"),
    ("input.name", None, "input.name is not a string"),
    ("input.channels", 1, "1 channels, which does not fit the channel order BGR"),
    ("input.channels", 4, "4 channels"),
    ("input.dtype", "float16", "input.dtype is 'float16'"),
    ("input.dtype", "float32", "input.quantization does not fit"),
    ("input.quantization", None, "input.quantization does not fit"),
    ("input.quantization", {"scale": 1}, "input.quantization lacks the field 'zero_point'"),
    ("input.quantization.scale", 0, "scales must be positive"),
    ("input.quantization.scale", -0.5, "scales must be positive"),
    ("input.quantization.zero_point", 0.5, "zero_point is not a whole number"),
    ("input.quantization.zero_point", 40000, "zero points must fit in 16 bits"),
    ("input.quantization.axis", 0, "unknown field 'axis'"),
    ("input.layout", "CHWN", "input.layout is 'CHWN'"),
    ("preprocess.resize", "lanczos", "preprocess.resize is 'lanczos'; it must be one of bilinear-aa"),
    ("preprocess.orientation", "auto", "preprocess.orientation is 'auto'"),
    ("preprocess.channel_order", "rgb", "preprocess.channel_order is 'rgb'"),
    ("preprocess.channel_order", "gray", "3 channels, which does not fit the channel order gray"),
    ("preprocess.mean", [0, 0], "mean and .std must have 3 entries"),
    ("preprocess.std", [1, 1, 1, 1], "mean and .std must have 3 entries"),
    ("preprocess.std.1", 0, "std must be positive"),
    ("preprocess.mean.0", "0", r"preprocess.mean\[0\] is not a finite number"),
    ("preprocess.mean", 0, "preprocess.mean is not a list"),
    ("preprocess.crop", [], "preprocess.crop is not an object"),
    ("preprocess.crop.mode", "centre", "crop.mode is 'centre'"),
    ("preprocess.crop.mode", "pad", "crop.fraction belongs to the crop mode center"),
    ("preprocess.crop.fraction", 0, "crop.fraction must be above 0"),
    ("preprocess.crop.fraction", 1.5, "crop.fraction must be above 0 and at most 1"),
    ("preprocess.crop.rounding", "ceil", "crop.rounding is 'ceil'"),
    ("preprocess.crop.fill", [0, 0], "crop.fill must have 3 entries"),
    ("preprocess.crop.fill.2", 256, "crop.fill must be bytes"),
    ("preprocess.crop.fill.2", -1, "crop.fill must be bytes"),
    ("output.activation", "relu", "output.activation is 'relu'"),
    ("output.dtype", "int32", "output.dtype is 'int32'"),
    ("output.dtype", "float32", "output.quantization does not fit"),
    ("output.quantization", None, "output.quantization does not fit"),
    ("output.quantization.scale", 0, "scales must be positive"),
    ("output.calibration.temperature", 0, "temperature must be positive"),
    ("output.calibration.threshold", 1.5, "threshold must lie between 0 and 1"),
    ("output.calibration.threshold", -0.5, "threshold must lie between 0 and 1"),
    ("output.calibration", None, "output.calibration is not an object"),
    ("labels", "ab", "labels is not a list"),
    ("labels", [], "labels must be 2 to 100000"),
    ("labels.0", "", "labels must have 1 to 500 characters"),
    ("labels.0", "x" * 501, "labels must have 1 to 500 characters"),
    ("labels.0", 7, r"labels\[0\] is not a string"),
    ("provenance.steps.0", None, r"provenance.steps\[0\] is not a string"),
    ("provenance.tools.keras", 3, "provenance.tools.keras is not a string"),
    ("provenance.tools", [], "provenance.tools is not an object"),
    ("provenance.trained_on.mean", None, "trained_on.mean is not a finite number"),
    ("golden", [{"scores": SCORES, "input_sha256": "", "pattern": "noise"}] * 17, "more than 16 entries"),
    ("golden.0.pattern", "noise", "either an image or a pattern"),
    ("golden.0.image", None, "either an image or a pattern"),
    ("golden.1.pattern", "stripes", "golden.pattern must be one of gradient"),
    ("golden.0.scores", "!", "golden.scores is not valid base64"),
    ("golden.0.scores", SCORES + "=", "golden.scores is not valid base64"),
    ("golden.0.scores", "ä===", "golden.scores is not valid base64"),
    ("verdict.outcome", "maybe", "verdict.outcome must be one of pass"),
    ("verdict.images", None, "verdict.images is not a whole number"),
    ("verdict.figures.drop", "0.25", "verdict.figures.drop is not a finite number"),
    ("verdict.when", 0, "verdict has an unknown field 'when'"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED,
                         ids=[f"{path}={value!r:.20}" for path, value, _ in REFUSED])
def test_what_is_not_valid_is_refused_by_name_and_by_the_schema(path: str, value: Any, message: str) -> None:
    document = changed(full(), path, value)
    with pytest.raises(SpecError, match=message) as caught:
        read(document)
    assert "\n" not in caught.value.message
    assert not VALIDATOR.is_valid(document)


@pytest.mark.parametrize("path", ["edgekit", "input", "preprocess", "output", "labels", "input.name", "input.dtype",
                                  "preprocess.resize", "output.activation", "golden.0.scores", "verdict.outcome",
                                  "output.quantization.scale", "provenance.trained_on.std"])
def test_required_fields(path: str) -> None:
    document = full()
    *parents, last = path.split(".")
    at: Any = document
    for key in parents:
        at = at[int(key) if isinstance(at, list) else key]
    del at[last]
    with pytest.raises(SpecError, match=f"lacks the field '{last}'" if path != "edgekit" else "has version"):
        read(document)
    assert not VALIDATOR.is_valid(document)


# What a JSON Schema cannot say, or only its readers of JSON can.
BEYOND_THE_SCHEMA = [
    ("", "not valid JSON"),
    ("[1, 2]", "not a JSON object"),
    ("{" * 100_000, "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ("\ufeff{}", "not valid JSON"),
    (json.dumps(full()).replace("0.875", "1e999"), "fraction is not a finite number"),
    (json.dumps(full()).replace("0.875", "NaN"), "fraction is not a finite number"),
    (json.dumps(full()).replace("0.875", "1" + "0" * 400), "fraction is not a finite number"),
    (json.dumps(full()).replace("0.875", "1" * 5000), "not valid JSON"),
    (json.dumps(full()).replace('"height": 96', '"height": 96.0'), "input.height is not a whole number"),
    (json.dumps(full()).replace('"edgekit": 1', '"edgekit": 1.0'), "version '1.0'"),
    (json.dumps(changed(full(), "golden.0.scores", encode_scores(np.zeros(4, np.float32)))), "do not fit its labels"),
    (json.dumps(changed(full(), "golden.0.scores", "AAAAAAA=")), "do not fit its labels"),
    (json.dumps(full()).replace("Katze", r"\ud800"), r"labels\[0\] is not valid Unicode"),
]


@pytest.mark.parametrize(("text", "message"), BEYOND_THE_SCHEMA)
def test_what_the_schema_cannot_say(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ModelSpec.from_json(text)


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(SpecError, match="not valid JSON"):
        ModelSpec.from_json(b"\xff\xfe\xff")


def test_a_document_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_JSON_BYTES", 1 << 20)
    with pytest.raises(SpecError, match="larger than 1 MB"):
        ModelSpec.from_json(b" " * ((1 << 20) + 1))


def test_names_in_messages_are_printable() -> None:
    for document in (changed(full(), "\x1b[31m", 1), changed(full(), "scheme", "\x1b[31m"),
                     changed(full(), "provenance.tools", {"\x1b[31m": 1})):
        with pytest.raises(SpecError) as caught:
            read(document)
        assert caught.value.message.isprintable()
    assert printable("a\x1b[31m\u202eb\n") == "a\ufffd[31m\ufffdb\ufffd"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_spec_made_in_python_is_checked_too(value: float) -> None:
    with pytest.raises(SpecError, match="its numbers must be finite"):
        dataclasses.replace(FULL, preprocess=dataclasses.replace(FULL.preprocess, mean=(value, 0.0, 0.0)))
    with pytest.raises(SpecError, match="labels must be 2"):
        dataclasses.replace(FULL, labels=("one",), golden=())


def test_the_schema_has_the_fields_of_the_dataclasses() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def check(kind: type[Any], schema: dict[str, Any]) -> None:
        hints = typing.get_type_hints(kind)
        extra: set[str] = {"edgekit"} if kind is ModelSpec else set()
        assert set(schema["properties"]) == set(hints) | extra, kind
        required = {field.name for field in dataclasses.fields(kind)
                    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING}
        assert set(schema.get("required", ())) == required | extra, kind
        assert schema["additionalProperties"] is False
        for name, hint in hints.items():
            for part in (hint, *typing.get_args(hint)):
                if dataclasses.is_dataclass(part):
                    check(typing.cast(type[Any], part), resolve(schema["properties"][name]))

    def resolve(schema: dict[str, Any]) -> dict[str, Any]:
        for option in (schema, schema.get("items", {}), *schema.get("anyOf", ())):
            if "$ref" in option:
                found: dict[str, Any] = SCHEMA["$defs"][option["$ref"].rpartition("/")[2]]
                return found
        raise AssertionError(schema)

    check(ModelSpec, SCHEMA)


def test_the_description_names_every_field_and_value() -> None:
    text = (DOCS / "spec.md").read_text(encoding="utf-8")
    fields = {name for schema in (SCHEMA, *SCHEMA["$defs"].values()) for name in schema["properties"]}
    values = {*module.DTYPES, *module.LAYOUTS, *module.KERNELS, *module.CROPS, *module.ROUNDINGS,
              *module.CHANNEL_ORDERS, *module.ORIENTATIONS, *module.ACTIVATIONS, *module.SCHEMES, *module.PATTERNS,
              *module.OUTCOMES}
    named = set(re.findall(r"[\w-]+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert fields | values <= named


def test_random_documents_raise_spec_errors_only_and_the_schema_agrees() -> None:
    """Seeded mutations of the full document: whatever it becomes, it is read or refused with SpecError."""
    randomness = random.Random(20)
    values: list[Any] = [
        None, True, False, 0, 1, -1, 3, 0.5, -0.5, 255, 256, 10**30, "", "x", "none", "int8", "float32", "gray", "BGR",
        "pad", "center", "noise", SCORES, "AAAA=", [], [1], [0, 0, 0], [0.5], ["a", "b"], {}, [[]], [{}], "\0", "é",
        {"scale": 0.5, "zero_point": 1}, {"scores": SCORES, "input_sha256": ""},
    ]
    read_back = 0
    for _ in range(2000):
        document = randomness.choice((full, gray))()
        for _ in range(randomness.choice((1, 1, 2, 3))):
            mutate(document, randomness, values)
        complaint = refusal(document)
        assert VALIDATOR.is_valid(document) == (complaint is None or "do not fit its labels" in complaint), document
        read_back += complaint is None
    assert 100 < read_back < 1900


def mutate(node: Any, randomness: random.Random, values: list[Any]) -> None:
    """Change, remove or add one entry somewhere in a document."""
    while True:
        keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return
        key = randomness.choice(keys)
        if isinstance(node[key], (dict, list)) and randomness.random() < 0.75:
            node = node[key]
            continue
        action = randomness.random()
        if action < 0.1:
            del node[key]
        elif action < 0.2 and isinstance(node, dict):
            key = randomness.choice(["quantization", "mode", "pattern", "surprise"])
            node[key] = copy.deepcopy(randomness.choice(values))
        else:
            node[key] = copy.deepcopy(randomness.choice(values))
        return


def test_random_bytes_raise_spec_errors_only() -> None:
    randomness = random.Random(21)
    good = FULL.to_json().encode()
    refused = 0
    for _ in range(3000):
        content = bytearray(good)
        for _ in range(randomness.choice((1, 1, 4))):
            content[randomness.randrange(len(content))] = randomness.choice(b'"\\{}[]:,0159eE-. \x00\x7f\x80\xff=A')
        try:
            ModelSpec.from_json(bytes(content))
        except SpecError:
            refused += 1
    assert refused > 1500
