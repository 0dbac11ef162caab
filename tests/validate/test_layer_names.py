"""Tensors are given to the layers that compute them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import ModelFileError
from edgekit.validate.layer_names import Owner, keras_classes, owners

CLASSES = {"stem": "Conv2D", "stem_norm": "BatchNormalization", "relu": "ReLU", "relu_1": "ReLU", "odd name/x": "Dense"}


@pytest.mark.parametrize(
    ("tensor", "weight", "expected"),
    [
        (
            "cnn_1/relu_1/Relu;cnn_1/stem_norm_1/batchnorm/add_1;cnn_1/stem_1/convolution;cnn_1/stem_norm_1/batchnorm/sub1",
            "cnn_1/stem_1/convolution",
            Owner("stem", "Conv2D", "convolution", ("relu", "stem_norm")),
        ),
        ("cnn_1/relu_1_2/Relu", "", Owner("relu_1", "ReLU", "Relu")),
        ("cnn_1/relu_1/Relu:0", "", Owner("relu", "ReLU", "Relu")),
        ("cnn_1/relu_1/transposed__6:0", "ConvMulFusion_W_cnn_1/stem_1/convolution/ReadVariableOp:0",
         Owner("stem", "Conv2D", "convolution/ReadVariableOp")),
        ("cnn_1/odd_name_x_1/MatMul", "", Owner("odd name/x", "Dense", "MatMul")),
        ("cnn_1/Add_3", "", Owner("Add_3", "ADD")),
    ],
)  # fmt: skip
def test_keras_layers(tensor: str, weight: str, expected: Owner) -> None:
    assert owners({tensor: ("ADD", weight)}, CLASSES) == {tensor: expected}


def test_without_a_keras_model_the_names_are_made_short() -> None:
    tensors = {
        "cnn_1/relu_1/Relu;cnn_1/stem_1/convolution;cnn_1/stem_norm_1/sub1": "stem",
        "cnn_1/scores_1/MatMul;cnn_1/scores_1/BiasAdd": "scores",
        "cnn_1/block_1/pool_1/Mean": "block/pool",
        "output": "output",
    }
    found = owners(dict.fromkeys(tensors, ("CONV_2D", "")), None)
    assert {name: owner.name for name, owner in found.items()} == tensors
    assert {owner.kind for owner in found.values()} == {"CONV_2D"}


def test_numbers_that_belong_to_the_names_are_kept() -> None:
    tensors = {"MobilenetV1/Conv2d_0/Relu6": ("CONV_2D", ""), "MobilenetV1/Logits/AvgPool": ("AVERAGE_POOL_2D", "")}
    assert [owner.name for owner in owners(tensors, None).values()] == ["Conv2d_0", "Logits"]


def test_classes_of_a_keras_file(keras_files: Path) -> None:
    classes = keras_classes(keras_files / "rescaled.keras")
    assert {"stem": "Conv2D", "norm": "BatchNormalization", "colours": "Dense"}.items() <= classes.items()


def test_a_damaged_keras_file(tmp_path: Path) -> None:
    (tmp_path / "bad.keras").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ModelFileError, match="cannot be read"):
        keras_classes(tmp_path / "bad.keras")
