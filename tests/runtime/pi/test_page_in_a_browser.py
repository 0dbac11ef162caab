from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path

import pytest

from edgekit.runtime.classify import Answer, Prediction
from edgekit.runtime.pi.page import Page
from tests.conftest import Needs
from tests.runtime.pi.test_page import result

pytestmark = pytest.mark.browser


def test_a_browser_shows_picture_and_labels(needs: Needs, tmp_path: Path) -> None:
    needs.program("chromium", apt="chromium")
    page = Page("0")
    hostile = Prediction("<img src=x onerror=document.title='run'>", 0.7)
    page.show(dataclasses.replace(result(), answer=Answer((hostile, Prediction("cat", 0.3)), sure=True)))
    try:
        done = subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=700,800",
             f"--user-data-dir={tmp_path}", "--virtual-time-budget=5000", "--dump-dom", page.url],
            capture_output=True, text=True, timeout=120, check=True)
    finally:
        page.close()
    assert '<div class="name">&lt;img src=x onerror=' in done.stdout
    assert '<div class="name">cat</div>' in done.stdout
    assert "70.0%" in done.stdout
    assert "<title>edgekit</title>" in done.stdout
    assert 'src="stream.mjpg"' in done.stdout
