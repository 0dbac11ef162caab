from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core import tflite_runtimes
from edgekit.core.errors import ModelFileError
from edgekit.core.tflite_runtimes import Operator
from tests import models
from tests.models import TFLiteFile

RUNTIMES = ("2.14.0", "2.16.1")


def test_the_operators_of_a_file(tmp_path: Path) -> None:
    def change(file: TFLiteFile) -> None:
        file.model.operatorCodes[1].version = 12

    plain = models.tflite(tmp_path / "plain.tflite", dtype="uint8")
    found = [(one.name, one.version) for one in tflite_runtimes.operators(plain)]
    assert found == [("CAST", 1), ("MEAN", 1), ("FULLY_CONNECTED", 1), ("SOFTMAX", 1)]
    newer = models.tflite(tmp_path / "newer.tflite", damage=change)
    assert tflite_runtimes.operators(newer)[1] == Operator("FULLY_CONNECTED", 12)
    assert tflite_runtimes.operators(models.with_spec(newer))[1] == Operator("FULLY_CONNECTED", 12)


def test_operators_that_nobody_knows(tmp_path: Path) -> None:
    def change(file: TFLiteFile) -> None:
        codes = file.model.operatorCodes
        codes[0].builtinCode, codes[0].deprecatedBuiltinCode = 250, 127
        codes[1].builtinCode = codes[1].deprecatedBuiltinCode = 32
        codes[1].customCode = "Flex\x1bOp"

    path = models.tflite(tmp_path / "m.tflite", damage=change)
    assert tflite_runtimes.operators(path)[:2] == (Operator("OPERATOR_250", 1), Operator("Flex�Op", 1, custom=True))


def test_what_runtimes_know() -> None:
    names = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "DILATE", "STABLEHLO_COMPOSITE", "NO_SUCH")
    highest = {name: [tflite_runtimes.highest(Operator(name, 1), runtime) for runtime in RUNTIMES] for name in names}
    assert highest == {
        "FULLY_CONNECTED": [10, 11], "CONV_2D": [7, 8], "DEPTHWISE_CONV_2D": [7, 7], "DILATE": [0, 1],
        "STABLEHLO_COMPOSITE": [0, 0], "NO_SUCH": [0, 0],
    }
    assert tflite_runtimes.highest(Operator("CONV_2D", 1, custom=True), "2.16.1") == 0
    assert all(tflite_runtimes.is_known(runtime) for runtime in RUNTIMES)
    assert not tflite_runtimes.is_known("2.99.0")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_dense_layers_in_8_bits(tmp_path: Path, runtime: str) -> None:
    """Measured: with a scale for each output both answer wrongly, with one scale rightly."""
    several = models.tflite(tmp_path / "several.tflite", damage=models.dense_in_8_bits(per_channel=True))
    one = models.tflite(tmp_path / "one.tflite", damage=models.dense_in_8_bits(per_channel=False))
    found = tflite_runtimes.unfit(several, runtime)
    assert found is not None
    assert found.does.startswith("answers wrongly")
    assert (found.what, found.setting) == (
        "a dense layer whose weights alone are quantized, with a scale for each output", "dynamic"
    )
    assert tflite_runtimes.unfit(one, runtime) is None
    assert tflite_runtimes.unfit(models.tflite(tmp_path / "float.tflite"), runtime) is None
    assert tflite_runtimes.unfit(several, "2.99.0") is None


def test_the_table_has_the_operators_of_litert() -> None:
    """A newer schema brings new ones: they must be asked of the runtimes, too."""
    from ai_edge_litert import schema_py_generated as schema

    known = {facts["code"]: name for name, facts in tflite_runtimes._facts()["operators"].items()}
    ours = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}
    assert {code: name for code, name in ours.items() if code not in known} == {
        32: "CUSTOM", 127: "PLACEHOLDER_FOR_GREATER_OP_CODES"
    }
    assert all(ours[code] == name for code, name in known.items())


def test_damaged_files(tmp_path: Path) -> None:
    content = bytearray(models.tflite(tmp_path / "m.tflite").read_bytes())
    path = tmp_path / "damaged.tflite"
    path.write_bytes(content[:60])
    with pytest.raises(ModelFileError, match=r"damaged\.tflite: Its table of operators is damaged"):
        tflite_runtimes.operators(path)

    def change(file: TFLiteFile) -> None:
        file.model.operatorCodes *= 5000

    with pytest.raises(ModelFileError, match="It names 15000 operators"):
        tflite_runtimes.operators(models.tflite(tmp_path / "many.tflite", damage=change))
