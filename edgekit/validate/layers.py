"""`edgekit validate --layers`: where a candidate drifts away from its reference, and which layer is to blame.

Activations are matched by their names, which quantizers keep but for endings. A Keras reference becomes a float file of
the candidate's format first, as `edgekit convert` makes it.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.convert.float_core import float_core, probe_pixels
from edgekit.core import child, probe
from edgekit.core.errors import EdgekitError, MissingExtraError, ModelFileError
from edgekit.data.dataset import Dataset
from edgekit.data.splits import evenly
from edgekit.quantize.isolate import isolate
from edgekit.quantize.taps import Activations, Taps, open_taps
from edgekit.runtime import modelfile, preprocess
from edgekit.runtime.spec import ModelSpec, printable
from edgekit.validate import layer_files
from edgekit.validate.layer_advice import advise
from edgekit.validate.layer_drift import BAD_DB, Accumulator, Drift, Layer, weight_ranges
from edgekit.validate.layer_files import MOVING, LayerFile, channel_axes, channel_gains, plain
from edgekit.validate.layer_names import Owner, keras_classes, owners

MAX_IMAGES = 64
SURE = 0.9  # the cosine at which one order of the axes is taken for the right one
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class _Model:
    """A file whose layers are looked at, and how it is fed."""

    path: Path
    spec: ModelSpec
    file: LayerFile
    pixels: bool  # it is a float core: it takes pixels from 0 to 255 as float32

    def feed(self, image: NDArray[np.uint8]) -> NDArray[Any]:
        """An image, uint8 RGB [H, W, 3], as the file takes it, [1, …]."""
        if not self.pixels:
            return preprocess.prepare(image, self.spec)[None]
        tensor = preprocess.pixels(image, self.spec)[None].astype(np.float32)
        return tensor.transpose(0, 3, 1, 2) if self.spec.input.layout == "NCHW" else tensor


@dataclass(frozen=True)
class _Pair:
    reference: _Model
    candidate: _Model
    names: dict[str, str]  # of the reference's activations: what the candidate calls them
    unmatched: int


class Layers:
    """A reference and its candidates, made ready to be compared layer by layer; use it in a `with` statement.

    Raises:
        EdgekitError: two of them cannot be compared; nothing was run on images yet.
    """

    def __init__(self, reference: Path, candidates: Sequence[Path], allow_lambda: bool = False) -> None:
        self._work = tempfile.TemporaryDirectory(prefix="edgekit-")
        try:
            for path in candidates:
                _require_comparable(reference, path)
            classes = keras_classes(reference) if modelfile.sniff(reference) == "keras" else None
            self._classes = classes
            self._references: dict[str, _Model] = {}
            self._allow_lambda = allow_lambda
            self._pairs = [self._pair(reference, path) for path in candidates]
        except BaseException:
            self._work.cleanup()
            raise

    def __enter__(self) -> Layers:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the float files that were made."""
        self._work.cleanup()

    def drift(self, number: int, data: Dataset, on_progress: Progress | None = None) -> Drift:
        """Compare the layers of a candidate, by its place, with the reference's on at most `MAX_IMAGES` of the images.

        Args:
            number: of the candidate.
            data: images that can be read; those that are used are evenly spaced.
            on_progress: called with the images done and their number.
        """
        return _compare(self._pairs[number], self._classes, data, on_progress)

    def _pair(self, reference: Path, candidate: Path) -> _Pair:
        probe.vet(candidate)
        theirs = _model(candidate)
        kind = theirs.file.kind
        if kind not in self._references:
            self._references[kind] = self._reference(reference, kind)
        ours = self._references[kind]
        pair = _match(ours, theirs)
        if kind == "onnx" and pair.unmatched:  # its quantizer fuses operators first, which changes their names
            fused = _match(self._fused(ours), theirs)
            if len(fused.names) >= len(pair.names):
                pair = fused
        if not pair.names.keys() - {ours.file.output}:
            raise ModelFileError(
                f"No layer of {printable(candidate.name)} has the name of a layer of {printable(reference.name)}.",
                "Layers are told by their names: compare files that were made from one another, or from the same "
                "model by the same converter.",
            )
        return pair

    def _reference(self, path: Path, kind: str) -> _Model:
        if modelfile.sniff(path) != "keras":
            probe.vet(path)
            model = _model(path)
            if model.file.held.keys() - {model.file.input} and any(
                name in model.file.held for node in model.file.nodes for name in node.outputs
            ):
                raise EdgekitError(
                    f"{printable(path.name)} is quantized itself: it does not show what its layers compute in float.",
                    "Name the float model that both were made from as the reference.",
                )
            return model
        spec = modelfile.read_spec(path)
        assert spec is not None  # Models has opened it
        folder = Path(self._work.name) / kind
        folder.mkdir()
        core = float_core(path, spec, kind, probe_pixels(spec, None), folder, self._allow_lambda)
        return _Model(core, spec, layer_files.read(core), pixels=True)

    def _fused(self, model: _Model) -> _Model:
        target = Path(self._work.name) / "fused.onnx"
        if not target.exists():
            child.call(
                "edgekit.validate.layers:fuse",
                purpose=f"Preparing {printable(model.path.name)}",
                source=str(model.path),
                target=str(target),
            )
        return _Model(target, model.spec, layer_files.read(target), model.pixels)


