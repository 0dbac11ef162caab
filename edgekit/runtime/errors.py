"""The base of every error edgekit raises, and the ones a device can meet.

EdgekitError                 exit code 2 unless said otherwise
├── ModelFileError           a model file that is damaged, too large or not what it claims to be
├── SpecError                a spec that is missing, invalid, or does not fit its model
├── ImageError               an image that cannot be read, or is too large
├── SourceError              a camera, video or stream that cannot be read
└── RuntimeMissingError      what runs this kind of file, or reads this source, is not installed

`edgekit.core.errors` adds the ones that only the toolchain can meet.
"""

from __future__ import annotations


class EdgekitError(Exception):
    """Something the user can act on: `message` says what is wrong and where, `hint` what to do."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ModelFileError(EdgekitError):
    """A model file that is damaged, too large or not what it claims to be."""


class SpecError(EdgekitError):
    """A spec that is missing, invalid, or does not fit its model."""


class ImageError(EdgekitError):
    """An image that cannot be read, or is too large."""


class SourceError(EdgekitError):
    """A camera, video or stream that cannot be read."""


class RuntimeMissingError(EdgekitError):
    """The interpreter for this kind of model file, or the library for this source, is not installed."""
