"""Every error edgekit raises, with its exit code.

EdgekitError                 2   (edgekit.runtime.errors)
├── ModelFileError           2   (edgekit.runtime.errors)
├── SpecError                2   (edgekit.runtime.errors)
├── ImageError               2   (edgekit.runtime.errors)
├── SourceError              2   (edgekit.runtime.errors)
├── RuntimeMissingError      2   (edgekit.runtime.errors)
├── DataError                2   a data set that cannot be used
├── ImportRefused            2   a foreign model that is unsafe, unsupported or ambiguous
├── OutputError              2   an output that cannot be written
├── DeviceError              2   a device, or the tool that reaches it, is not there or not ready
├── PackageError             2   a model, key or setting that makes no package
├── MissingExtraError        2   an optional package is needed
├── DeviceRunFailed          3   a run on a device failed
└── ConversionError          3   a conversion or training run failed
    ├── ChildCrashed         3   the child process died
    └── ChildLimit           3   the child process ran out of its time or memory

An exit code of 1 is no error: it is the gate saying no.
"""

from __future__ import annotations

from edgekit.runtime.errors import (
    EdgekitError,
    ImageError,
    ModelFileError,
    RuntimeMissingError,
    SourceError,
    SpecError,
)

__all__ = [
    "ChildCrashed",
    "ChildLimit",
    "ConversionError",
    "DataError",
    "DeviceError",
    "DeviceRunFailed",
    "EdgekitError",
    "ImageError",
    "ImportRefused",
    "MissingExtraError",
    "ModelFileError",
    "OutputError",
    "PackageError",
    "RuntimeMissingError",
    "SourceError",
    "SpecError",
    "by_name",
]


class DataError(EdgekitError):
    """A data set that cannot be used."""


class ImportRefused(EdgekitError):
    """A foreign model that is unsafe, unsupported or ambiguous."""


class OutputError(EdgekitError):
    """An output that cannot be written."""


class DeviceError(EdgekitError):
    """A device, or the tool that reaches it, is not there or not ready."""


class DeviceRunFailed(EdgekitError):
    """A run on a device failed."""

    exit_code = 3


class PackageError(EdgekitError):
    """A model, key or setting that makes no package."""


class MissingExtraError(EdgekitError):
    """An optional package is needed and not installed."""

    def __init__(self, purpose: str, extra: str, package: str = "") -> None:
        missing = f" ({package} is not installed)" if package else ""
        super().__init__(
            f"{purpose} needs edgekit's '{extra}' extra{missing}.", f"Install it with: pip install 'edgekit[{extra}]'"
        )


class ConversionError(EdgekitError):
    """A conversion or training run failed."""

    exit_code = 3


class ChildCrashed(ConversionError):
    """The child process died without an answer."""


class ChildLimit(ConversionError):
    """The child process ran out of its time or memory."""


def by_name(name: str) -> type[EdgekitError]:
    """The error class of this name; EdgekitError itself when there is none (for errors sent by a child)."""
    found = globals().get(name)
    if isinstance(found, type) and issubclass(found, EdgekitError):
        return found
    return EdgekitError
