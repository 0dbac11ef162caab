"""The classifiers of `keras.applications` as backbones: found by name, fed with RGB bytes, their weights fetched.

Needs Keras, so it runs in a child.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core import child, files
from edgekit.core.errors import EdgekitError
from edgekit.importers import keras_checks
from edgekit.runtime.spec import printable
from edgekit.train import weights_files
from edgekit.train.weights_files import WeightsFile

USUAL = 224  # of MobileNetV3, which takes any size in silence
# A factor for each channel (ConvNeXt), and a residual that is scaled (Inception-ResNet).
_OWN_LAYERS = {"LayerScale", "CustomScaleLayer"}
PATIENCE = 20.0  # seconds until a server that does not answer counts as none

# "MobileNetV3Small" -> "mobilenet-v3-small"
_WORDS = re.compile(r"(?<=[a-z\d])(?=V\d|B\d|X?Large|Small|Tiny|Base|Mobile|ResNet|[SML]$)")


@dataclass(frozen=True)
class Download:
    """A file of weights that `keras.applications` wants: its place, and where it comes from.

    `digest` is its MD5 or SHA-256 in hexadecimal; empty where Keras knows none.
    """

    path: Path
    address: str
    digest: str


def classes() -> dict[str, Any]:
    """What builds each network, by its name."""
    import keras

    found = {}
    for name, value in vars(keras.applications).items():
        if inspect.isfunction(value) and "include_top" in inspect.signature(value).parameters:
            found[_WORDS.sub("-", name).lower()] = value
    return found


def sizes(name: str) -> tuple[int, int]:
    """The usual and the smallest side of the input, in pixels, as the network's own messages tell them."""
    make = classes()[name]

    def told(pattern: str, **options: Any) -> list[int]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                make(input_shape=(1, 1, 3), **options)
        except ValueError as error:
            return [int(number) for number in re.findall(pattern, str(error))]
        return []

    usual = told(r"should be \((\d+),", weights="imagenet", include_top=True) or [USUAL]
    smallest = told(r"at least (\d+)x", weights=None, include_top=False)
    return usual[0], smallest[0]


def build(name: str, side: int, weights: str | WeightsFile) -> Any:
    """The network without its classifier: pixels 0..255, RGB, float32 [N, side, side, 3] -> features [N, D].

    Its normalisation becomes a `Rescaling` layer; where it wants BGR, the channels of the first kernel are reversed
    instead. Layers of classes that only `keras.applications` has are replaced by standard ones that do the same.

    Args:
        weights: "imagenet", "none" or a checked file.

    Raises:
        EdgekitError: the weights cannot be had, or are those of another network.
    """
    import keras

    make = classes()[name]
    normalisation = _normalisation(make)
    image = keras.Input((side, side, 3), name="image")
    x = image
    if not normalisation.nothing:
        x = keras.layers.Rescaling(normalisation.scale, normalisation.offset, name="normalise")(image)
    with warnings.catch_warnings(), _weights_from(name, weights):
        warnings.simplefilter("ignore")  # MobileNet's about sizes that have no weights of their own
        network = make(
            include_top=False,
            weights=None if weights == "none" else "imagenet",
            input_tensor=x,
            input_shape=(side, side, 3),
            pooling="avg",
        )
    if isinstance(weights, WeightsFile) and weights.own:
        network = _standard(network)
        weights_files.load(network, weights, name)
        return network
    if normalisation.reversed:
        _reverse_channels(network)
    return _standard(network)


def wanted(name: str, side: int) -> Download:
    """The file of ImageNet weights that the network would be given for inputs of this size."""

    class Found(Exception):
        """Ends the building of the network."""

    def stop(download: Download) -> Path:
        found.append(download)
        raise Found

    found: list[Download] = []
    try:
        with warnings.catch_warnings(), _get_file(stop):
            warnings.simplefilter("ignore")
            classes()[name](include_top=False, weights="imagenet", input_shape=(side, side, 3), pooling="avg")
    except Found:
        pass
    return found[0]


def check_server(download: Download) -> None:
    """Raise EdgekitError when the file cannot be downloaded: better now than after the photos are decoded."""
    try:
        request = urllib.request.Request(download.address, method="HEAD")
        with urllib.request.urlopen(request, timeout=PATIENCE):
            pass
    except (OSError, ValueError) as error:
        raise _unreachable(download, error) from error


def _unreachable(download: Download, error: BaseException) -> EdgekitError:
    reason = printable(str(getattr(error, "reason", error)))[:200]
    return EdgekitError(
        f"The weights {download.path.name} cannot be downloaded ({reason}).",
        f"Put the file {download.path.name} into {printable(str(download.path.parent))} yourself, "
        f"from {printable(download.address)}; or choose --weights none or a file, or the backbone efficientnet-lite0.",
    )


# --- weights


@contextmanager
def _weights_from(name: str, weights: str | WeightsFile) -> Iterator[None]:
    """While a network is built with weights="imagenet": where Keras gets its file, and how it is read.

    A network is built like that for a file of the user's, too, since some have a layer more with ImageNet's weights.
    """
    import keras

    if isinstance(weights, WeightsFile):
        kept = keras.Model.load_weights

        def load(model: Any, *_: Any, **__: Any) -> None:
            if not weights.own:
                keras.Model.load_weights = kept
                weights_files.load(model, weights, name)

        keras.Model.load_weights = load
        try:
            with _get_file(lambda _: weights.path):
                yield
        finally:
            keras.Model.load_weights = kept
        return
    used: list[Download] = []

    def fetch(download: Download) -> Path:
        used.append(download)
        return fetched(download)

    try:
        with _get_file(fetch):
            yield
    except ValueError as error:
        if not used:
            raise
        raise EdgekitError(f"{printable(str(used[0].path))} does not hold the ImageNet weights of {name}.",
                           "Delete it to have it downloaded again, or put the right file there.") from error


