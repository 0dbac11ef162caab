"""Reading `recipe.toml`: a mistake is named before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import EdgekitError
from edgekit.recipes.recipe import Convert, GateLimits, read_recipe, usual_recipe
from edgekit.train.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    recipe = read_recipe(write(tmp_path, 'name = "pets"\ndata = "photos"\n'))
    assert (recipe.name, recipe.data, recipe.folder) == ("pets", tmp_path / "photos", tmp_path)
    assert (recipe.train, recipe.convert, recipe.gate) == (Settings(), Convert(), GateLimits())
    assert recipe.pretrained is None


def test_everything_said(tmp_path: Path) -> None:
    recipe = read_recipe(
        write(
            tmp_path,
            """
        name = "pets"
        data = "../photos.csv"
        [train]
        input_size = 96
        epochs = 3
        batch_size = 16
        seed = 7
        backbone = "mobilenet-v2"
        mirror = false
        mixup = 1
        [convert]
        tflite = ["none", "int8"]
        onnx = ["float16"]
        samples = 50
        [gate]
        max_drop = 2
        min_agreement = 97.5
    """,
        )
    )
    assert recipe.train == Settings(
        input_size=96, epochs=3, batch_size=16, seed=7, backbone="mobilenet-v2", mirror=False, mixup=1
    )
    assert recipe.convert == Convert(("none", "int8"), ("float16",), 50)
    assert recipe.gate == GateLimits(2, 97.5)


def test_the_file_or_its_folder(tmp_path: Path) -> None:
    write(tmp_path, 'name = "pets"\ndata = "photos"\n')
    assert read_recipe(tmp_path) == read_recipe(tmp_path / "recipe.toml")


def test_the_recipes_that_edgekit_ships() -> None:
    recipes = sorted((ROOT / "models").glob("*/recipe.toml"))
    assert recipes
    for path in recipes:
        recipe = read_recipe(path)
        assert recipe.name == path.parent.name
        assert recipe.data is None or recipe.data.exists()


def test_data_is_enough(tmp_path: Path) -> None:
    recipe = usual_recipe(tmp_path / "My photos, 2")
    assert (recipe.name, recipe.data) == ("My-photos-2", tmp_path / "My photos, 2")
    assert recipe.convert.tflite == ("none", "int8")
    assert usual_recipe(tmp_path / "photos.csv").name == "photos"
    assert usual_recipe(tmp_path / "...").name == "model"


GOOD = 'name = "pets"\ndata = "photos"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('data = "photos"\n', "lacks 'name'"),
        ('name = "pets\n', "is not valid TOML"),
        ('name = 3\ndata = "photos"\n', "'name' is not an entry of a recipe, or of the wrong type"),
        (GOOD + "epochs = 3\n", "'epochs' is not an entry of a recipe"),
        (GOOD + "train = 3\n", r"\[train\] is not a table"),
        (GOOD + "[train]\nepoch = 3\n", r"'epoch' in \[train\] is not known"),
        (GOOD + "[train]\nepochs = true\n", r"'epochs' in \[train\] is not known, or of the wrong type"),
        (GOOD + "[train]\nepochs = 2.5\n", r"'epochs' in \[train\]"),
        (GOOD + "[train]\ninput_size = 8.5\n", r"'input_size' in \[train\]"),
        (GOOD + "[train]\nepochs = 0\n", r"\[train\]: Training with epochs 0 is not possible"),
        (GOOD + "[train]\nmirror = 1\n", r"'mirror' in \[train\] is not known, or of the wrong type"),
        (GOOD + '[train]\ndevice = "cpu"\n', r"'device' in \[train\] is not known"),
        (GOOD + 'pretrained = "vgg16"\n', "'pretrained' can be: efficientnet-lite0"),
        (GOOD + 'pretrained = "efficientnet-lite0"\n[train]\nseed = 1\n', r"leave out \[train\]"),
        (GOOD + "[train]\nseed = -1\n", r"\[train\]: Training with seed -1"),
        (GOOD + '[convert]\ntflite = "int8"\n', r"'tflite' in \[convert\]"),
        (GOOD + "[convert]\ntflite = [8]\n", r"'tflite' in \[convert\]"),
        (GOOD + '[convert]\ntflite = ["int4"]\n', "'tflite' can be: none, float16, dynamic, weight8, weight4"),
        (GOOD + '[convert]\nonnx = ["int16x8"]\n', "'onnx' can be: none, float16, dynamic, int8"),
        (GOOD + "[convert]\nsamples = 1\n", r"'samples' in \[convert\] must be 2 or more"),
        (GOOD + "[gate]\nmax_drop = -1\n", "The gate's max_drop is -1"),
        (GOOD + "[gate]\nmin_agreement = 200\n", "The gate's min_agreement is 200"),
        ('name = "../pets"\ndata = "photos"\n', "'name' names files"),
        ('name = ""\ndata = "photos"\n', "'name' names files"),
        ('name = ".hidden"\ndata = "photos"\n', "'name' names files"),
        (GOOD + '"\\u001b[31m" = 1\n', "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EdgekitError, match=message) as raised:
        read_recipe(write(tmp_path, text))
    assert "\x1b" not in raised.value.message


def test_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"There is no recipe at .*recipe\.toml: No such file") as raised:
        read_recipe(tmp_path)
    assert "models/digits" in raised.value.hint
    with pytest.raises(EdgekitError, match=r"There is no recipe at .*nowhere"):
        read_recipe(tmp_path / "nowhere")
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EdgekitError, match="is not valid TOML"):
        read_recipe(tmp_path)
