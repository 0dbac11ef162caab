from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging import stamped


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that has passed its validation."""
    return stamped(tmp_path / "birds.int8.tflite")
