"""ModelSpec: how a model is fed, what its answers mean, where it comes from, what was measured.

The spec travels inside the model file as one JSON document. `docs/spec.md` describes it in prose and
`docs/spec.schema.json` as a JSON Schema; this module is what every reader and writer uses.
Reading is strict: an unknown field or version is refused, since a runtime that ignores a part of the
spec would feed the model something else.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
import typing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgekit.runtime.documents import DocumentReader
from edgekit.runtime.errors import SpecError

VERSION = 1
MAX_JSON_BYTES = 32 << 20
MAX_LABELS = 100_000
MAX_LABEL_CHARACTERS = 500
MAX_SIDE = 8192

DTYPES = ("uint8", "int8", "int16", "float32")
LAYOUTS = ("NHWC", "NCHW")
KERNELS = ("bilinear-aa", "bicubic-aa", "bilinear", "nearest")
CROPS = ("none", "center", "pad")
ROUNDINGS = ("floor", "round")
CHANNEL_ORDERS = ("RGB", "BGR", "gray")
ORIENTATIONS = ("exif", "ignore")
ACTIVATIONS = ("softmax", "sigmoid", "logits")
SCHEMES = ("none", "float16", "dynamic", "weight8", "weight4", "dynamic4", "int8", "int16x8", "unknown")
PATTERNS = ("gradient", "checker", "noise")
OUTCOMES = ("pass", "fail", "inconclusive")

_READER = DocumentReader("spec", SpecError, MAX_LABELS)


@dataclass(frozen=True)
class Quantization:
    """Affine quantization of a whole tensor: real = scale · (q − zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class InputSpec:
    """The one image that the model takes. `quantization` is None for float32."""

    name: str
    height: int
    width: int
    channels: int
    dtype: str
    layout: str = "NHWC"
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Crop:
    """Which part of the image the model sees.

    `none`: all of it, stretched to the input's shape. `center`: the largest centred region of the input's
    aspect ratio, times `fraction`. `pad`: all of it, on the smallest canvas of the input's aspect ratio
    filled with `fill` (RGB). `rounding` says how fractional sides and offsets become whole pixels.
    """

    mode: str = "none"
    fraction: float = 1.0
    rounding: str = "floor"
    fill: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True)
class Preprocess:
    """From a decoded image to the numbers that the model takes: real = (byte − mean) / std.

    `mean` and `std` have one entry per channel of the input, in the input's channel order.
    """

    resize: str
    crop: Crop = Crop()
    orientation: str = "exif"
    channel_order: str = "RGB"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class ScoreCalibration:
    """Temperature of the scores (Guo et al. 2017, arXiv:1706.04599); below `threshold` the answer is "not sure"."""

    temperature: float = 1.0
    threshold: float | None = None


@dataclass(frozen=True)
class OutputSpec:
    """The scores. `activation` is what the tensor already holds; `logits` still need a softmax.

    A tensor of width 1 with two labels is a binary classifier: its scores are [1 − p, p].
    """

    name: str
    activation: str
    dtype: str = "float32"
    quantization: Quantization | None = None
    calibration: ScoreCalibration = ScoreCalibration()


@dataclass(frozen=True)
class PixelStatistics:
    """The pixels (0..255, after crop and resize) of the images that a model was trained on."""

    minimum: float
    maximum: float
    mean: float
    std: float


@dataclass(frozen=True)
class Provenance:
    """Where the model comes from. `steps` are the commands that made it, oldest first."""

    source: str = ""
    source_sha256: str = ""
    steps: tuple[str, ...] = ()
    tools: dict[str, str] = field(default_factory=dict)
    calibration_sha256: str = ""
    trained_on: PixelStatistics | None = None


@dataclass(frozen=True)
class Golden:
    """An image and the model's own answer to it on the reference runtime.

    Either `image` (a PNG, base64) or `pattern` is set. A pattern is an image of the input's size made by
    integer arithmetic (`edgekit.runtime.preprocess.pattern`). `input_sha256` is the digest of the tensor
    that preprocessing makes of it; `scores` are the float32 scores by label (little-endian, base64).
    """

    scores: str
    input_sha256: str
    image: str | None = None
    pattern: str | None = None

    def score_array(self) -> NDArray[np.float32]:
        """The expected scores, float32 [labels]."""
        return np.frombuffer(_unbase64(self.scores, "golden.scores"), "<f4")

    def image_bytes(self) -> bytes:
        """The PNG file of an image answer."""
        return _unbase64(self.image or "", "golden.image")


