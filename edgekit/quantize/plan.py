"""How a float core is quantized: one plan, which both adapters carry out and every result names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CALIBRATED = ("int8", "int16x8")
RANGES = ("minmax", "percentile", "mse", "entropy")
LEARNED = "learned"


@dataclass(frozen=True)
class Plan:
    """What is done to a float core, the float32 file that takes pixels from 0 to 255.

    Attributes:
        scheme: none, float16, dynamic, weight8, weight4, dynamic4, int8 or int16x8.
        ranges: how the range of an activation is estimated, or `learned`: in quantization-aware training; for int8 and
            int16x8.
        equalize: weights are equalized across layers first (Nagel et al. 2019, arXiv:1906.04721).
        correct_bias: biases take back the mean error that quantized weights make (the same paper).
        keep_float: operators that stay in float, by the name of their first output in the float core.
    """

    scheme: str
    ranges: str = "minmax"
    equalize: bool = False
    correct_bias: bool = False
    keep_float: tuple[str, ...] = ()

    @property
    def calibrated(self) -> bool:
        """Whether it needs the ranges of activations."""
        return self.scheme in CALIBRATED

    @property
    def name(self) -> str:
        """As people read it: "int8 mse, equalized, 2 layers in float"."""
        scheme = "float32" if self.scheme == "none" else self.scheme
        parts = [f"{scheme} {self.ranges}" if self.calibrated else scheme]
        parts += ["equalized"] * self.equalize + ["bias corrected"] * self.correct_bias
        if self.keep_float:
            parts.append(f"{len(self.keep_float)} layer{'' if len(self.keep_float) == 1 else 's'} in float")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Plan:
        """The way back."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in document.items()
        }
        return cls(**values)
