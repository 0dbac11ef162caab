"""The errors of these tools."""

from __future__ import annotations


class ToolError(Exception):
    """Something the developer can act on: `message` says what is wrong, `hint` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.message = message
        self.hint = hint


class UnavailableError(ToolError):
    """Something that this machine lacks: Maven, a JDK, the network."""
