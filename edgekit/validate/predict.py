"""`edgekit predict`: what a model says of images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from edgekit.core.errors import DataError, ImageError
from edgekit.data.folder import find_images
from edgekit.data.stream import BadImages, map_ordered
from edgekit.runtime import images as image_files
from edgekit.runtime.classify import Answer, rank
from edgekit.runtime.spec import printable
from edgekit.validate.score import Models


def predict(
    model: str | Path,
    images: Sequence[str | Path],
    *,
    top: int = 3,
    max_bad: int = 0,
    allow_lambda: bool = False,
    on_skip: Callable[[str, str], None] | None = None,
) -> Iterator[tuple[Path, Answer]]:
    """The best labels of each image, in order; images are decoded and answered in threads.

    Args:
        model: a model of any kind that carries a spec.
        images: image files, and folders, which are searched recursively.
        top: how many labels to name.
        max_bad: how many unreadable images may be skipped; `on_skip` is told their name and the reason.
        allow_lambda: load Lambda layers, which run code from the file.

    Raises:
        EdgekitError: the model cannot be used, there is no image, or more than `max_bad` cannot be read.
    """
    paths: list[Path] = []
    for image in map(Path, images):
        found = find_images(image) if image.is_dir() else [image]
        if not found:
            raise DataError(f"There is no image in {printable(str(image))}.")
        if not image.exists():
            raise DataError(
                f"There is no image at {printable(str(image))}.", "Name image files, or folders with images."
            )
        paths += found
    models = Models([Path(model)], allow_lambda)
    spec, bad = models.specs[0], BadImages(max_bad)

    def answer(path: Path) -> Answer | ImageError:
        [classifier] = models.of_this_thread()
        try:
            image = image_files.decode(path, orientation=spec.preprocess.orientation)
        except ImageError as error:
            return error
        return rank(classifier.scores(classifier.prepare(image)[None])[0], spec, top)

    try:
        with closing(map_ordered(answer, paths)) as answers:
            for path, result in zip(paths, answers, strict=True):
                if isinstance(result, ImageError):
                    bad.skip(str(path), result)
                    if on_skip:
                        on_skip(*bad.skipped[-1])
                else:
                    yield path, result
        if len(bad.skipped) == len(paths):
            raise DataError("None of the images can be read.")
    finally:
        models.close()
