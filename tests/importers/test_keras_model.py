"""Loading real Keras files: every format gives the model that was saved; what cannot be loaded is told."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import child
from edgekit.core.errors import EdgekitError, ImportRefused, MissingExtraError, ModelFileError
from edgekit.core.files import sha256
from edgekit.importers import keras_model
from tests.attacks import keras_files as make
from tests.importers.conftest import Saved


@pytest.mark.parametrize(
    ("name", "weights"),
    [("model.keras", None), ("model.h5", None), ("model.json", "new.weights.h5"), ("model.json", "old.h5"),
     ("model.json", "model.h5"), ("exported", None)],
)
def test_every_format_gives_the_same_answers(saved: Saved, name: str, weights: str | None) -> None:
    model = keras_model.load(saved.folder / name, weights=saved.folder / weights if weights else None)
    np.testing.assert_allclose(model(saved.images), saved.answers, atol=1e-6)
    assert not getattr(model, "compiled", False)


def test_keras_2_files(keras: Any, tmp_path: Path) -> None:
    config = {**make.keras2(make.sequential(make.dense())), "keras_version": "2.4.0"}
    (tmp_path / "m.json").write_text(json.dumps(config))
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    whole, weights = make.write_h5(tmp_path / "m.hdf5", config), make.write_h5(tmp_path / "w.h5", None)
    for model in (keras_model.load(whole), keras_model.load(tmp_path / "m.json", weights=weights),
                  keras_model.load(tmp_path / "m.json", weights=whole)):
        np.testing.assert_allclose(model(x), make.expected(x), atol=1e-6)


def test_hand_made_archives_are_real(keras: Any, tmp_path: Path) -> None:
    """The good file that the attacks of tests/attacks start from."""
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    model = keras_model.load(make.write_keras(tmp_path / "m.keras", make.sequential(make.dense())))
    np.testing.assert_allclose(model(x), make.expected(x), atol=1e-6)


def refused(error: type[EdgekitError], reason: str, path: Path, **arguments: Any) -> None:
    files = [item for item in (path, arguments.get("weights")) if item]
    before = [sha256(item) for item in files]
    with pytest.raises(EdgekitError, match=reason) as caught:
        keras_model.load(path, **arguments)
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) <= 2
    assert [sha256(item) for item in files] == before


def test_weights_and_architectures_alone_ask_for_the_other_half(saved: Saved) -> None:
    for name in ("new.weights.h5", "old.h5"):
        refused(ImportRefused, r"weights only(.|\n)*JSON.*--weights", saved.folder / name)
    refused(ImportRefused, r"without weights\.\n.*edgekit import … --weights FILE", saved.folder / "model.json")
    refused(ImportRefused, "holds its own weights", saved.folder / "model.keras", weights=saved.folder / "old.h5")
    refused(ImportRefused, "holds its own weights", saved.folder / "model.h5", weights=saved.folder / "old.h5")


def test_weights_that_do_not_fit_name_the_layer(saved: Saved, tmp_path: Path) -> None:
    config = json.loads((saved.folder / "model.json").read_text())
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "Dense":
            layer["config"]["units"] = 5
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(config))
    for weights in ("new.weights.h5", "old.h5"):
        refused(ImportRefused, r"do not fit the layer 'scores': it has the shape \(4, 5\), and the file has \(4, 3\)",
                wrong, weights=saved.folder / weights)
    other = make.write_keras(tmp_path / "m.keras", make.sequential(make.dense(units=3)))
    refused(ImportRefused, r"the layer 'scores': it has the shape \(4, 3\), and the file has \(4, 2\)", other)
    missing = make.write_keras(tmp_path / "n.keras", make.sequential(make.dense()), make.weights(name="other"))
    refused(ModelFileError, r"\(layer 'scores'\): .*expected 2 variables.*received 0", missing)


def test_names_must_fit_the_content(saved: Saved, tmp_path: Path) -> None:
    for source, name, reason in (("model.keras", "m.h5", r"\.keras file by its content"),
                                 ("model.h5", "m.keras", r"\.h5 file by its content")):
        shutil.copy(saved.folder / source, tmp_path / name)
        refused(ImportRefused, reason, tmp_path / name)
    for source, name, reason in (("new.weights.h5", "w.h5", r"ends in \.weights\.h5"),
                                 ("old.h5", "w.weights.h5", "layout of Keras 2")):
        shutil.copy(saved.folder / source, tmp_path / name)
        refused(ImportRefused, reason, saved.folder / "model.json", weights=tmp_path / name)


def test_architectures_and_weights_of_different_keras(saved: Saved, tmp_path: Path) -> None:
    old = tmp_path / "m.json"
    old.write_text(json.dumps(make.keras2(make.sequential(make.dense()))))
    refused(ImportRefused, r"Keras 2 and .* by Keras 3", old, weights=saved.folder / "new.weights.h5")


def test_classes_that_keras_does_not_have(keras: Any, tmp_path: Path) -> None:
    unknown = make.sequential(make.layer("Denser", {"name": "it"}))
    refused(ImportRefused, "this Keras does not have: .*Denser", make.write_keras(tmp_path / "m.keras", unknown))
    refused(ImportRefused, "this Keras does not have: .*Denser", make.write_h5(tmp_path / "m.h5", make.keras2(unknown)))


def test_what_is_no_model(keras: Any, tmp_path: Path) -> None:
    refused(ImportRefused, "a single Dense layer", make.write_keras(tmp_path / "m.keras", make.dense()))
    open_shape = make.layer("Sequential", {"name": "tiny", "layers": [make.dense()]}, "keras")
    (tmp_path / "m.json").write_text(json.dumps(open_shape))
    (tmp_path / "w.weights.h5").write_bytes(make.weights())
    reason = "does not say the shape of its input"
    refused(ImportRefused, reason, tmp_path / "m.json", weights=tmp_path / "w.weights.h5")
    refused(ImportRefused, reason, make.write_keras(tmp_path / "open.keras", open_shape))
    wrong = make.sequential(make.layer("Dense", {"name": "it", "units": "many"}))
    path = make.write_keras(tmp_path / "wrong.keras", wrong)
    refused(ModelFileError, "Keras cannot load .*invalid value for `units`", path)


def test_a_vocabulary_outside_of_the_file_is_not_read(keras: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a\nb\n")
    lookup = make.layer("StringLookup", {"name": "it", "vocabulary": str(tmp_path / "secret")})
    refused(ModelFileError, "vocabulary file outside", make.write_keras(tmp_path / "m.keras", make.sequential(lookup)))


def test_saved_and_described_in_a_child(saved: Saved, tmp_path: Path) -> None:
    found = child.call("edgekit.importers.keras_model:save_as_keras", path=str(saved.folder / "model.json"),
                       target=str(tmp_path / "m.keras"), weights=str(saved.folder / "new.weights.h5"))
    assert found == {
        "inputs": [{"name": "image", "shape": [None, 8, 8, 3], "dtype": "float32"}],
        "outputs": [{"name": "scores", "shape": [None, 3], "dtype": "float32"}],
        "activation": "softmax",
        "normalization": {"mean": [127.5] * 3, "std": [127.5] * 3},
        "notes": [],
    }


def test_the_back_end_is_tensorflow_whatever_the_environment_says(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "none-that-keras-has")
    child.call("edgekit.importers.keras_model:save_as_keras", path=str(saved.folder / "exported"),
               target=str(tmp_path / "m.keras"))


@pytest.mark.parametrize("package", ["tensorflow", "keras", "h5py"])
def test_what_is_not_installed_is_named(saved: Saved, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    refused(MissingExtraError, rf"Reading a Keras model needs .*'keras' extra \({package} is not installed\)",
            saved.folder / "model.keras")


@pytest.mark.parametrize("name", ["model.h5", "exported"])
def test_save_as_keras(saved: Saved, tmp_path: Path, name: str) -> None:
    keras_model.save_as_keras(str(saved.folder / name), str(tmp_path / "made.keras"))
    model = keras_model.load(tmp_path / "made.keras")
    np.testing.assert_allclose(model(saved.images), saved.answers, atol=1e-6)
