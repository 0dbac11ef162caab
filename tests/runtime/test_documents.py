"""Strict reading of JSON into dataclasses: beyond what the tests of the spec show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from edgekit.runtime.documents import DocumentReader
from edgekit.runtime.errors import SpecError


@dataclass(frozen=True)
class Part:
    number: float


@dataclass(frozen=True)
class Whole:
    name: str
    parts: tuple[Part, ...]
    count: int | None
    by_name: dict[str, float] = field(default_factory=dict)


READER = DocumentReader("letter", SpecError, 3)
GOOD: dict[str, Any] = {"name": "a", "parts": [{"number": 1}], "count": None}


def test_what_fits_is_built() -> None:
    assert READER.build(Whole, GOOD | {"by_name": {"x": 2}}) == Whole("a", (Part(1.0),), None, {"x": 2.0})


@pytest.mark.parametrize(("change", "message"), [
    ({"parts": [{"number": 1}] * 4}, "The letter's parts is not a list, or too long."),
    ({"parts": [{"number": "1"}]}, "The letter's parts[0].number is not a finite number."),
    ({"parts": [{"number": 10**400}]}, "The letter's parts[0].number is not a finite number."),
    ({"parts": [{}]}, "The letter's parts[0] lacks the field 'number'."),
    ({"count": True}, "The letter's count is not a whole number."),
    ({"count": 1.0}, "The letter's count is not a whole number."),
    ({"name": "\ud800"}, "The letter's name is not valid Unicode."),
    ({"\x1b[2J": 1}, "The letter's document has an unknown field '\\x1b[2J'."),
    ({"by_name": {"\x1b": "1"}}, "The letter's by_name.\\x1b is not a finite number."),
])
def test_what_does_not_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        READER.build(Whole, GOOD | change)
    assert refused.value.message == message
