"""Classes and functions that a model needs: found where they were said to be, and frozen into what is imported."""

from __future__ import annotations

import json
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core import child
from edgekit.core.errors import EdgekitError, ImportRefused
from edgekit.importers import custom_objects, keras_model
from edgekit.importers.custom_objects import Reference
from edgekit.importers.options import SpecOptions
from edgekit.importers.run import import_model
from tests.attacks import keras_files as make
from tests.importers import old_keras as old

CODE = """
    import keras

    @keras.saving.register_keras_serializable("Addons")
    class Scaled(keras.layers.Layer):
        def __init__(self, init, stride=1, **options):
            super().__init__(**options)
            self.settings = {"init": init, "stride": stride}

        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

        def call(self, x):
            return x * self.scale * self.settings["init"] / self.settings["stride"]

        def get_config(self):
            return {**super().get_config(), **self.settings}

    def swoosh(x):
        return x * keras.ops.sigmoid(3 * x)

    def touches(x):
        import tensorflow as tf
        return tf.numpy_function(lambda value: value, [x], tf.float32)

    NUMBER = 3
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with my_layers.py; whatever is imported from it is forgotten afterwards."""
    (tmp_path / "my_layers.py").write_text(textwrap.dedent(CODE))
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name in ("my_layers", "raises", "needs", "leaves"):
            del sys.modules[name]
    sys.path[:] = path


def old_file(path: Path, activation: str = "swoosh", class_name: str = "Scaled") -> Path:
    """Of Keras 2.2.4, with a layer and an activation of its author. `init` and `stride` are the layer's own words."""
    config = old.functional(
        old.layer("InputLayer", "image", batch_input_shape=[None, 4, 4, 3], dtype="float32", sparse=False),
        old.layer(class_name, "scaled", **({"init": 2.0, "stride": 4} if class_name == "Scaled" else {})),
        old.layer("GlobalAveragePooling2D", "pool", data_format="channels_last"),
        old.layer("Dense", "scores", units=3, activation=activation, use_bias=False))
    arrays: old.Arrays = {"image": [], "scaled": [("scaled/scale:0", np.array([1, 2, 3], np.float32))], "pool": [],
                          "scores": [("scores/kernel:0", old.dice(3, 3))]}
    return old.write_h5(path, config, arrays)


def answer(images: old.Array) -> old.Array:
    x = (images * np.array([1, 2, 3], np.float32) * 2 / 4).mean(axis=(1, 2)) @ old.dice(3, 3)
    found: old.Array = x / (1 + np.exp(-3 * x))
    return found


def test_what_is_named() -> None:
    a, b = Reference("my_layers", "Scaled"), Reference("some/file.py", "swoosh")
    assert custom_objects.parse(["my_layers:Scaled, some/file.py:swoosh", "my_layers:Scaled"]) == (a, b)
    assert custom_objects.parse([]) == ()


@pytest.mark.parametrize("text", ["Scaled", ":Scaled", "my_layers:", "my_layers:a b", "", "a:b,,c:d"])
def test_what_names_nothing(text: str) -> None:
    with pytest.raises(EdgekitError, match="names no object") as caught:
        custom_objects.parse([text])
    assert "module:name" in caught.value.hint


def test_one_name_in_two_modules() -> None:
    with pytest.raises(EdgekitError, match="names Scaled in two modules"):
        custom_objects.parse(["a:Scaled", "b:Scaled"])


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("nowhere:Mish", "there is no module nowhere here or among the installed packages"),
        ("nowhere.deeper:Mish", "there is no module nowhere"),
        ("nowhere.py:Mish", r"the file nowhere\.py does not exist"),
        ("my_layers:Mish", "that module has no Mish"),
        ("my_layers.py:Mish", "that module has no Mish"),
        ("my_layers:NUMBER", "neither a class nor a function"),
        ("raises:Mish", "importing its module raised ValueError: no licence"),
        ("leaves:Mish", "importing its module raised SystemExit"),
        ("needs:Mish", "its module needs tensorflow_addons_of_2020, which is not installed"),
    ],
)
def test_what_is_not_there(keras: Any, here: Path, reference: str, reason: str) -> None:
    (here / "raises.py").write_text("raise ValueError('no licence\\nfound')")
    (here / "leaves.py").write_text("import sys; sys.exit(3)")
    (here / "needs.py").write_text("import tensorflow_addons_of_2020")
    with pytest.raises(EdgekitError, match=reason) as caught:
        custom_objects.load(custom_objects.parse([reference]))
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("module", ["my_layers", "my_layers.py", "{here}/my_layers.py"])
def test_they_are_frozen_into_the_file(keras: Any, here: Path, module: str) -> None:
    """The imported file answers where that code is not."""
    module = module.format(here=here)
    source = old_file(here / "theirs.h5")
    found = keras_model.save_as_keras(str(source), str(here / "m.keras"),
                                      custom=[f"{module}:Scaled,{module}:swoosh"])
    assert "frozen" in found["notes"][0]
    assert "my_layers.py:Scaled" in found["notes"][0] or "my_layers:Scaled" in found["notes"][0]
    (here / "my_layers.py").unlink()
    images = old.dice(5, 4, 4, 3, seed=3)
    np.testing.assert_allclose(keras_model.load(here / "m.keras")(images), answer(images), atol=1e-6)