def fuse(source: str, target: str) -> None:
    """In a child process: fuse the operators of a float `.onnx` file as ONNX Runtime does before it quantizes.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError("Looking at the layers of an ONNX file", "onnx", "onnx") from error
    quant_pre_process(source, target, skip_symbolic_shape=True)


def _require_comparable(reference: Path, candidate: Path) -> None:
    ours, theirs = modelfile.sniff(reference), modelfile.sniff(candidate)
    if theirs not in ("tflite", "onnx"):
        raise EdgekitError(
            f"The layers of {printable(candidate.name)} cannot be looked at: with --layers a candidate must be a "
            ".tflite or .onnx file.",
            "Convert it first, or leave out --layers.",
        )
    if ours not in ("keras", theirs):
        raise EdgekitError(
            f"The layers of a .{ours} and a .{theirs} file do not have the same names "
            f"({printable(reference.name)}, {printable(candidate.name)}).",
            f"Name the Keras model that both were made from as the reference, or a float .{theirs} file.",
        )


def _model(path: Path) -> _Model:
    spec = modelfile.read_spec(path)
    assert spec is not None  # Models has opened it
    return _Model(path, spec, layer_files.read(path), pixels=False)


def _match(ours: _Model, theirs: _Model) -> _Pair:
    """The activations of both that have the same name, and both models' outputs.

    Of several copies of a candidate's tensor (quantized, dequantized) the last is what its readers get. What only puts
    the numbers of another one elsewhere is no layer.
    """
    copies = {plain(name): name for name in open_taps(theirs.path).names}
    copies[plain(ours.file.output)] = copies.get(plain(theirs.file.output), theirs.file.output)
    real = set(open_taps(ours.path).names)
    asked = [name for name in dict.fromkeys(layer_files.activations(ours.file)) if name in real]
    times = Counter(map(plain, asked))
    names = {
        name: copies[plain(name)]
        for name in asked
        if plain(name) in copies and (times[plain(name)] == 1 or copies[plain(name)] == name)
    }
    held = theirs.file.held
    for before, after in layer_files.clipping(ours.file):  # quantizers leave it to a range from 0
        if before in names and (found := held.get(names[before])) and found.low >= 0:
            names.setdefault(after, names.pop(before))
    moved = {
        name
        for node in ours.file.nodes
        if node.kind in MOVING and node.inputs and node.inputs[0] in names
        for name in node.outputs
    }
    matched = {name: called for name, called in names.items() if name not in moved}
    return _Pair(ours, theirs, matched, len(asked) - len(names))


def _compare(pair: _Pair, classes: dict[str, str] | None, data: Dataset, on_progress: Progress | None) -> Drift:
    ours, theirs = pair.reference, pair.candidate
    threads = os.cpu_count() or 1
    mine, other = open_taps(ours.path, threads), open_taps(theirs.path, threads)
    chosen = evenly(len(data), MAX_IMAGES)
    tensor, candidate_tensor = _feeds(pair, data, chosen[0])
    expected = mine.run(tensor)
    shapes = layer_files.shapes_of(expected)
    turns, misshapen = _turns(pair, expected, other.run(candidate_tensor))
    alone = isolate(ours.path, {name: shapes[name] for name in turns}, threads)
    sums = _accumulators(pair, alone.names, shapes)
    for done, index in enumerate(chosen):
        tensor, candidate_tensor = _feeds(pair, data, index)
        expected = mine.run(tensor)
        found = _read(other, pair, turns, candidate_tensor)
        computed = alone.run(tensor, found)
        for name, each in sums.items():
            each.add(expected[name], found[name], computed[name])
        if on_progress:
            on_progress(done + 1, len(chosen))
    named = _owners(ours.file, list(sums), classes)
    layers = tuple(_layer(name, named[name], each, pair) for name, each in sums.items())
    bad = [place for place, layer in enumerate(layers) if layer.bad]
    noisy = [(layer.own_sqnr_db, place) for place, layer in enumerate(layers) if layer.own_sqnr_db is not None]
    return Drift(
        len(chosen), layers, bad[0] if bad else None, min(noisy)[1] if noisy else None, pair.unmatched, misshapen
    )


def _feeds(pair: _Pair, data: Dataset, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """An image as the reference takes it, and as the candidate does; it is decoded once where both orient it alike."""
    orientations = [model.spec.preprocess.orientation for model in (pair.reference, pair.candidate)]
    images = {orientation: data.read(index, orientation) for orientation in dict.fromkeys(orientations)}
    return pair.reference.feed(images[orientations[0]]), pair.candidate.feed(images[orientations[1]])


def _read(taps: Taps, pair: _Pair, turns: dict[str, tuple[int, ...] | None], tensor: NDArray[Any]) -> Activations:
    """The candidate's activations by the reference's names, with the axes in the reference's order.

    What is no finite number becomes 0, so that a layer that overflows is one that is all noise.
    """
    values = taps.run(tensor)
    found = {}
    for name, turn in turns.items():
        value = values[pair.names[name]]
        value = value if np.isfinite(value).all() else np.where(np.isfinite(value), value, np.float32(0))
        found[name] = value if turn is None else np.ascontiguousarray(value.transpose(turn))
    return found


def _turns(pair: _Pair, ours: Activations, theirs: Activations) -> tuple[dict[str, tuple[int, ...] | None], int]:
    """How the candidate's axes are put into the reference's order, None for not at all; and how many cannot be.

    A graph optimizer may turn NHWC into NCHW under the same name. Where both orders have the same shape, the one in
    which the activations are alike is taken.
    """
    turns: dict[str, tuple[int, ...] | None] = {}
    misshapen = 0
    for name, called in pair.names.items():
        mine, other = ours[name], theirs[called]
        orders: list[tuple[int, ...] | None] = [None] if mine.shape == other.shape else []
        if mine.ndim == other.ndim == 4:
            orders += [
                order
                for order in ((0, 2, 3, 1), (0, 3, 1, 2))
                if tuple(other.shape[axis] for axis in order) == mine.shape
            ]
        if not orders:
            misshapen += 1
            continue
        if len(orders) > 1 and pair.reference.file.kind == "onnx":
            likeness = [_cosine(mine, other if order is None else other.transpose(order)) for order in orders]
            best = int(np.argmax(likeness))
            turns[name] = orders[best] if likeness[best] > SURE else orders[0]
        else:
            turns[name] = orders[0]
    return turns, misshapen


def _cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    size = float(np.linalg.norm(ours) * np.linalg.norm(theirs))
    return float(np.vdot(ours, theirs)) / size if size else 0.0


def _accumulators(pair: _Pair, names: Sequence[str], shapes: dict[str, tuple[int, ...]]) -> dict[str, Accumulator]:
    axes = channel_axes(pair.reference.file, shapes)
    gains = channel_gains(pair.reference.file, shapes, axes)
    held = {plain(name): each for name, each in pair.candidate.file.held.items()}
    found = {}
    for name in names:
        shape = shapes[name]
        axis = axes.get(name, len(shape) - 1)
        called = pair.names[name]
        holding = pair.candidate.file.held.get(called, held.get(plain(called)))
        found[name] = Accumulator(axis, shape[axis] if shape else 1, gains.get(name), holding)
    return found


def _owners(file: LayerFile, names: Sequence[str], classes: dict[str, str] | None) -> dict[str, Owner]:
    """The layers of these activations. The output, with a name of its own, belongs to the one it is computed from."""
    makers = {name: node for node in file.nodes for name in node.outputs}
    asked = [*names, *(name for name in makers[file.output].inputs if file.output in names)]
    asked = [name for name in asked if name in makers]
    weights = {name: makers[name].weight for name in asked}
    found = owners(
        {name: (makers[name].kind, weight.name if weight else "") for name, weight in weights.items()}, classes
    )
    last = found.get(file.output)
    if classes and last and last.name not in classes:
        before = next((found[name] for name in makers[file.output].inputs if name in found), last)
        found[file.output] = dataclasses.replace(before, part=last.kind, fused=())
    return found


def _layer(name: str, owner: Owner, sums: Accumulator, pair: _Pair) -> Layer:
    node = pair.reference.file.makers.get(plain(name))
    other = pair.candidate.file.makers.get(plain(pair.names[name]))
    weights = weight_ranges(node.weight, other.weight if other else None) if node and node.weight else None
    values, noise, own = sums.ranges(), sums.parts(), sums.own_sqnr()
    bad = own is not None and own < BAD_DB
    reach = values.high - values.low
    return Layer(
        name,
        owner.name,
        owner.kind,
        owner.part,
        owner.fused,
        sums.sqnr(),
        own,
        sums.cosine(),
        sums.difference,
        sums.difference / reach if reach > 0 else 0.0,
        weights,
        values,
        noise,
        bad,
        advise(noise, values, weights) if bad else (),
    )
