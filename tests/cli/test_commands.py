"""What each command prints, on stdout as text or JSON, and with which exit code it ends."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgekit.cli.common import Bytes
from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from tests import device_reports, models
from tests.cli.conftest import Run
from tests.keras_models import COLOURS, images
from tests.session_models import MANY, without_spec
from tests.validate.edited import edited, rescaled_range

if TYPE_CHECKING:
    from tests.conftest import Needs

FED = ["--labels", "red,green,blue", "--resize", "bilinear", "--crop", "none"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return models.with_spec(models.tflite(tmp_path / "model.tflite"))


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """The same model with its labels in another order."""
    return models.with_spec(models.tflite(tmp_path / "wrong.tflite"), models.spec(labels=("blue", "red", "green")))


# --- train


@pytest.mark.slow
def test_train(run: Run, needs: Needs, photos: Path, tmp_path: Path) -> None:
    needs.module("tensorflow", "pip install 'edgekit[keras]'")
    ran = run("train", photos, "-o", tmp_path / "m.keras", "--epochs", 2, "--input-size", 8, "--batch-size", 8)
    assert ran.code == 0
    assert ran.err == "Training …\n"
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith((" blue", " green", " red"))] == sorted(COLOURS)
    assert "held-out images (trained on 42, 2 epochs, " in lines[-2]
    assert lines[-1] == f"wrote {tmp_path}/m.keras and {tmp_path}/m.curve.svg"
    assert modelfile.read_spec(tmp_path / "m.keras") is not None
    assert (tmp_path / "m.curve.svg").read_text().startswith("<svg ")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--from", "m.keras"], "--from trains on with fake quantization only: add --qat."),
        (["--from", "m.keras", "--qat", "--backbone", "cnn"], "so --backbone cannot be given"),
        (["--from", "m.keras", "--qat", "--input-size", 8], "so --input-size cannot be given"),
        (["--from", "m.keras", "--qat", "--fine-tune", 3], "so --fine-tune cannot be given"),
        (["--from", "m.keras", "--qat", "--weights", "none"], "so --weights cannot be given"),
    ],
)
def test_options_of_train_that_make_no_sense_together(
    run: Run, photos: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    ran = run("train", photos, "-o", tmp_path / "made.keras", *options)
    assert ran.code == 2
    assert words in " ".join(ran.err.split())
    assert not (tmp_path / "made.keras").exists()


# --- import


def test_import(run: Run, float_tflite: Path, tmp_path: Path) -> None:
    source = without_spec(float_tflite, tmp_path / "theirs.tflite")
    ran = run("import", source, "-o", tmp_path / "ours.tflite", *FED, "--mean", 0, "--std", 1)
    assert (ran.code, ran.out) == (0, f"wrote {tmp_path}/ours.tflite: 12×12×3 float32 in, 3 labels out\n")
    assert "its output is softmax; its channel order is taken to be RGB" in ran.err
    ran = run("import", source, "-o", tmp_path / "ours.tflite", *FED, "--mean", 0, "--std", 1, "--json")
    assert ran.json["spec"]["labels"] == ["red", "green", "blue"]
    assert ran.json["derived"][0] == "its output is softmax"


def test_import_asks_for_what_is_missing(run: Run, float_tflite: Path, tmp_path: Path) -> None:
    source = without_spec(float_tflite, tmp_path / "theirs.tflite")
    ran = run("import", source, "-o", tmp_path / "ours.tflite", *FED)
    assert (ran.code, ran.out) == (2, "")
    assert "theirs.tflite does not say the mean that its training subtracted (--mean), " in ran.err
    assert ran.err.splitlines()[-1] == "Add, for example: --mean 127.5 --std 127.5"


@pytest.mark.slow
def test_import_tells_what_became_of_an_old_file(run: Run, needs: Needs, tmp_path: Path) -> None:
    needs.module("keras", "pip install 'edgekit[keras]'")
    old = Path(__file__).parents[1] / "fixtures" / "old_keras" / "channels_first.h5"
    ran = run("import", old, "-o", tmp_path / "m.keras", *FED, "--mean", 0, "--std", 255)
    assert (ran.code, ran.out) == (0, f"wrote {tmp_path}/m.keras: 10×8×3 float32 in, 3 labels out\n")
    note = "it took the channels of an image first, and now takes them last"
    assert ran.err.splitlines()[-1] == f"Note: {note}."
    ran = run("import", old, "-o", tmp_path / "m.keras", *FED, "--mean", 0, "--std", 255, "--json")
    assert ran.json["notes"] == [note]


@pytest.mark.parametrize("command", ["import", "convert"])
def test_custom_objects_that_name_nothing(run: Run, command: str, tmp_path: Path) -> None:
    old = Path(__file__).parents[1] / "fixtures" / "old_keras" / "merged.h5"
    target = tmp_path / ("m.keras" if command == "import" else "m.tflite")
    ran = run(command, old, "-o", target, *FED, "--custom-objects", "a:B", "--custom-objects", "Mish")
    assert (ran.code, ran.out) == (2, "")
    assert "--custom-objects 'Mish' names no object." in ran.err
    assert not target.exists()


# --- calibrate


def test_calibrate(run: Run, model: Path, many: Path) -> None:
    ran = run("calibrate", "--check", many, model)
    assert (ran.code, ran.err) == (0, f"Checking {many} with {model} …\n")
    lines = ran.out.splitlines()
    assert lines[0].startswith("With fewer images, how many others leave a layer's range")
    assert lines[-2] == "The float model is right on 100.0% of them."
    assert lines[-1].startswith("200 of 480 images: fit to calibrate; ")
    ran = run("calibrate", model, "--check", many, "--samples", 40, "--json")
    assert (ran.code, ran.json["outcome"], ran.json["images"]) == (0, "fit", 40)


def test_calibrate_says_no(run: Run, model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=(images(60)[0] / 255).round().astype(np.uint8))
    ran = run("calibrate", model, "--check", tmp_path / "data.npz")
    assert ran.code == 1
    refusal, effect, hint, verdict = ran.out.splitlines()
    assert refusal == (
        f"refusal: {tmp_path}/data.npz cannot calibrate a model: its pixels span 0 to 1, and the model takes pixels "
        "from 0 to 255."
    )
    assert effect.startswith("  Ranges are 0.0")
    assert hint == "  Were the images scaled to 0..1 before they were stored? Store them as ordinary 8-bit images."
    assert verdict == "60 images: not fit to calibrate (range)"
    assert run("calibrate", model, "--check", tmp_path / "nothing").code == 2
    assert run("calibrate", model).code == 2


# --- convert


def test_convert(run: Run, float_tflite: Path, many: Path, tmp_path: Path) -> None:
    ran = run("convert", float_tflite, "-o", tmp_path / "m.tflite")
    assert ran.code == 0
    assert ran.out.startswith(f"wrote {tmp_path}/m.tflite: float32, ")
    ran = run("convert", float_tflite, "-o", tmp_path / "m.tflite", "--quantize", "int8", "--calibrate", many)
    assert ran.out.startswith(f"wrote {tmp_path}/m.tflite: int8, ")
    assert ran.out.endswith("the same top-1 as its float source on 100.0% of the calibration images\n")
    assert "Warning" not in ran.err


def test_convert_as_json(run: Run, float_tflite: Path, many: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.tflite"
    ran = run("convert", float_tflite, "-o", target, "--quantize", "int8", "--calibrate", many, "--json")
    assert ran.json == {
        "path": str(target),
        "scheme": "int8",
        "size": target.stat().st_size,
        "agreement": 1.0,
        "max_difference": pytest.approx(0.03, abs=0.03),
        "warnings": [],
        "skipped": [],
        "findings": [],
        "ranges": "measured on 200 images",
    }


@pytest.mark.parametrize("kind", ["tflite", pytest.param("onnx", marks=pytest.mark.slow)])
def test_convert_somebody_elses_file_directly(
    run: Run, request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    source = without_spec(request.getfixturevalue(f"float_{kind}"), tmp_path / f"theirs.{kind}")
    before = source.read_bytes()
    target = tmp_path / f"ours.{kind}"
    fed = [*FED, "--mean", 0, "--std", 1]
    ran = run("convert", source, "-o", target, *fed)
    assert ran.code == 0, ran.err
    assert Classifier(target).classify(images(1)[0][0]).predictions[0].label == "red"
    spec = modelfile.read_spec(target)
    assert spec is not None
    assert (spec.provenance.source, spec.provenance.steps) == (
        source.name,
        ("import", "convert --quantize none --io uint8"),
    )
    assert run("convert", source, "-o", target).code == 2
    assert run("convert", source, "-o", source, *fed).code == 2
    assert source.read_bytes() == before


def test_convert_without_an_output_never_overwrites_its_source(run: Run, model: Path) -> None:
    before = model.read_bytes()
    for options in ([], ["--labels", "a,b,c"]):
        ran = run("convert", model, *options)
        assert ran.code == 2
        assert "is the source itself" in ran.err
    assert model.read_bytes() == before


@pytest.mark.slow
def test_convert_a_saved_model_directly(run: Run, keras_files: Path, tmp_path: Path) -> None:
    shutil.copytree(keras_files / "saved_model", tmp_path / "net")
    ran = run("convert", tmp_path / "net", *FED, "--mean", 0, "--std", 1)
    assert ran.code == 0, ran.err
    assert Classifier(tmp_path / "net.tflite").classify(images(3)[0][2]).predictions[0].label == "blue"


@pytest.mark.slow
def test_convert_an_architecture_with_its_weights(run: Run, keras_files: Path, tmp_path: Path) -> None:
    weights = ["--weights", keras_files / "architecture.weights.h5"]
    ran = run("convert", keras_files / "architecture.json", *weights, *FED, "-o", tmp_path / "m.tflite")
    assert ran.code == 0, ran.err
    assert "You did not say, so: its input takes pixels as they are; its output is softmax; " in ran.err
    assert Classifier(tmp_path / "m.tflite").classify(images(3)[0][1]).predictions[0].label == "green"


def test_weights_belong_to_an_architecture(run: Run, model: Path, tmp_path: Path) -> None:
    ran = run("convert", model, "--weights", model, "-o", tmp_path / "m.tflite")
    assert ran.code == 2
    assert "--weights belongs to an architecture in JSON" in ran.err


def test_convert_warns_on_stderr(run: Run, wrong: Path, many: Path, tmp_path: Path) -> None:
    ran = run("convert", wrong, "-o", tmp_path / "m.tflite", "--calibrate", many)
    assert ran.code == 0
    assert "Warning: The float model itself gets only 0.0% of the calibration images right." in ran.err
    assert "Warning" not in ran.out


# --- validate


def test_validate_exit_codes(run: Run, model: Path, wrong: Path, many: Path, photos: Path) -> None:
    ran = run("validate", model, model, "--data", many)
    assert ran.code == 0
    assert "PASS model.tflite: The drop is 0.00 points on 480 images" in ran.out
    ran = run("validate", model, model, wrong, "--data", many)
    assert ran.code == 1
    assert "FAIL wrong.tflite: " in ran.out
    assert "  the label order differs" in ran.out
    assert "  recall of red: 100.0% → 0.0% (160 images)" in ran.out
    ran = run("validate", model, model, "--data", photos)
    assert ran.code == 0
    assert "INCONCLUSIVE model.tflite: " in ran.out
    assert "About 381 images like these would do." in ran.out
    assert run("validate", model, model, "--data", photos, "--strict").code == 1
    assert run("validate", model, model, "--data", many, "--max-size", "1KB").code == 1
    assert run("validate", model, model, "--data", "nowhere").code == 2


def test_validate_without_labels(run: Run, model: Path, wrong: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=images(400)[0])
    ran = run("validate", model, model, "--data", tmp_path / "data.npz")
    assert ran.code == 0
    assert "top-1" not in ran.out
    assert "at least the limit of 98" in ran.out
    assert run("validate", model, wrong, "--data", tmp_path / "data.npz").code == 1
    assert run("validate", model, wrong, "--data", tmp_path / "data.npz", "--min-agreement", 0).code == 0


def test_validate_as_json(run: Run, model: Path, wrong: Path, many: Path) -> None:
    ran = run("validate", model, wrong, "--data", many, "--json")
    assert ran.code == 1
    found = ran.json
    assert (found["images"], found["labelled"], found["labels"]) == (MANY, True, ["red", "green", "blue"])
    [candidate] = found["candidates"]
    assert candidate["path"] == str(wrong)
    assert candidate["judgement"]["outcome"] == "fail"
    parity = candidate["parity"]
    assert (parity["reference_top1"], parity["candidate_top1"], parity["lost"], parity["gained"]) == (1.0, 0.0, MANY, 0)
    assert [type(value) for value in parity["recalls"][0].values()] == [int, int, float, float]
    assert isinstance(candidate["latency"]["p50"], float)


def test_validate_stamps(run: Run, model: Path, many: Path, tmp_path: Path) -> None:
    candidate = tmp_path / "candidate.tflite"
    shutil.copy(model, candidate)
    ran = run("validate", model, candidate, "--data", many, "--stamp")
    assert ran.out.splitlines()[-1] == "The verdict is stamped into each candidate."
    ran = run("inspect", candidate)
    assert "verdict pass on 480 images: " in ran.out
    assert run("inspect", candidate, "--json").json["fresh"] is True

    other = models.tflite(tmp_path / "other.tflite", weights=2 * models.WEIGHTS)
    models.with_spec(other, modelfile.read_spec(candidate))
    assert "(STALE: the model has changed since)" in run("inspect", other).out
    assert run("inspect", other, "--json").json["fresh"] is False


def test_validate_writes_a_report(run: Run, model: Path, wrong: Path, many: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    ran = run("validate", model, model, wrong, "--data", many, "--report", report)
    assert ran.code == 1
    assert ran.out.splitlines()[-1] == f"wrote {report}"
    page = report.read_text("utf-8")
    assert "<h1>2 candidates: 1 passes, 1 fails</h1>" in page
    for line in ran.out.splitlines():
        if line.startswith(("PASS", "FAIL")):
            assert line.partition(": ")[2] in page
    ran = run("validate", model, model, "--data", many, "--report", report, "--json")
    assert ran.json["labelled"] is True
    assert "evidence" not in ran.json
    assert "<h1>PASS: model.tflite</h1>" in report.read_text("utf-8")


def test_validate_by_layers(run: Run, float_tflite: Path, int8_tflite: Path, many: Path, tmp_path: Path) -> None:
    bad = edited(int8_tflite, tmp_path / "bad.tflite", rescaled_range("pointwise", 0.25))
    ran = run("validate", float_tflite, bad, "--data", many, "--layers", "--report", tmp_path / "report.html")
    lines = [line.rstrip() for line in ran.out.splitlines()]
    header = next(place for place, line in enumerate(lines) if line.startswith(" layer "))
    table = [line.split() for line in lines[header + 2 : header + 10]]
    assert [row[0] for row in table][2:6] == ["stem", "depthwise", "pointwise", "pool"]
    assert [row[0] for row in table if row[-2:] == ["first", "bad"]] == ["pointwise"]
    assert any(line.startswith("The first bad layer is pointwise (CONV_2D)") for line in lines)
    assert lines[lines.index("What would help:") + 1].startswith("  - clipped: its values go from 0 to")
    assert "What would help:" in (tmp_path / "report.html").read_text("utf-8")
    found = run("validate", float_tflite, bad, "--data", many, "--layers", "--json").json
    drift = found["candidates"][0]["drift"]
    assert drift["layers"][drift["first_bad"]]["name"] == "pointwise"


def test_layers_need_a_comparable_pair(run: Run, model: Path, int8_tflite: Path, many: Path) -> None:
    ran = run("validate", int8_tflite, int8_tflite, "--data", many, "--layers")
    assert (ran.code, ran.out) == (2, "")
    assert "is quantized itself" in ran.err
    assert run("validate", model, "--device-report", "report.json", "--layers").code == 2


def test_a_report_that_cannot_be_written_is_known_before_the_work(
    run: Run, model: Path, many: Path, tmp_path: Path
) -> None:
    before = model.read_bytes()
    for target, hint in ((model, "End its name with .html."), (tmp_path / "no" / "r.html", "choose another --report.")):
        ran = run("validate", model, model, "--data", many, "--stamp", "--report", target)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.rstrip().endswith(hint)
        assert "Validating" not in ran.err
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "size"), [("500", 500), ("500KB", 500_000), ("4.5MB", 4_500_000), ("1 gb", 10**9), ("2k", 2000)]
)
def test_sizes(text: str, size: int) -> None:
    assert Bytes().convert(text, None, None) == size


# --- validate --device-report


def test_validate_a_device_report(run: Run, tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "model.tflite")
    answers = device_reports.answers(path)
    wrong = device_reports.run("gpu", device_reports.off_by(answers, 0.06), "wrong")
    document = device_reports.report(path, device_reports.run("cpu", answers), wrong, live=device_reports.live(),
                                     sustained=device_reports.sustained())
    report = device_reports.write(tmp_path / "report.json", document)
    ran = run("validate", path, "--device-report", report, "--max-latency", 2)
    assert ran.code == 0
    assert ran.err == ("Warning: gpu is wrong and was not chosen. 6 of 6 answers are wrong, by up to 0.06 "
                       "(tolerance 0.05).\n")
    lines = ran.out.splitlines()
    assert lines[0].strip() == "Stand-in 1, Android 15 (API 35), arm64-v8a, TensorFlow Lite 2.16.1"
    assert [line.split() for line in lines if line.startswith((" cpu", " gpu"))] == [
        ["cpu", "(chosen)", "ok", "right", "0", "(0.0001)", "4/5", "4", "3.5", "1.25/2.00"],
        ["gpu", "wrong", "WRONG", "0.06", "(0.05)", "4/5", "4", "3.5", "1.25/2.00"],
    ]
    assert lines[-4:] == [
        "camera path: 8 of 8 vectors right",
        "camera screen on cpu: 29.5 frames/s, 9.0/12.5 ms a frame (p50/p95), 12 of 912 frames dropped",
        "600 s on cpu: 29.8 frames/s at the start, 21.2 at the end; thermal status at worst: severe",
        "PASS model.tflite on Stand-in 1: cpu gives all 6 golden answers, and the camera path all 8 camera vectors.",
    ]
    ran = run("validate", path, "--device-report", report, "--max-latency", 1)
    assert (ran.code, ran.out.splitlines()[-1][:52]) == (1, "FAIL model.tflite on Stand-in 1: The median of cpu i")


def test_validate_a_device_report_as_json(run: Run, tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "model.tflite")
    report = device_reports.write(tmp_path / "report.json", device_reports.report(path, verdict="none"))
    found = run("validate", path, "--device-report", report, "--json").json
    assert (found["judgement"]["outcome"], found["report"]["device"]["name"]) == ("pass", "Stand-in 1")
    assert [(each["run"]["delegate"], each["correct"]) for each in found["runs"]] == [
        ("cpu", True), ("gpu", False), ("nnapi", False)]
    assert found["runs"][0]["check"]["tolerance"] == 1e-4
    assert "answers" not in found["runs"][0]["run"]
    assert found["warnings"] == ["the app says that the model's verdict is none"]


def test_what_a_device_says_cannot_act_on_the_terminal(run: Run, tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "model.tflite")
    device = {"name": "Phone \u202e", "system": "[red]5[/red]", "abi": "x", "soc": ""}
    report = device_reports.write(tmp_path / "report.json", device_reports.report(path, device=device))
    out = run("validate", path, "--device-report", report).out
    assert "\u202e" not in out
    assert "[red]5[/red]" in out


def test_an_inconclusive_device_report(run: Run, tmp_path: Path) -> None:
    path = device_reports.model(tmp_path / "model.tflite")
    document = device_reports.report(path, camera={"vectors": 0, "wrong": []})
    report = device_reports.write(tmp_path / "report.json", document)
    assert run("validate", path, "--device-report", report).code == 0
    assert run("validate", path, "--device-report", report, "--strict").code == 1
    ran = run("validate", path, "--device-report", tmp_path / "nowhere.json")
    assert (ran.code, ran.err) == (2, f"Error: {tmp_path}/nowhere.json does not exist.\n")


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["a", "b", "--device-report", "r"], "CANDIDATES does not go with --device-report"),
    (["a", "--device-report", "r", "--data", "d"], "--data does not go with --device-report"),
    (["a", "--device-report", "r", "--max-drop", "0"], "--max-drop does not go with --device-report"),
    (["a", "--device-report", "r", "--stamp"], "--stamp does not go with --device-report"),
    (["a", "--device-report", "r", "--report", "r.html"], "--report does not go with --device-report"),
    (["a"], "Missing argument 'CANDIDATES...'. To judge a device's self-test: MODEL --device-report FILE."),
    (["a", "b"], "Missing option '--data'. To judge a device's self-test: MODEL --device-report FILE."),
    (["nowhere.tflite", "--device-report", "r"], "nowhere.tflite does not exist."),
])
def test_the_two_forms_of_validate_do_not_mix(run: Run, arguments: list[str], complaint: str) -> None:
    ran = run("validate", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


# --- predict


def test_predict(run: Run, model: Path, photos: Path) -> None:
    red, blue = photos / "red" / "000.png", photos / "blue" / "002.png"
    ran = run("predict", model, red, blue, "--top", 1)
    assert (ran.code, ran.err) == (0, "")
    assert [line.rpartition(" ")[0] for line in ran.out.splitlines()] == [f"{red}: red", f"{blue}: blue"]
    ran = run("predict", model, photos, "--json")
    answers = [json.loads(line) for line in ran.out.splitlines()]
    assert len(answers) == 60
    for answer in answers:
        assert answer.keys() == {"path", "predictions"}
        assert [prediction.keys() for prediction in answer["predictions"]] == [{"label", "score"}] * 3
        assert answer["predictions"][0]["label"] == Path(answer["path"]).parent.name
        assert sum(prediction["score"] for prediction in answer["predictions"]) == pytest.approx(1, abs=1e-5)


def test_predict_skips_what_it_may(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos / "red", tmp_path / "red")
    (tmp_path / "red" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ran = run("predict", model, tmp_path / "red")
    assert ran.code == 2
    assert "1 image cannot be read: " in ran.err
    ran = run("predict", model, tmp_path / "red", "--max-bad", 1)
    assert (ran.code, len(ran.out.splitlines())) == (0, 20)
    assert ran.err.startswith(f"Warning: skipped {tmp_path}/red/cut.png: ")


def test_predict_with_names_that_are_no_text(run: Run, model: Path, photos: Path, tmp_path: Path) -> None:
    for name in (b"\xff.png", "ä\n.png".encode()):
        shutil.copy(photos / "red" / "000.png", tmp_path.joinpath(name.decode("utf-8", "surrogateescape")))
    ran = run("predict", model, tmp_path, "--json")
    assert ran.code == 0
    assert {json.loads(line)["predictions"][0]["label"] for line in ran.out.splitlines()} == {"red"}
    assert json.loads(ran.out.splitlines()[0])["path"] == f"{tmp_path}/ä\n.png"
    assert len(run("predict", model, tmp_path).out.splitlines()) == 2


def test_predict_with_keras(run: Run, with_spec: Callable[[str], Path], photos: Path) -> None:
    ran = run("predict", with_spec("rescaled"), photos / "green" / "001.png", "--top", 1)
    assert (ran.code, ran.err) == (0, "")
    assert ": green " in ran.out


# --- inspect and doctor


def test_inspect(run: Run, int8_tflite: Path) -> None:
    ran = run("inspect", int8_tflite)
    assert ran.code == 0
    assert "input   12×12, RGB, uint8; crop none, resize bilinear, mean 0, std 1" in ran.out
    assert "output  softmax, float32; scheme int8" in ran.out
    assert "labels  3: red, green, blue" in ran.out
    assert "golden  7 answers, 4 of images" in ran.out
    assert "verdict none" in ran.out
    for operator in ("CONV_2D", "DEPTHWISE_CONV_2D", "SOFTMAX"):
        assert operator in ran.out
    found = run("inspect", int8_tflite, "--json").json
    assert found["spec"]["scheme"] == "int8"
    assert found["anatomy"]["inputs"][0]["scale"] == 1.0
    assert found["anatomy"]["macs"] > 10_000


def test_inspect_without_a_spec(run: Run, tmp_path: Path) -> None:
    ran = run("inspect", models.onnx(tmp_path / "bare.onnx"))
    assert ran.code == 0
    assert "It carries no edgekit spec. `edgekit import` gives it one." in ran.out


def test_inspect_keras(run: Run, with_spec: Callable[[str], Path]) -> None:
    ran = run("inspect", with_spec("gray"))
    assert ran.code == 0
    assert "gray, float32; crop none, resize bilinear, mean 0, std 255" in ran.out
    assert "GlobalAveragePooling2D" in ran.out


def test_inspect_other_files(run: Run, keras_files: Path) -> None:
    ran = run("inspect", keras_files / "scaled.h5")
    assert (ran.code, ran.out) == (2, "")
    assert "edgekit import" in ran.err


def test_doctor(run: Run) -> None:
    ran = run("doctor")
    assert ran.code == 0
    assert "numpy" in ran.out
    assert "GPU: " in ran.out
    packages = {name: version for name, version, _ in run("doctor", "--json").json["packages"]}
    assert packages["numpy"] == np.__version__
