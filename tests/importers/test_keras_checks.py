"""What the checks accept, and what they say about it. The files that must be refused are in tests/attacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.importers import keras_checks
from tests.attacks import keras_files as make

if TYPE_CHECKING:
    from tests.conftest import Needs


@pytest.fixture(autouse=True)
def _needs_h5py(needs: Needs) -> None:
    needs.module("h5py", "pip install 'edgekit[keras]'")


def test_a_keras_archive(tmp_path: Path) -> None:
    config = make.sequential(make.dense())
    found = keras_checks.check_model(make.write_keras(tmp_path / "m.keras", config))
    assert found == keras_checks.CheckedFile("keras", config, legacy=False)


def test_the_content_counts_and_not_the_name(tmp_path: Path) -> None:
    config = make.sequential(make.dense())
    assert keras_checks.check_model(make.write_keras(tmp_path / "m.h5", config)).kind == "keras"
    assert keras_checks.check_model(make.write_h5(tmp_path / "m.keras", make.keras2(config))).kind == "h5"


def test_a_whole_model_in_hdf5(tmp_path: Path) -> None:
    config = make.keras2(make.sequential(make.dense()))
    found = keras_checks.check_model(make.write_h5(tmp_path / "m.h5", config))
    assert found == keras_checks.CheckedFile("h5", config, legacy=True)


@pytest.mark.parametrize("byte_order_mark", [b"", b"\xef\xbb\xbf", b"\n  "])
def test_an_architecture(tmp_path: Path, byte_order_mark: bytes) -> None:
    new, old = make.sequential(make.dense()), make.keras2(make.sequential(make.dense()))
    for config, legacy in ((new, False), ({**old, "keras_version": "2.4.0"}, True)):
        path = tmp_path / "m.json"
        path.write_bytes(byte_order_mark + json.dumps(config).encode())
        found = keras_checks.check_model(path)
        assert found == keras_checks.CheckedFile("json", config, legacy)


def test_weights_in_both_layouts(tmp_path: Path) -> None:
    new, old = tmp_path / "new.weights.h5", make.write_h5(tmp_path / "old.h5", None)
    whole = make.write_h5(tmp_path / "whole.h5", make.keras2(make.sequential(make.dense())))
    new.write_bytes(make.weights())
    assert [keras_checks.check_model(path).kind for path in (new, old, whole)] == ["weights", "weights", "h5"]
    assert [keras_checks.check_weights(path).legacy for path in (new, old, whole)] == [False, True, True]


def test_edgekits_own_layer_and_a_spec_in_the_archive_pass(tmp_path: Path) -> None:
    own = make.layer("FrozenGraph", {"name": "it"}, "edgekit.importers.frozen_graph", "edgekit>FrozenGraph")
    path = make.write_keras(tmp_path / "m.keras", make.sequential(own), extra={"edgekit.json": b"{}"})
    assert keras_checks.check_model(path).kind == "keras"


def test_the_training_configuration_may_name_foreign_losses(tmp_path: Path) -> None:
    loss = make.layer("MyLoss", {}, "my.losses", "Mine>MyLoss")
    config = {**make.sequential(make.dense()), "compile_config": {"loss": loss}}
    assert keras_checks.check_model(make.write_keras(tmp_path / "m.keras", config)).kind == "keras"


def test_what_passes_when_lambdas_are_allowed(tmp_path: Path) -> None:
    path = make.write_keras(tmp_path / "m.keras", make.sequential(make.lambda_layer(tmp_path / "marker"), make.dense()))
    assert keras_checks.check_model(path, allow_lambda=True).kind == "keras"
    foreign = make.sequential(make.lambda_layer(tmp_path / "marker"), make.layer("Mine", {}, "my.layers", "Mine>Mine"))
    with pytest.raises(ImportRefused, match=r"my\.layers\.Mine"):
        keras_checks.check_model(make.write_keras(path, foreign), allow_lambda=True)


@pytest.mark.parametrize(
    ("module", "passes"),
    [
        ("keras", True), ("keras.layers", True), ("keras.src.models.functional", True), ("keras.src.ops.numpy", True),
        (None, True), ("builtins", True),
        ("keras.utils", False), ("keras.src.utils.file_utils", False), ("keras.saving", False), ("keras.src", False),
        ("kerasx.layers", False), ("tensorflow", False), ("os", False), ("", False), (3, False),
    ],
)
def test_which_modules_are_keras(tmp_path: Path, module: object, passes: bool) -> None:
    config = make.sequential({**make.dense(), "module": module})
    path = make.write_keras(tmp_path / "m.keras", config)
    if passes:
        keras_checks.check_model(path)
    else:
        with pytest.raises(ImportRefused, match=r"not part of Keras: .*Dense \('scores'\)"):
            keras_checks.check_model(path)


def test_files_that_are_something_else(tmp_path: Path) -> None:
    (tmp_path / "empty.keras").write_bytes(b"")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "other.json").write_text('{"a": 1}')
    for name, reason in (("missing.h5", "does not exist"), ("empty.keras", "not a Keras model"),
                         ("list.json", "not a Keras model"), ("other.json", "names no class")):
        with pytest.raises(ModelFileError, match=reason):
            keras_checks.check_model(tmp_path / name)
    with pytest.raises(ModelFileError, match="not an HDF5 file"):
        keras_checks.check_weights(tmp_path / "other.json")