def test_from_the_command_to_a_spec(keras: Any, here: Path) -> None:
    options = SpecOptions("a,b,c", None, "bilinear", "none", None, "0", "1", "softmax")
    made = import_model(old_file(here / "theirs.h5"), here / "m.keras", options,
                        custom_objects=["my_layers:Scaled", "my_layers:swoosh"])
    assert "cannot be trained further" in made.notes[0]
    assert made.spec.labels == ("a", "b", "c")
    with pytest.raises(EdgekitError, match="--custom-objects belongs to Keras models"):
        import_model(_tflite(here), here / "m.tflite", options, custom_objects=["my_layers:Scaled"])


def _tflite(folder: Path) -> Path:
    from tests import models

    return models.tflite(folder / "theirs.tflite")


def test_a_file_of_keras_3(keras: Any, here: Path) -> None:
    objects = custom_objects.load(custom_objects.parse(["my_layers:Scaled", "my_layers:swoosh"]))
    image = keras.Input((4, 4, 3))
    x = keras.layers.GlobalAveragePooling2D()(objects["Scaled"](2.0, 4)(image))
    model = keras.Model(image, keras.layers.Dense(3, use_bias=False, activation=objects["swoosh"])(x))
    model.save(here / "theirs.keras")
    images = old.dice(5, 4, 4, 3, seed=3)
    with pytest.raises(ImportRefused, match=r"not part of Keras: .*my_layers\.Scaled") as caught:
        keras_model.load(here / "theirs.keras")
    assert "--custom-objects module:name" in caught.value.hint
    keras_model.save_as_keras(str(here / "theirs.keras"), str(here / "m.keras"),
                              custom=["my_layers:Scaled,my_layers:swoosh"])
    np.testing.assert_allclose(keras_model.load(here / "m.keras")(images), model(images), atol=1e-6)


def test_what_is_not_named_is_told(keras: Any, here: Path) -> None:
    sources = (old_file(here / "a.h5"), "Scaled"), (old_file(here / "b.h5", class_name="Identity"), "swoosh")
    for source, missing in sources:
        with pytest.raises(ImportRefused, match=f"this Keras does not have: {missing}") as caught:
            keras_model.load(source)
        assert "--custom-objects module:name" in caught.value.hint
        assert "model.export" in caught.value.hint


# --- that no other door opens


def test_only_what_is_named_is_accepted(keras: Any, here: Path) -> None:
    """A class of the same module, and one that goes by the name of another."""
    for class_name, registered in (("system", "system"), ("Other", "Addons>Other"), ("Scaled2", "Addons>Scaled2")):
        evil = make.layer(class_name, {"name": "it"}, "my_layers", registered)
        path = make.write_keras(here / "evil.keras", make.sequential(evil))
        with pytest.raises(ImportRefused, match="not part of Keras"):
            keras_model.save_as_keras(str(path), str(here / "m.keras"), custom=["my_layers:Scaled"])
    assert not (here / "m.keras").exists()


def test_a_name_never_leads_to_another_module(keras: Any, here: Path) -> None:
    """The file says that the class is in a module which would tell if it were imported."""
    (here / "trap.py").write_text("import pathlib; pathlib.Path('sprung').touch()")
    trap = make.layer("Scaled", {"name": "it", "init": 1.0}, "trap", "trap>Scaled")
    path = make.write_keras(here / "evil.keras", make.sequential(trap, make.dense()))
    with pytest.raises(EdgekitError):  # the weights of its first layer are missing
        keras_model.save_as_keras(str(path), str(here / "m.keras"), custom=["my_layers:Scaled"])
    assert not (here / "sprung").exists()
    with zipfile.ZipFile(path) as archive:
        assert b"trap" in archive.read("config.json")


def test_lambdas_stay_refused(keras: Any, here: Path) -> None:
    path = make.write_keras(here / "evil.keras", make.sequential(make.lambda_layer(here / "marker"), make.dense()))
    with pytest.raises(ImportRefused, match="--allow-lambda"):
        keras_model.save_as_keras(str(path), str(here / "m.keras"), custom=["my_layers:Scaled", "my_layers:swoosh"])
    assert not (here / "marker").exists()


def test_python_cannot_be_frozen(keras: Any, here: Path) -> None:
    source = old_file(here / "theirs.h5", activation="touches")
    with pytest.raises(ImportRefused, match="runs Python code"):
        keras_model.save_as_keras(str(source), str(here / "m.keras"), custom=["my_layers:Scaled,my_layers:touches"])
    assert not (here / "m.keras").exists()


def test_their_code_does_not_take_the_place_of_pythons(keras: Any, here: Path) -> None:
    (here / "json.py").write_text("raise SystemExit('taken')")
    child.call("edgekit.importers.keras_model:save_as_keras", path=str(old_file(here / "theirs.h5")),
               target=str(here / "m.keras"), custom=["my_layers:Scaled,my_layers:swoosh"])
    assert json.dumps([]) == "[]"