@dataclass(frozen=True)
class Verdict:
    """What `edgekit validate --stamp` found.

    `model_sha256` is the digest of the model without its spec (`edgekit.runtime.modelfile.digest`), so
    that a verdict cannot outlive the model it speaks of. `figures` are accuracies in 0..1, `drop` in points.
    """

    outcome: str
    model_sha256: str
    reference_sha256: str
    data_sha256: str
    images: int
    figures: dict[str, float] = field(default_factory=dict)
    gate: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelSpec:
    """Everything that a runtime has to know about a model. See the module's docstring."""

    input: InputSpec
    preprocess: Preprocess
    output: OutputSpec
    labels: tuple[str, ...]
    task: str = "classification"
    scheme: str = "none"
    provenance: Provenance = Provenance()
    golden: tuple[Golden, ...] = ()
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        _check(self)

    def to_json(self) -> str:
        """The document, with sorted keys: the same spec always gives the same bytes."""
        return json.dumps(
            {"edgekit": VERSION, **dataclasses.asdict(self)},
            sort_keys=True,
            ensure_ascii=False,
            separators=(",", ":"),
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> ModelSpec:
        """Read and check a document.

        Raises:
            SpecError: it is no JSON, of another version, or not a valid spec; the message names the field.
        """
        if len(text) > MAX_JSON_BYTES:
            raise SpecError(f"The spec is larger than {MAX_JSON_BYTES >> 20} MB.")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SpecError(f"The spec is not valid JSON: {error}.") from None
        if not isinstance(document, dict):
            raise SpecError("The spec is not a JSON object.")
        version = document.pop("edgekit", None)
        if type(version) is not int or version != VERSION:
            raise SpecError(
                f"The spec has version {str(version)[:20]!r}; this edgekit reads version {VERSION}.",
                "Use the edgekit that wrote the file, or a newer one.",
            )
        return typing.cast(ModelSpec, _READER.build(cls, document))

    def verdict_state(self, digest: str) -> str:
        """`pass`, `fail` or `inconclusive` if the verdict speaks of the model with this digest; else `stale` or `none`.

        Args:
            digest: of the model, from `edgekit.runtime.modelfile.digest`.
        """
        if self.verdict is None:
            return "none"
        return self.verdict.outcome if self.verdict.model_sha256 == digest else "stale"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input."""
        return self.input.height, self.input.width


def encode_scores(scores: NDArray[np.float32]) -> str:
    """Scores as `Golden.scores` holds them."""
    return base64.b64encode(np.ascontiguousarray(scores, "<f4").tobytes()).decode()


def printable(text: str) -> str:
    """Text from a file (a label, a layer name, a path) without control and direction-changing characters."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _unbase64(text: str, name: str) -> bytes:
    try:
        if len(text) % 4 == 0:  # b64decode takes more padding than there should be
            return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        pass
    raise SpecError(f"The spec's {name} is not valid base64.")


def _check(spec: ModelSpec) -> None:
    image, crop, preprocess, output = spec.input, spec.preprocess.crop, spec.preprocess, spec.output
    for name, value, allowed in (
        ("task", spec.task, ("classification",)),
        ("scheme", spec.scheme, SCHEMES),
        ("input.dtype", image.dtype, DTYPES),
        ("input.layout", image.layout, LAYOUTS),
        ("preprocess.resize", preprocess.resize, KERNELS),
        ("preprocess.crop.mode", crop.mode, CROPS),
        ("preprocess.crop.rounding", crop.rounding, ROUNDINGS),
        ("preprocess.orientation", preprocess.orientation, ORIENTATIONS),
        ("preprocess.channel_order", preprocess.channel_order, CHANNEL_ORDERS),
        ("output.activation", output.activation, ACTIVATIONS),
        ("output.dtype", output.dtype, DTYPES),
    ):
        if value not in allowed:
            raise SpecError(
                f"The spec's {name} is {printable(str(value))[:40]!r}; it must be one of {', '.join(allowed)}."
            )
    gray = preprocess.channel_order == "gray"
    quantizations = [q for q in (image.quantization, output.quantization) if q is not None]
    scales = [q.scale for q in quantizations]
    checks = (
        (
            1 <= image.height <= MAX_SIDE and 1 <= image.width <= MAX_SIDE,
            f"input is {image.width}×{image.height}; sides from 1 to {MAX_SIDE} are supported",
        ),
        (
            image.channels == (1 if gray else 3),
            f"input has {image.channels} channels, which does not fit the channel order {preprocess.channel_order}",
        ),
        (
            len(preprocess.mean) == len(preprocess.std) == image.channels,
            f"preprocess.mean and .std must have {image.channels} entries",
        ),
        (all(value > 0 for value in preprocess.std), "preprocess.std must be positive"),
        (0 < crop.fraction <= 1, "preprocess.crop.fraction must be above 0 and at most 1"),
        (crop.mode == "center" or crop.fraction == 1, "preprocess.crop.fraction belongs to the crop mode center"),
        (all(0 <= value <= 255 for value in crop.fill), "preprocess.crop.fill must be bytes"),
        ((image.dtype == "float32") == (image.quantization is None), "input.quantization does not fit input.dtype"),
        ((output.dtype == "float32") == (output.quantization is None), "output.quantization does not fit output.dtype"),
        (all(scale > 0 for scale in scales), "quantization scales must be positive"),
        (all(-32768 <= q.zero_point <= 32767 for q in quantizations), "quantization zero points must fit in 16 bits"),
        (
            all(map(math.isfinite, (*preprocess.mean, *preprocess.std, *scales, output.calibration.temperature))),
            "its numbers must be finite",
        ),
        (output.calibration.temperature > 0, "output.calibration.temperature must be positive"),
        (
            output.calibration.threshold is None or 0 <= output.calibration.threshold <= 1,
            "output.calibration.threshold must lie between 0 and 1",
        ),
        (2 <= len(spec.labels) <= MAX_LABELS, f"labels must be 2 to {MAX_LABELS}"),
        (
            all(0 < len(label) <= MAX_LABEL_CHARACTERS for label in spec.labels),
            f"labels must have 1 to {MAX_LABEL_CHARACTERS} characters",
        ),
        (len(spec.golden) <= 16, "golden has more than 16 entries"),
    )
    for right, complaint in checks:
        if not right:
            raise SpecError(f"The spec does not hold together: {complaint}.")
    for golden in spec.golden:
        if (golden.image is None) == (golden.pattern is None):
            raise SpecError("The spec's golden entries need either an image or a pattern.")
        if golden.pattern is not None and golden.pattern not in PATTERNS:
            raise SpecError(f"The spec's golden.pattern must be one of {', '.join(PATTERNS)}.")
        if len(_unbase64(golden.scores, "golden.scores")) != 4 * len(spec.labels):
            raise SpecError("The spec's golden.scores do not fit its labels.")
    if spec.verdict is not None and spec.verdict.outcome not in OUTCOMES:
        raise SpecError(f"The spec's verdict.outcome must be one of {', '.join(OUTCOMES)}.")
