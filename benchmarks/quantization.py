"""What quantization breaks, and whether edgekit finds the way back, on networks that are hard for it."""

from __future__ import annotations

import itertools
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import calibration_data, models, quantizers
from benchmarks.measure import Figure, say, seconds
from edgekit.convert.check import run_float
from edgekit.convert.float_core import source_spec
from edgekit.convert.run import SCHEMES, convert
from edgekit.core.errors import ConversionError
from edgekit.data.dataset import Dataset, open_dataset
from edgekit.data.splits import stratified_sample
from edgekit.data.stream import BadImages, map_images
from edgekit.optimize.bench import Bench
from edgekit.optimize.material import Material, make_core
from edgekit.optimize.run import optimize
from edgekit.optimize.search import Search
from edgekit.optimize.split import split
from edgekit.quantize.calibration import choose
from edgekit.quantize.plan import CALIBRATED, Plan
from edgekit.runtime import preprocess
from edgekit.runtime.classify import to_scores
from edgekit.runtime.interpreters import open_interpreter
from edgekit.train.fit import train
from edgekit.validate.gate import Gate
from edgekit.validate.layers import Layers
from edgekit.validate.optimized import OK, UNFIT, Optimized, Row
from edgekit.validate.run import validate

KINDS = ("tflite", "onnx")
SAMPLES = 200
CORES = os.cpu_count() or 1
PHOTOS = 430  # of which a search chooses by 150
WITHIN = Gate(1.0)


def measure(work: Path, folder: Path | None = None) -> list[Figure]:
    """All figures; with a folder of photos also those of a fine-tuned EfficientNet-Lite0."""
    figures = [
        *_hard(work),
        *_readers(work),
        *_mobilenet(work),
        _aware(work),
        *calibration_data.measure(work, models.trained_digits(work), open_dataset(models.DIGITS), "digits"),
        *quantizers.compare(work, "digits CNN", models.trained_digits(work), open_dataset(models.DIGITS)),
        *quantizers.compare(work, "hard digits CNN", models.hard_digits(work), open_dataset(models.DIGITS), WITHIN),
    ]
    return figures if folder is None else [*figures, *_photos(work, open_dataset(folder))]


@dataclass(frozen=True)
class Tools:
    """What candidates are made and searched with; see `edgekit.optimize`."""

    bench: Bench
    search: Search


def _hard(work: Path) -> list[Figure]:
    """The digits CNN made hard: how it falls in int8, and what each repair alone brings back.

    Where all layers are hard, layers in float bring accuracy back by returning all of them; so one hard layer is
    measured, too.
    """
    figures, data = [], open_dataset(models.DIGITS)
    for pairs, kind in itertools.product((None, ["pointwise1"]), KINDS):
        model = models.hard_digits(work, pairs)
        name = f"digits CNN .{kind}, {'every layer' if pairs is None else 'one layer'} made hard"
        say(f"  {name}")
        with tempfile.TemporaryDirectory(dir=work) as scratch:
            tools = _tools(model, data, kind, Path(scratch))
            plain, equalized = tools.bench.measure([Plan("int8"), Plan("int8", equalize=True)])
            tools.search.try_schemes(["int8"])
            tools.search.select()
            winner = tools.search.winner
            kept = tools.search.rows[-1 if winner is None else winner]
        figures += [
            Figure(f"{name}: top-1 lost by plain int8", 20, _lost(plain), " points", at_least=True),
            Figure("… equalized, nothing else", 1, _lost(equalized), " points", detail=_size(equalized)),
            Figure("… layers in float, nothing else", 1, _lost(kept), " points",
                   detail=f"{kept.name}, of {len(tools.search.sensitivity)}; {_size(kept)}"),
            _searched("… optimize", model, data, work / f"hard.{kind}"),
        ]
    return figures


def _tools(model: Path, data: Dataset, kind: str, folder: Path) -> Tools:
    """What `edgekit optimize` works with, so that one repair can be tried alone."""
    spec, parts = source_spec(model), split(data, 0)
    chosen = choose(parts.calibration, spec, len(parts.calibration), 0, BadImages())
    core = make_core("core", model, spec, kind, chosen, folder, False)
    selection = np.stack([pixels for _, pixels in map_images(
        lambda image: preprocess.pixels(image, spec), parts.selection, BadImages())])
    np.save(folder / "calibration.npy", chosen.pixels)
    np.save(folder / "selection.npy", selection)
    reference = to_scores(run_float(open_interpreter(core.path), selection, spec.input.layout), spec.output,
                          len(spec.labels))
    material = Material(folder, core, chosen, folder / "calibration.npy", folder / "selection.npy", "uint8", "any",
                        "benchmark", reference, np.asarray(parts.selection.targets(), np.int64))
    bench = Bench(material, {})
    search = Search(bench.measure, bench.rank, None, gate=WITHIN, labelled=True, objective="size", width=CORES)
    return Tools(bench, search)


def _lost(row: Row) -> float:
    """Points of top-1 on the images that candidates are chosen by; all of it where there is no candidate."""
    return 100.0 if row.drop is None else row.drop


