"""Which classes are taken for which: a matrix for few classes, the most frequent confusions for many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.report.page import Html, element, framed, join, paragraph, shown, table

LARGEST_MATRIX = 20  # classes
MOST_PAIRS = 20
SHADES = 5


def confusion(
    rows: NDArray[np.integer], columns: NDArray[np.integer], labels: Sequence[str], axes: tuple[str, str], caption: str
) -> Html:
    """How often images of each row's class have each column's answer; rows and columns are indices, int [N].

    `axes` names what the rows and the columns are.
    """
    if len(labels) <= LARGEST_MATRIX:
        return _matrix(rows, columns, labels, axes, caption)
    return _pairs(rows, columns, labels, axes, caption)


def how_to_read(labels: Sequence[str]) -> Html:
    """A line on what `confusion` shows."""
    if len(labels) > LARGEST_MATRIX:
        return paragraph(f"Of more than {LARGEST_MATRIX} classes there is no whole confusion matrix.", kind="note")
    return paragraph("Each row is one label; the stronger the colour of a cell, the larger its share of the row. "
                     "Blue is right, orange is wrong.", kind="note")


def _matrix(
    rows: NDArray[np.integer], columns: NDArray[np.integer], labels: Sequence[str], axes: tuple[str, str], caption: str
) -> Html:
    size = len(labels)
    counts = np.bincount(rows.astype(np.int64) * size + columns, minlength=size * size).reshape(size, size)
    totals = counts.sum(1)
    head = element(
        "tr",
        element("th", join((axes[0], " ↓ ", axes[1], " →")), scope="col", class_="corner"),
        *(element("th", shown(label), scope="col") for label in labels),
    )
    body = []
    for row, label in enumerate(labels):
        cells = []
        for column in range(size):
            count = int(counts[row, column])
            # Shaded by the share of its row. The number is always there, so nothing is told by colour alone.
            shade = -(-SHADES * count // int(totals[row])) if count else 0
            kind = ("right" if row == column else "wrong") + str(shade) if count else "none"
            cells.append(element("td", str(count) if count else "·", class_=kind))
        body.append(element("tr", element("th", shown(label), scope="row"), *cells))
    return framed(head, body, caption, "matrix")


def _pairs(
    rows: NDArray[np.integer], columns: NDArray[np.integer], labels: Sequence[str], axes: tuple[str, str], caption: str
) -> Html:
    """The pairs of classes that are confused most. Only pairs that occur are counted: there may be 10¹⁰ others."""
    wrong = rows != columns
    pairs, counts = np.unique(np.stack([rows[wrong], columns[wrong]], 1), axis=0, return_counts=True)
    if not len(pairs):
        return paragraph(f"{caption}: none of the {len(rows)} images.")
    order = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    totals = np.bincount(rows)
    which = f"the {len(order)} most frequent of {len(pairs)} pairs" if len(order) < len(pairs) else "all pairs"
    return table(
        [*axes, "images"],
        [
            (shown(labels[row]), shown(labels[column]), f"{counts[place]} of {totals[row]}")
            for place in order.tolist()
            for row, column in [pairs[place].tolist()]
        ],
        f"{caption}: {which} of {len(labels)} classes that are taken for each other",
        "figures names",
    )