@contextmanager
def _get_file(answer: Callable[[Download], Path]) -> Iterator[None]:
    """Let `answer` say which file Keras reads, while a network is built."""
    from keras.src.utils import file_utils

    def get_file(fname: str, origin: str, *, file_hash: str | None = None, **_: Any) -> str:
        return str(answer(Download(_models_folder() / fname, origin, file_hash or "")))

    kept = file_utils.get_file
    file_utils.get_file = get_file
    try:
        yield
    finally:
        file_utils.get_file = kept


def _models_folder() -> Path:
    """Where Keras keeps the weights of its applications."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser() / "models"


def fetched(download: Download) -> Path:
    """The file of weights, downloaded by Keras when it is not there; it is complete, or not there.

    Raises:
        EdgekitError: it cannot be downloaded, or the file in its place is another one.
        ImportRefused, ModelFileError: the file in its place is no file of weights.
    """
    import keras

    if download.path.exists():
        checked(download)
        return download.path
    child.report(download=download.path.name, address=download.address)
    try:
        download.path.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(download.path) as part:
            keras.utils.get_file(
                part.name, download.address, file_hash=download.digest or None, force_download=True,
                cache_dir=str(part.parent.parent), cache_subdir=part.parent.name,
            )
    except EdgekitError:
        raise
    except Exception as error:  # Keras raises bare ones
        raise _unreachable(download, error.__context__ or error) from error
    return download.path


def checked(download: Download) -> None:
    """Raise EdgekitError when the file in the place of a download is another one than Keras wants."""
    keras_checks.check_weights(download.path)
    if not download.digest:
        return
    kind = "sha256" if len(download.digest) == 64 else "md5"
    with download.path.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.new(kind, usedforsecurity=False)).hexdigest()
    if found != download.digest:
        raise EdgekitError(
            f"{printable(str(download.path))} is not the file that Keras wants: its {kind} is {found}, "
            f"it should be {download.digest}.",
            f"Delete it, or get a complete copy from {printable(download.address)}. Name your own with --weights.",
        )


# --- the graph


@dataclass(frozen=True)
class _Normalisation:
    """`preprocess_input` per channel, in the order RGB; `reversed`: the network wants BGR."""

    scale: list[float]
    offset: list[float]
    reversed: bool

    @property
    def nothing(self) -> bool:
        return self.scale == [1.0] * 3 and self.offset == [0.0] * 3 and not self.reversed


def _normalisation(make: Any) -> _Normalisation:
    """What the network's `preprocess_input` does, found by giving it colours."""
    preprocess = sys.modules[make.__module__].preprocess_input

    def of(*colours: tuple[int, int, int]) -> NDArray[np.float64]:
        pixels = np.array(colours, np.float32)[:, None, None, :]
        return np.asarray(preprocess(pixels), np.float64)[:, 0, 0, :]

    black, *primaries = of((0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255))
    matrix = (np.stack(primaries) - black) / 255  # [in, out]
    backwards = bool(abs(matrix[0, 0]) < abs(matrix[0, 2]))
    order = slice(None, None, -1) if backwards else slice(None)
    scale, offset = np.diag(matrix[:, order]), black[order]
    if not np.allclose((np.array((10, 100, 200)) * scale + offset)[order], of((10, 100, 200))[0], atol=1e-3):
        raise EdgekitError(f"{make.__name__} normalises pixels in a way that edgekit does not know.")
    return _Normalisation([_short(value) for value in scale], [_short(value) for value in offset], backwards)


def _short(value: float) -> float:
    """float32 arithmetic leaves noise behind the seventh digit."""
    return float(f"{value:.7g}") + 0.0


def _reverse_channels(network: Any) -> None:
    """Let the first convolution take RGB in the place of BGR."""
    first = next(layer for layer in network.layers if layer.weights)
    kernel, *rest = first.get_weights()
    first.set_weights([kernel[:, :, ::-1], *rest])


def _standard(network: Any) -> Any:
    """The same network of standard layers only, whose last layer is "pool"."""
    import keras

    if any(type(layer).__name__ in _OWN_LAYERS for layer in network.layers):
        network = _without_own_layers(network)
    last = network.layers[-1]
    if isinstance(last, keras.layers.GlobalAveragePooling2D):
        features = keras.layers.GlobalAveragePooling2D(name="pool")(last.input)
    else:
        features = keras.layers.Identity(name="pool")(network.output)  # ConvNeXt normalises after pooling
    return keras.Model(network.inputs[0], features, name=network.name)


def _without_own_layers(network: Any) -> Any:
    import keras

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        kind = type(layer).__name__
        if kind == "LayerScale":
            return keras.layers.DepthwiseConv2D(1, use_bias=False, name=layer.name)(*arguments)
        if kind == "CustomScaleLayer":
            before, residual = arguments[0]
            residual = keras.layers.Rescaling(layer.scale, name=f"{layer.name}_scale")(residual)
            return keras.layers.Add(name=layer.name)([before, residual])
        return layer(*arguments, **options)

    made = keras.models.clone_model(network, call_function=call)
    for layer in network.layers:
        if layer.weights:
            weights = layer.get_weights()
            scale = type(layer).__name__ == "LayerScale"
            made.get_layer(layer.name).set_weights([weights[0][None, None, :, None]] if scale else weights)
    return made
