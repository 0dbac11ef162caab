"""Whether the classes of a data set are the labels of a model."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.core.errors import DataError
from edgekit.runtime.spec import printable


def align(classes: Sequence[str], labels: Sequence[str], data: str, model: str) -> list[int]:
    """For each class of the data, the index of the model's label of the same name.

    Names are compared without regard to case and surrounding blanks when that is unambiguous.

    Raises:
        DataError: the model has no such label.
    """
    exact = {label: index for index, label in reversed(list(enumerate(labels)))}
    folded: dict[str, list[int]] = {}
    for index, label in enumerate(labels):
        folded.setdefault(label.strip().casefold(), []).append(index)
    found = []
    for name in classes:
        similar = folded.get(name.strip().casefold(), [])
        found_at = exact.get(name, similar[0] if len(similar) == 1 else None)
        if found_at is None:
            raise DataError(
                f"{printable(data)} has the class {printable(name)!r}, which {printable(model)} does not know.",
                f"Its labels are: {', '.join(printable(label) for label in labels[:10])}"
                f"{', …' if len(labels) > 10 else ''}. Rename the class folders to match.",
            )
        found.append(found_at)
    return found
