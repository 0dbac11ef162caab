"""Networks that are hard to convert: each scheme gives a file that answers like its source, or says why not."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from edgekit.convert.run import SCHEMES, convert
from edgekit.core import child, embed
from edgekit.core.errors import ConversionError
from edgekit.importers.options import SpecOptions
from edgekit.importers.run import import_model
from edgekit.quantize.plan import CALIBRATED
from edgekit.runtime import modelfile
from edgekit.runtime.interpreters import open_interpreter
from edgekit.runtime.spec import InputSpec
from edgekit.validate.run import validate
from tests import keras_models
from tests.convert.networks import NETWORKS
from tests.keras_models import COLOURS
from tests.session_models import spec

LOOPS = "ONNX Runtime computes recurrent layers and loops in float even where activations are quantized"
CONVOLUTIONS = "Dynamic quantization helps an ONNX model only where LSTM layers and matrix products hold most weights"
REFUSED = {
    ("lstm", "int8", "onnx"): LOOPS,
    ("both_ways", "int8", "onnx"): LOOPS,
    ("mobilenet_v3", "dynamic", "onnx"): CONVOLUTIONS,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_scheme(name: str, many: Path, tmp_path: Path) -> None:
    child.call("tests.convert.networks:write", folder=str(tmp_path), name=name)
    answers = np.load(tmp_path / f"{name}.tflite.npy")
    assert (answers.argmax(1) == keras_models.images(12, 99)[1]).mean() > 0.8  # it has learned its task
    for kind, schemes in SCHEMES.items():
        core = tmp_path / f"{name}.{kind}"
        embed.write_spec(core, dataclasses.replace(spec(), input=float_input(core)), core)
        made = []
        for scheme in schemes:
            target = tmp_path / f"{name}.{scheme}.{kind}"
            calibrate = many if scheme in CALIBRATED else None
            if (name, scheme, kind) in REFUSED:
                with pytest.raises(ConversionError, match=REFUSED[name, scheme, kind]) as raised:
                    convert(core, target, quantize=scheme, calibrate=calibrate)
                assert "Use --quantize" in raised.value.hint
                assert not target.exists()
            else:
                made.append(convert(core, target, quantize=scheme, calibrate=calibrate).path)
        for found in validate(core, made, many).candidates:
            assert found.parity.agreement >= (0.99 if found.scheme == "none" else 0.9), found.path.name
            assert found.scheme == "none" or found.size_bytes < 1.2 * core.stat().st_size or name != "lstm"


@pytest.mark.slow
def test_a_loop_that_cannot_be_unrolled_any_more(tmp_path: Path) -> None:
    """A SavedModel has operators and no layers: its LSTM is a loop for good."""
    child.call("tests.convert.networks:write", folder=str(tmp_path), name="lstm")
    model = tmp_path / "imported.keras"
    options = SpecOptions(labels=",".join(COLOURS), mean="0", std="1", resize="bilinear", crop="none")
    import_model(tmp_path / "saved_model", model, options)
    with pytest.raises(ConversionError, match=r"The model holds a loop or a branch") as raised:
        convert(model, tmp_path / "made.tflite")
    assert "unroll=True" in raised.value.hint
    assert not (tmp_path / "made.tflite").exists()


def float_input(core: Path) -> InputSpec:
    """The input of a float file, as a spec says it."""
    assert modelfile.read_spec(core) is None
    return dataclasses.replace(spec().input, name=open_interpreter(core).input.name)
