"""Pretrained networks: the same as Keras' own, fed with RGB bytes; and what cannot be had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgekit.core import child
from tests.train.in_child import SIDE

pytestmark = pytest.mark.slow  # several networks of Keras are built

NETWORKS = ["mobilenet", "vgg16"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("backbones")
    told: dict[str, Any] = child.call("tests.train.in_child:backbones", folder=str(folder), names=NETWORKS)
    return told


def test_every_classifier_of_keras_has_a_name_and_a_size(found: dict[str, Any]) -> None:
    assert len(found["names"]) > 35
    expected = {
        "efficientnet-b0": [224, 32], "efficientnet-b7": [600, 32], "efficientnet-v2-s": [384, 32],
        "inception-resnet-v2": [299, 75], "inception-v3": [299, 75], "mobilenet": [224, 32],
        "mobilenet-v3-small": [224, 32], "nasnet-large": [331, 32], "resnet152": [224, 32], "resnet50-v2": [224, 32],
        "vgg16": [224, 32], "xception": [299, 71],
    }  # fmt: skip
    assert {name: found["sizes"][name] for name in expected} == expected
    assert sorted([*found["sizes"], "efficientnet-lite0"]) == found["names"]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_network_is_keras_own_with_its_preprocessing(found: dict[str, Any], name: str) -> None:
    network = found["networks"][name]
    assert network["spread"] > 0.01  # the images do not look alike to it
    assert max(network["differences"]) < 1e-3
    assert network["layers"][:2] == ["image", "normalise"]
    assert network["layers"][-1] == "pool"
    assert not [layer for layer in network["layers"] if layer.startswith("_")]


def test_bgr_needs_no_operator(found: dict[str, Any]) -> None:
    assert found["networks"]["vgg16"]["operators"] == [
        "Conv2D", "GlobalAveragePooling2D", "InputLayer", "MaxPooling2D", "Rescaling",
    ]  # fmt: skip
    assert found["networks"]["vgg16"]["output"] == [None, 512]


def test_efficientnet_lite(found: dict[str, Any]) -> None:
    lite = found["lite"]
    assert lite["describe"] == {"name": "efficientnet-lite0", "size": 224, "smallest": 32, "download": ""}
    assert (lite["input"], lite["output"]) == ([None, SIDE, SIDE, 3], [None, 1280])
    assert (lite["layers"][0], lite["layers"][1], lite["layers"][-1]) == ("image", "normalise", "pool")
    assert max(lite["differences"]) < 1e-6  # an archive that edgekit trained, another one, weights alone


@pytest.mark.parametrize(
    ("case", "kind", "message", "hint"),
    [
        ("unknown", "EdgekitError", "There is no backbone 'mobilnet-v2'", "Did you mean mobilenet-v2 or"),
        ("strange", "EdgekitError", "There is no backbone", "Backbones are efficientnet-lite0 and the classifiers"),
        ("too small", "EdgekitError", "inception-v3 takes inputs of 75 pixels and more, not of 64", "of 75 to"),
        ("missing", "ModelFileError", "none.h5 does not exist", ""),
        ("no weights", "ModelFileError", "notes.h5 does not hold weights", ""),
        ("another", "EdgekitError", "lite.weights.h5 does not hold weights of mobilenet", "--backbone"),
        ("another archive", "EdgekitError", "bare.keras does not hold weights of mobilenet", "--backbone"),
        ("another legacy", "EdgekitError", "vgg16.h5 does not hold weights of efficientnet-lite0", "it has 16 layers"),
        ("larger", "EdgekitError", "vgg16.h5 does not hold weights of vgg19", "has other shapes than block"),
        ("no download", "EdgekitError", "cannot be downloaded (", "mobilenet_1_0_224_tf_no_top.h5 into "),
    ],
)
def test_refusals(found: dict[str, Any], case: str, kind: str, message: str, hint: str) -> None:
    told = found["refused"][case]
    assert told[0] == kind
    assert message in told[1]
    assert hint in told[2]
    assert "\x1b" not in told[1]
    assert "\n" not in "".join(told)


def test_weights_that_the_user_puts_into_keras_folder(found: dict[str, Any]) -> None:
    offline = found["offline"]
    assert offline["name"] == "mobilenet_1_0_224_tf_no_top.h5"
    assert offline["same"]
    assert offline["described"] == {"name": "mobilenet", "size": 224, "smallest": 32, "download": ""}


def test_wrong_files_in_keras_folder(found: dict[str, Any]) -> None:
    offline = found["offline"]
    assert "does not hold the ImageNet weights of mobilenet" in offline["another"][1]
    assert "Delete it" in offline["another"][2]
    assert offline["damaged"][0] == "ModelFileError"
    assert "is not the file that Keras wants: its md5 is" in offline["hashed"][1]
    assert offline["kept"]  # it may be the user's only copy


def test_downloads(found: dict[str, Any]) -> None:
    download = found["download"]
    assert download["same"]
    assert download["files"] == ["good.h5"]
    assert "wrong.h5 cannot be downloaded (Incomplete or corrupted file" in download["wrong"][1]
    assert "gone.h5 cannot be downloaded (" in download["gone"][1]
    assert "File not found" in download["gone"][1]
    assert "gone.h5 cannot be downloaded (" in download["asked"][1]


@pytest.mark.slow
def test_networks_with_layers_of_their_own(tmp_path: Path) -> None:
    names = ["convnext-tiny", "inception-resnet-v2"]
    networks: dict[str, Any] = child.call("tests.train.in_child:networks", folder=str(tmp_path), names=names)
    refused = networks.pop("refused")
    assert "The weights nasnet_mobile_no_top.h5 cannot be downloaded" in refused[1]
    assert "/NASNet-mobile-no-top.h5; or" in refused[2]
    for name, network in networks.items():
        assert max(network["differences"]) < 1e-3, name
        assert network["spread"] > 1e-3, name
        assert (network["layers"][0], network["layers"][-1]) == ("image", "pool"), name
        assert not {"LayerScale", "CustomScaleLayer"} & set(network["operators"]), name
