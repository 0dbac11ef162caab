"""JSON documents into dataclasses, strictly: what a dataclass does not describe is refused by name."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

from edgekit.runtime.errors import EdgekitError


@dataclass(frozen=True)
class DocumentReader:
    """Builds frozen dataclasses out of parsed JSON.

    A dataclass's fields may be str, int, float, dataclasses, tuples of one of them (JSON lists), dicts from str, and
    any of these or None. A float may be written without a fraction, an int may not have one.

    Attributes:
        subject: what the document is, as in "The spec's input.height is not a whole number."
        error: what is raised.
        max_entries: the longest list that is read.
    """

    subject: str
    error: type[EdgekitError]
    max_entries: int

    def build(self, kind: Any, value: Any, name: str = "document") -> Any:
        """Make `kind` (a dataclass, or one of the types above) from JSON; `name` is its place in the document.

        Raises:
            EdgekitError: `self.error`, when the value does not fit.
        """
        origin = typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            options = [option for option in typing.get_args(kind) if option is not type(None)]
            return None if value is None else self.build(options[0], value, name)
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            return self._dataclass(kind, value, name)
        if origin is tuple:
            return self._tuple(typing.get_args(kind), value, name)
        if origin is dict:
            if not isinstance(value, dict):
                raise self.refusal(name, "is not an object")
            item_kind = typing.get_args(kind)[1]
            return {
                self.build(str, key, f"{name}'s key"): self.build(item_kind, item, f"{name}.{repr(key[:40])[1:-1]}")
                for key, item in value.items()
            }
        if kind is float:
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not _is_finite(value):
                raise self.refusal(name, "is not a finite number")
            return float(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.refusal(name, "is not a whole number" if kind is int else "is not a string")
        if kind is str and any("\ud800" <= character <= "\udfff" for character in value):
            raise self.refusal(name, "is not valid Unicode")
        return value

    def refusal(self, name: str, complaint: str) -> EdgekitError:
        """The error that says what is wrong with the field at `name`."""
        return self.error(f"The {self.subject}'s {name} {complaint}.")

    def _dataclass(self, kind: Any, value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            raise self.refusal(name, "is not an object")
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise self.refusal(name, f"has an unknown field {unknown[0][:40]!r}")
        known = {
            key: self.build(hints[key], item, f"{name}.{key}".removeprefix("document.")) for key, item in value.items()
        }
        missing = [
            field.name
            for field in dataclasses.fields(kind)
            if field.name not in known
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        if missing:
            raise self.refusal(name, f"lacks the field {missing[0]!r}")
        return kind(**known)

    def _tuple(self, arguments: tuple[Any, ...], value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) > self.max_entries:
            raise self.refusal(name, "is not a list, or too long")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise self.refusal(name, f"must have {len(arguments)} entries")
        return tuple(self.build(arguments[0], item, f"{name}[{index}]") for index, item in enumerate(value))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False
