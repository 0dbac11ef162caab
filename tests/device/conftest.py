"""The tests' phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.device.phones import Phone, plug_in


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Phone:
    """The stand-in for adb and a phone."""
    return plug_in(tmp_path, monkeypatch)