def _size(row: Row) -> str:
    return row.reason if row.size_bytes is None else f"{row.size_bytes / 1e3:.0f} KB"


def _searched(name: str, model: Path, data: Dataset, target: Path) -> Figure:
    """What a whole search ends with: the drop on images that nothing was tuned on."""
    found: list[Optimized] = []
    took = seconds(lambda: found.append(optimize(model, data, target, gate=WITHIN)))
    [result] = found
    parity = None if result.final is None else result.final.parity
    drop = 100.0 if parity is None or parity.drop is None else parity.drop
    winner = "none" if result.winner is None else result.rows[result.winner].name
    return Figure(f"{name}: top-1 lost", 1, drop, " points",
                  detail=f"{winner}; {len(result.rows)} candidates in {took:.0f} s, {result.parts['final']} images")


def _readers(work: Path) -> list[Figure]:
    """An LSTM and a GRU under every scheme: what is converted loses little, and the rest is refused."""
    figures = []
    for network in ("LSTM", "GRU"):
        model = models.reader(work, network)
        for kind in KINDS:
            say(f"  {network} .{kind}")
            core = convert(model, work / f"{network}.{kind}").path
            made, refused = [], []
            for scheme in SCHEMES[kind]:
                target = work / f"{network}.{scheme}.{kind}"
                calibrate = models.DIGITS if scheme in CALIBRATED else None
                try:
                    made.append(convert(core, target, quantize=scheme, calibrate=calibrate).path)
                except ConversionError as error:
                    refused.append(f"{scheme} refused: {error.hint}")
            found = validate(core, made, models.DIGITS).candidates
            lost = {each.scheme: each.parity.drop or 0.0 for each in found}
            sizes = [f"{each.scheme.replace('none', 'float32')} {each.size_bytes / 1e3:.0f} KB" for each in found]
            figures.append(Figure(f"{network} .{kind}: most top-1 lost by a scheme", 1, max(lost.values()), " points",
                                  detail="; ".join([", ".join(sizes), *refused])))
    return figures


def _mobilenet(work: Path) -> list[Figure]:
    """MobileNetV3-Small: the search ends, no candidate crashes, and the drift table names layers."""
    say("  MobileNetV3-Small")
    model = models.mobilenet_v3(work)
    images = work / "unlabelled.npz"
    np.savez(images, x=np.load(models.photos(work, 200))["x"])
    found: list[Optimized] = []
    took = seconds(lambda: found.append(optimize(model, images, work / "v3.tflite", gate=Gate(min_agreement=90))))
    [result] = found
    measured = [row for row in result.rows if row.status in (OK, UNFIT)]
    int8 = convert(model, work / "v3.int8.tflite", quantize="int8", calibrate=images).path
    with Layers(model, [int8]) as layers:
        drift = layers.drift(0, open_dataset(images))
    named = [layer for layer in drift.layers if layer.name and layer.kind]
    bad = drift.worst if drift.first_bad is None else drift.first_bad
    told = "no bad one" if bad is None else f"the first bad one: {drift.layers[bad].name} ({drift.layers[bad].kind})"
    return [
        Figure("optimize MobileNetV3-Small: candidates measured", 100, 100 * len(measured) / len(result.rows), " %",
               at_least=True, detail=f"{len(result.rows)} in {took:.0f} s"),
        Figure("layers of MobileNetV3-Small named with their Keras name and type", 100,
               100 * len(named) / len(drift.layers), " %", at_least=True,
               detail=f"{len(drift.layers)} layers; {told}"),
    ]


def _aware(work: Path) -> Figure:
    """The digits CNN, trained to be quantized: how often its int8 file, made without images, differs from Keras."""
    say("  quantization-aware training")
    model = work / "aware.keras"
    if not model.exists():
        train(models.DIGITS, model, seed=0, qat=True)
    int8 = convert(model, work / "aware.int8.tflite", quantize="int8").path
    parity = validate(model, [int8], models.DIGITS).candidates[0].parity
    differing = round((1 - parity.agreement) * parity.images)
    return Figure("digits, quantization-aware training: answers of int8 unlike Keras'", 2, differing, "",
                  detail=f"of {parity.images}; top-1 lost {parity.drop:z.2f} points")


def _photos(work: Path, data: Dataset) -> list[Figure]:
    """EfficientNet-Lite0 learned from photos: how long a search takes, calibration on photos, other quantizers."""
    name = "EfficientNet-Lite0"
    model = work / "photos_to_quantize.keras"
    if not model.exists():
        train(data, model, backbone="efficientnet-lite0", seed=0)
    sample = data.subset(stratified_sample(data, PHOTOS, 0))
    found: list[Optimized] = []
    say(f"  search of {name}")
    took = seconds(lambda: found.append(optimize(model, sample, work / "photos.tflite", gate=WITHIN)))
    [result] = found
    winner = "none" if result.winner is None else result.rows[result.winner].name
    search = Figure(f"optimize {name}", 240, took, " s",
                    detail=f"{len(result.rows)} candidates on {result.parts['selection']} photos; {winner}")
    return [
        search,
        *calibration_data.measure(work, model, data, "photos"),
        *quantizers.compare(work, name, model, data),
    ]
