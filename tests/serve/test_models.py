"""Which files are served, and under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import EdgekitError, ModelFileError, SpecError
from edgekit.serve.models import open_models
from tests import models


def test_names_are_those_of_the_files_or_given(served: Path) -> None:
    found = open_models([served / "open.tflite", f"other={served / 'open.tflite'}", str(served / "graph.onnx")])
    assert [model.name for model in found] == ["open", "other", "graph"]
    assert [model.platform for model in found] == ["tensorflow_lite", "tensorflow_lite", "onnxruntime_onnx"]


def test_the_same_name_twice(served: Path, tmp_path: Path) -> None:
    (tmp_path / "open.tflite").write_bytes((served / "open.tflite").read_bytes())
    with pytest.raises(EdgekitError, match="called open"):
        open_models([served / "open.tflite", tmp_path / "open.tflite"])


def test_a_name_that_no_url_can_carry(served: Path, tmp_path: Path) -> None:
    strange = tmp_path / "my model:1.tflite"
    strange.write_bytes((served / "open.tflite").read_bytes())
    with pytest.raises(EdgekitError, match="name") as refused:
        open_models([strange])
    assert "NAME=path" in refused.value.hint
    assert open_models([f"mine={strange}"])[0].name == "mine"


def test_what_cannot_be_served(served: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no model"):
        open_models([])
    with pytest.raises(ModelFileError, match="missing"):
        open_models([tmp_path / "missing.tflite"])
    with pytest.raises(ModelFileError, match="keras"):
        open_models([models.keras(tmp_path / "m.keras")])
    with pytest.raises(SpecError, match="no edgekit spec"):
        open_models([models.tflite(tmp_path / "bare.tflite")])
    with pytest.raises(ModelFileError, match="fails when run"):
        open_models([models.with_spec(models.fails_when_run(tmp_path / "broken.tflite"))])
