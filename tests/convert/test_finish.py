"""From a float core to finished files, by plans."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.convert import finish
from edgekit.convert.float_core import float_core, probe_pixels
from edgekit.core.errors import ConversionError
from edgekit.quantize.observe import Statistics, observe
from edgekit.quantize.plan import Plan
from edgekit.quantize.taps import open_taps
from edgekit.runtime import preprocess
from edgekit.runtime.spec import Quantization
from tests import models
from tests.keras_models import images

WEIGHTS = np.random.default_rng(3).normal(0, 0.01, (3, 3)).astype(np.float32)
PIXELS = images(30, 5, models.SIDE, models.SIDE)[0]
SPEC = models.spec()


@pytest.fixture(scope="module", params=["tflite", "onnx"])
def core(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    source = folder / f"theirs.{request.param}"
    if request.param == "tflite":
        models.tflite(source, batch=1, weights=WEIGHTS)
    else:
        models.onnx(source, weights=WEIGHTS)
    models.with_spec(source)
    return float_core(source, SPEC, request.param, probe_pixels(SPEC, None), folder, False)


@pytest.fixture(scope="module")
def statistics(core: Path) -> Statistics:
    return observe(core, PIXELS, "NHWC")


def test_one_core_gives_a_file_for_every_plan(core: Path, statistics: Statistics, tmp_path: Path) -> None:
    powers = np.exp(PIXELS.mean((1, 2)) @ WEIGHTS.T)
    expected = powers / powers.sum(1, keepdims=True)
    for number, plan in enumerate([Plan("none"), Plan("float16"), Plan("int8"), Plan("int8", "mse")]):
        work = tmp_path / str(number)
        work.mkdir()
        made = finish.quantized(core, SPEC, plan, io="uint8", statistics=statistics, work=work)
        spec = finish.finished_spec(
            SPEC, core, made, plan, io="uint8", step="made of a core", calibration_sha256="of the images"
        )
        assert (spec.scheme, spec.input.dtype, spec.input.quantization) == (plan.scheme, "uint8", Quantization(1.0, 0))
        assert spec.provenance.steps[-1] == "made of a core"
        assert spec.provenance.calibration_sha256 == ("of the images" if plan.calibrated else "")
        classifier = finish.opened(made, spec, work / f"opened{core.suffix}")
        answers = classifier.scores(np.stack([preprocess.to_tensor(image, spec) for image in PIXELS]))
        assert answers == pytest.approx(expected, abs=0.05), plan.name


def test_a_layer_that_a_plan_keeps_is_exact(core: Path, statistics: Statistics, tmp_path: Path) -> None:
    logits = "logits"
    assert logits in open_taps(core).names
    image = PIXELS[:1].astype(np.float32)
    answers = []
    for number, kept in enumerate([(), (logits,)]):
        work = tmp_path / str(number)
        work.mkdir()
        plan = Plan("int8", keep_float=kept)
        made = finish.quantized(core, SPEC, plan, io="float32", statistics=statistics, work=work)
        found = open_taps(made).run(image)
        answers.append(np.abs(found[logits] - found["means"] @ WEIGHTS.T).max())
    assert answers[1] < 1e-5 < 1e-3 < answers[0]


def test_a_layer_that_is_not_there(core: Path, statistics: Statistics, tmp_path: Path) -> None:
    plan = Plan("int8", keep_float=("no\x1bne",))
    with pytest.raises(ConversionError, match=r"has no operator 'no.*ne' that could be kept") as raised:
        finish.quantized(core, SPEC, plan, io="uint8", statistics=statistics, work=tmp_path)
    assert "\x1b" not in raised.value.message


def test_a_file_that_does_not_run_is_a_failed_conversion(tmp_path: Path) -> None:
    made = models.fails_when_run(tmp_path / "made.tflite")
    with pytest.raises(ConversionError, match="Making it gave a file that does not run"), finish.running("Making it"):
        finish.opened(made, SPEC, tmp_path / "opened.tflite").scores(PIXELS[:1].astype(np.float32))


def test_tensors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    def rename(file: models.TFLiteFile) -> None:
        for tensor in file.graph.tensors:
            if tensor.name in ("means", "logits"):
                tensor.name = "image"

    source = models.with_spec(models.tflite(tmp_path / "theirs.tflite", batch=1, damage=rename))
    core = float_core(source, SPEC, "tflite", probe_pixels(SPEC, None), tmp_path, False)
    assert len(set(open_taps(core).names)) == 3
    seen = observe(core, PIXELS, "NHWC")
    made = finish.quantized(core, SPEC, Plan("int8"), io="uint8", statistics=seen, work=tmp_path)
    spec = finish.finished_spec(SPEC, source, made, Plan("int8"), io="uint8", step="", calibration_sha256="")
    answers = finish.opened(made, spec, tmp_path / "opened.tflite").scores(PIXELS)
    assert answers == pytest.approx(np.stack([models.expected(image) for image in PIXELS]), abs=0.05)
