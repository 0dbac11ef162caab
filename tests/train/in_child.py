"""Runs in a child process: what the networks look like that edgekit trains."""

from __future__ import annotations

import functools
import http.server
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import EdgekitError

SIDE = 32
CLOSED = "http://127.0.0.1:9"  # nothing listens there


def describe_cnns(sizes: list[list[int]]) -> list[dict[str, Any]]:
    """For each [height, width, channels, classes]: parameters, the last map's size, and answers to bytes."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    from edgekit.train.cnn import cnn

    found = []
    for height, width, channels, classes in sizes:
        model = cnn(height, width, channels, classes)
        noise = np.random.default_rng(0).integers(0, 256, (2, height, width, channels)).astype(np.float32)
        answers = np.asarray(model(noise, training=False))
        found.append(
            {
                "parameters": model.count_params(),
                "map": list(model.get_layer("pool").input.shape[1:3]),
                "input": list(model.inputs[0].shape),
                "sums": answers.sum(1).tolist(),
                "classes": answers.shape[1],
                "layers": [layer.name for layer in model.layers],
            }
        )
    return found


def backbones(folder: str, names: list[str]) -> dict[str, Any]:
    """Build each network from files of weights, compare it with Keras' own, and collect what is refused."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    from edgekit.train import applications
    from edgekit.train import backbones as ours

    work = Path(folder)
    os.environ["https_proxy"] = CLOSED  # the same on machines with and without a network
    return {
        "names": ours.names(),
        "sizes": {name: applications.sizes(name) for name in applications.classes()},
        "networks": {name: network(name, work) for name in names},
        "lite": lite(work),
        "refused": refused(work),
        "offline": offline(),
        "download": download(work),
    }


def networks(folder: str, names: list[str]) -> dict[str, Any]:
    """`network` for each of these, and what is said about a file whose name differs from that at its address."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    from edgekit.train import backbones

    os.environ["https_proxy"] = CLOSED
    found: dict[str, Any] = {name: network(name, Path(folder)) for name in names}
    found["refused"] = refusal(lambda: backbones.describe("nasnet-mobile", "imagenet", SIDE))
    return found


def network(name: str, work: Path) -> dict[str, Any]:
    """A network of `keras.applications` from `.h5` with and `.weights.h5` without a classifier; saved and loaded."""
    import keras

    from edgekit.importers.keras_checks import check_model
    from edgekit.train import applications, backbones

    keras.utils.set_random_seed(0)
    make, (_, side) = applications.classes()[name], applications.sizes(name)
    with_top = make(weights=None, include_top=True, input_shape=(side, side, 3), classes=7, classifier_activation=None)
    original = make(weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg")
    scramble(with_top, side)
    pairs = zip(*([layer for layer in model.layers if layer.weights] for model in (original, with_top)), strict=False)
    for layer, other in pairs:
        layer.set_weights(other.get_weights())
    whole, bare, again = (work / f"{name}{end}" for end in (".h5", ".weights.h5", ".keras"))
    with_top.save(whole)
    original.save_weights(bare)
    seen = pixels(side)
    expected = np.asarray(original(sys.modules[make.__module__].preprocess_input(seen.copy()), training=False))
    built = backbones.build(name, side, str(whole))
    answers = [difference(built, seen, expected), difference(backbones.build(name, side, str(bare)), seen, expected)]
    built.save(again)
    check_model(again)
    answers.append(difference(keras.models.load_model(again), seen, expected))
    return {
        "layers": [layer.name for layer in built.layers],
        "output": list(built.output.shape),
        "operators": sorted({type(layer).__name__ for layer in built.layers}),
        "differences": answers,
        "spread": float(np.ptp(expected, axis=0).max() / np.abs(expected).max()),
    }


def scramble(model: Any, side: int) -> None:
    """Weights that are not neutral, so that a wrong order shows, and batch norms that keep images apart."""
    import keras

    rng = np.random.default_rng(1)
    for variable in model.weights:
        if len(variable.shape) == 1 and variable.dtype == "float32":
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0  # the statistics become those of the next batch
    model(rng.integers(0, 256, (4, side, side, 3)).astype(np.float32), training=True)


def pixels(side: int) -> NDArray[np.float32]:
    """Noise, and one colour: float32 [2, side, side, 3]."""
    seen = np.random.default_rng(0).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    seen[1] = (250, 20, 90)
    return seen


def difference(model: Any, seen: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The largest difference, as a share of how much the expected answers differ from each other."""
    answers = np.asarray(model(seen, training=False))
    return float(np.abs(answers - expected).max() / np.ptp(expected, axis=0).max())


