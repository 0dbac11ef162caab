"""Training on one device and on several, with Keras on TensorFlow and on JAX; and which are chosen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import child
from edgekit.core.errors import EdgekitError
from edgekit.data.stream import BadImages
from edgekit.train.devices import Devices
from edgekit.train.fit import train
from edgekit.train.run import Trained
from edgekit.validate.score import Models, score
from tests.conftest import Needs
from tests.train.on_devices import VALIDATION

FIGURES = ("loss", "accuracy", "val_loss", "val_accuracy")


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def runs(request: pytest.FixtureRequest, needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """See `tests.train.on_devices.train`; and the backend's name."""
    needs.module(request.param)
    folder = str(tmp_path_factory.mktemp("devices"))
    return {"backend": request.param,
            **child.call("tests.train.on_devices:train", folder=folder, backend=request.param)}


def figures(run: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """[epochs, figures]"""
    return np.array([[epoch[name] for name in FIGURES] for epoch in run["history"]])


@pytest.mark.slow
def test_two_devices_learn_what_one_does(runs: dict[str, Any]) -> None:
    one, two = figures(runs["one"]), figures(runs["two"])
    assert (np.diff(one[:, 0]) < 0).all()
    assert (np.diff(two[:, 0]) < 0).all()
    assert runs["one"]["steps"] == runs["two"]["steps"] == 3 * 4
    # TensorFlow's batch norms see the part of a batch on their own device, JAX's the whole batch.
    assert np.abs(one[:, ::2] - two[:, ::2]).max() < (0.05 if runs["backend"] == "tensorflow" else 1e-5)


@pytest.mark.slow
def test_what_is_saved_is_the_best_epoch_and_loads_on_one_device(runs: dict[str, Any]) -> None:
    for name in ("one", "two", "chance", "half", "halves"):
        run = runs[name]
        best = min(run["history"], key=lambda epoch: epoch["val_loss"])
        # Images that are repeated to fill the last batch do not count.
        assert run["loss"] == pytest.approx(best["val_loss"], abs=2e-3 if "hal" in name else 1e-5), name
        assert run["right"] == pytest.approx(best["val_accuracy"], abs=1e-5), name
        assert best["val_accuracy"] * VALIDATION % 1 == pytest.approx(0, abs=1e-4) or "hal" in name
        assert run["weights"].keys() == run["trained"].keys()
        for place, array in run["weights"].items():
            assert array == pytest.approx(run["trained"][place], abs=1e-6), (name, place)


@pytest.mark.slow
def test_two_devices_stop_early(runs: dict[str, Any]) -> None:
    losses = [epoch["val_loss"] for epoch in runs["chance"]["history"]]
    assert len(losses) < 40
    assert len(losses) - 1 - int(np.argmin(losses)) == 2


@pytest.mark.slow
def test_a_stopped_run_on_two_devices_ends_where_the_whole_run_did(runs: dict[str, Any]) -> None:
    assert runs["resumed"]["epochs"] == [3, 4]
    assert figures(runs["resumed"]) == pytest.approx(figures(runs["two"]), abs=1e-6)
    assert runs["resumed"]["weights"] == {
        place: pytest.approx(array, abs=1e-6) for place, array in runs["two"]["weights"].items()
    }


@pytest.mark.slow
def test_gpus_calculate_in_float16_and_what_is_saved_is_float32(runs: dict[str, Any]) -> None:
    half, halves = runs["half"], runs["halves"]
    assert (half["calculates in"], half["optimizer"]) == ("float16", "LossScaleOptimizer")
    assert halves["calculates in"] == ("float32" if runs["backend"] == "tensorflow" else "float16")
    assert (np.diff(figures(half)[:, 2]) < 0).all()
    assert np.abs(figures(half) - figures(halves))[:, ::2].max() < 2e-3
    assert runs["policy"] == "float32"
    for run in (half, halves):  # its statistics are frozen: they stay those of a new batch norm
        assert [run["weights"][f"norm/{number}"] for number in range(4)] == [[1] * 4, [0] * 4, [0] * 4, [1] * 4]


def test_batches_can_be_divided() -> None:
    three = Devices("gpu", "tensorflow", (1, 2, 3))
    assert (three.batch_size(32), three.batch_size(33), three.multiple(33)) == (33, 33, 3)
    assert Devices("cpu", "tensorflow", (1,)).multiple(32) == 1
    assert Devices("cpu", "jax", (1,)).multiple(32) == 32


def chosen(device: str) -> dict[str, Any]:
    found: dict[str, Any] = child.call("tests.train.on_devices:chosen", device=device)
    return found


def test_the_processor_hides_gpus_and_jax_needs_no_tensorflow(
    needs: Needs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needs.module("jax")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    found = chosen("cpu")
    assert (found["kind"], found["backend"], found["devices"]) == ("cpu", "jax", 1)
    assert found["hidden"] == {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
    assert not found["tensorflow"]


@pytest.mark.parametrize(
    ("backend", "name"), [pytest.param("tensorflow", "TensorFlow", marks=pytest.mark.slow), ("jax", "JAX")]
)
def test_a_gpu_that_is_not_there(
    needs: Needs, monkeypatch: pytest.MonkeyPatch, backend: str, name: str
) -> None:
    needs.module(backend)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(EdgekitError, match=rf"--device gpu: {name} sees no GPU here\.\nInstall .*--device cpu"):
        chosen("gpu")


def test_backends_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    with pytest.raises(EdgekitError, match="Keras runs on torch here; edgekit trains on tensorflow or jax"):
        chosen("auto")
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "keras.json").write_text('{"backend": "openvino"}')
    with pytest.raises(EdgekitError, match="Keras runs on openvino here"):
        chosen("cpu")


@pytest.fixture(scope="module")
def on_jax(needs: Needs, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    needs.module("jax")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_BACKEND", "jax")
        return train(photos, tmp_path_factory.mktemp("jax") / "model.keras", backbone="cnn", epochs=2,
                     input_size=8, device="cpu")


@pytest.mark.slow
def test_what_jax_trained_answers_the_same_on_tensorflow(on_jax: Trained) -> None:
    assert on_jax.device == "cpu, Keras on jax"
    assert len(on_jax.history) == 2
    models = Models([on_jax.path])  # which runs Keras on TensorFlow
    try:
        [scored], _ = score(models, on_jax.evaluation.data, BadImages())
    finally:
        models.close()
    assert np.abs(scored.scores - on_jax.evaluation.scores).max() < 1e-4