def lite(work: Path) -> dict[str, Any]:
    """EfficientNet-Lite0 with random weights and with those of files."""
    import keras

    from edgekit.core import embed
    from edgekit.importers.keras_checks import check_model
    from edgekit.train import backbones
    from tests.session_models import spec

    keras.utils.set_random_seed(0)
    model = backbones.build("EfficientNet_Lite0", SIDE, "none")
    scramble(model, SIDE)
    seen = pixels(SIDE)
    expected = np.asarray(model(seen, training=False))
    scores = keras.layers.Dense(3, name="scores")(model.output)
    keras.Model(model.input, scores).save(work / "bare.keras")
    embed.write_spec(work / "bare.keras", spec(), work / "trained.keras")
    check_model(work / "trained.keras")
    model.save_weights(work / "lite.weights.h5")
    files = [work / "trained.keras", work / "bare.keras", work / "lite.weights.h5"]
    return {
        "describe": backbones.describe("efficientnet-lite0", "none"),
        "layers": [layer.name for layer in model.layers],
        "input": list(model.inputs[0].shape),
        "output": list(model.output.shape),
        "differences": [difference(backbones.build("efficientnet-lite0", SIDE, str(path)), seen, expected)
                        for path in files],
    }


def refusal(call: Callable[[], Any]) -> list[str]:
    """The class, the message and the advice of the error that `call` raises; empty when it raises none."""
    try:
        call()
    except EdgekitError as error:
        return [type(error).__name__, error.message, error.hint]
    return []


def refused(work: Path) -> dict[str, list[str]]:
    """What `describe` says to what cannot be."""
    from edgekit.train.backbones import describe

    (work / "notes.h5").write_text("no weights")
    lite, bare = str(work / "lite.weights.h5"), str(work / "bare.keras")
    return {
        "unknown": refusal(lambda: describe("mobilnet-v2", "none")),
        "strange": refusal(lambda: describe("\x1b[31m", "none")),
        "too small": refusal(lambda: describe("inception-v3", "none", 64)),
        "missing": refusal(lambda: describe("efficientnet-lite0", str(work / "none.h5"))),
        "no weights": refusal(lambda: describe("mobilenet", str(work / "notes.h5"))),
        "another": refusal(lambda: describe("mobilenet", lite, SIDE)),
        "another archive": refusal(lambda: describe("mobilenet", bare, SIDE)),
        "another legacy": refusal(lambda: describe("efficientnet-lite0", str(work / "vgg16.h5"), SIDE)),
        "larger": refusal(lambda: describe("vgg19", str(work / "vgg16.h5"), SIDE)),
        "no download": refusal(lambda: describe("mobilenet", "imagenet", SIDE)),
    }


def offline() -> dict[str, Any]:
    """ImageNet weights that the user put into Keras' folder: right ones, others, and damaged ones."""
    import keras

    from edgekit.train import applications, backbones

    wanted = applications.wanted("mobilenet", SIDE)
    wanted.path.parent.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(0)
    original = keras.applications.MobileNet(weights=None, include_top=False, input_shape=(SIDE, SIDE, 3))
    scramble(original, SIDE)
    original.save(wanted.path)
    model = backbones.build("mobilenet", SIDE, "imagenet")
    pairs = zip(model.get_weights(), original.get_weights(), strict=True)
    same = all(np.array_equal(one, other) for one, other in pairs)
    found = {"name": wanted.path.name, "same": same, "described": backbones.describe("mobilenet", "imagenet", SIDE)}
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(wanted.path)
    found["another"] = refusal(lambda: backbones.describe("mobilenet", "imagenet", SIDE))
    wanted.path.write_bytes(b"no weights")
    found["damaged"] = refusal(lambda: backbones.describe("mobilenet", "imagenet", SIDE))
    wanted.path.unlink()
    hashed = applications.wanted("vgg16", SIDE)
    original.save(hashed.path)
    found["hashed"] = refusal(lambda: backbones.describe("vgg16", "imagenet", SIDE))
    found["kept"] = hashed.path.exists()
    hashed.path.unlink()
    return found


def download(work: Path) -> dict[str, Any]:
    """Downloads from a server on this machine."""
    from edgekit.core import files
    from edgekit.train import applications
    from edgekit.train.applications import Download

    content = (work / "lite.weights.h5").read_bytes()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(work))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        folder = work / "keras" / "models"
        address, digest = f"{base}/lite.weights.h5", files.sha256(work / "lite.weights.h5")
        good = Download(folder / "good.h5", address, digest)
        applications.check_server(good)
        wrong = Download(folder / "wrong.h5", address, "0" * 32)
        gone = Download(folder / "gone.h5", f"{base}/gone.h5", "")
        found: dict[str, Any] = {
            "same": applications.fetched(good).read_bytes() == content,
            "wrong": refusal(lambda: applications.fetched(wrong)),
            "gone": refusal(lambda: applications.fetched(gone)),
            "asked": refusal(lambda: applications.check_server(gone)),
        }
        server.shutdown()
    return {**found, "files": sorted(path.name for path in folder.iterdir())}


def best_labels(model: str, photo: str, count: int) -> list[str]:
    """What plain Keras answers to a photo that is prepared as the model's spec says: the best labels, best first."""
    import tensorflow  # noqa: F401 -- before Keras

    # isort: split
    import keras
    from PIL import Image

    from edgekit.runtime import modelfile, preprocess

    spec = modelfile.read_spec(Path(model))
    assert spec is not None
    image = preprocess.pixels(np.asarray(Image.open(photo)), spec)
    network = keras.models.load_model(model)
    scores = np.asarray(network(image[None].astype(np.float32), training=False))[0]
    return [spec.labels[index] for index in scores.argsort()[::-1][:count]]
