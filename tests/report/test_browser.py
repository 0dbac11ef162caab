"""The page in a real browser: drawn in light and dark and on paper, fit for a phone, keeping to its own policy."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from edgekit.report.validation import write_validation
from edgekit.validate.run import validate
from tests import models

if TYPE_CHECKING:
    from tests.conftest import Needs

pytestmark = pytest.mark.browser

PHONE = 360  # pixels
# The page in a frame as wide as a phone. Scripts run in the frame's parent only: the page's own policy forbids them.
PROBE = """<!doctype html><iframe width="{width}" height="800" style="border:0"></iframe><pre></pre><script>
const frame = document.querySelector("iframe");
frame.onload = () => {{
  const root = frame.contentDocument.documentElement;
  const font = frame.contentWindow.getComputedStyle(frame.contentDocument.querySelector("h1")).fontSize;
  document.querySelector("pre").textContent = JSON.stringify({{
    inner: root.clientWidth, wide: root.scrollWidth, font: font,
    broken: [...frame.contentDocument.images].filter(image => !image.naturalWidth).length,
    images: frame.contentDocument.images.length,
    scripts: [...frame.contentDocument.querySelectorAll("script,iframe,object")].length,
  }});
}};
frame.srcdoc = {page};
</script>"""


@pytest.fixture(scope="module")
def chromium(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Runs Chromium with these arguments; gives what it wrote to stdout and stderr."""
    needs.program("chromium", apt="chromium")
    profile = tmp_path_factory.mktemp("chromium")

    def run(*arguments: str) -> tuple[str, str]:
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
                   f"--user-data-dir={profile}", "--enable-logging=stderr", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout, done.stderr

    return run


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with long and hostile labels, a failed candidate and thumbnails."""
    folder = tmp_path_factory.mktemp("report")
    labels = ("<script>document.title='run'</script>", "<img src=x onerror=alert(1)>", "x" * 400)
    blunt = models.WEIGHTS * np.array([[1.0], [1.0], [0.3]], np.float32)
    paths = [
        models.with_spec(models.tflite(folder / f"{name}.tflite", weights=weights), models.spec(labels=labels))
        for name, weights in (("reference", models.WEIGHTS), ("a-candidate-with-a-long-name" * 4, blunt))
    ]
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (300, 1, 1, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    np.savez(folder / "data.npz", x=pixels, y=pixels[:, 0, 0].argmax(1), labels=np.array(labels))
    write_validation(validate(paths[0], paths[1:], folder / "data.npz"), folder / "report.html")
    return folder / "report.html"


def brightness(picture: Path) -> tuple[float, float]:
    """The median and the spread of the pixels, 0..255."""
    gray = np.asarray(Image.open(picture).convert("L"))
    return float(np.median(gray)), float(gray.std())


@pytest.mark.parametrize(("scheme", "light"), [(1, True), (0, False)])
def test_it_is_drawn_in_light_and_dark(chromium: Any, report: Path, tmp_path: Path, scheme: int, light: bool) -> None:
    picture = tmp_path / "page.png"
    _, log = chromium(f"--blink-settings=preferredColorScheme={scheme}", "--window-size=1000,1400",
                      f"--screenshot={picture}", report.as_uri())
    middle, spread = brightness(picture)
    assert middle > 240 if light else middle < 40
    assert spread > 10
    assert "CONSOLE" not in log  # nothing was refused by the page's policy, because it asks for nothing


def test_it_fits_a_phone(chromium: Any, report: Path, tmp_path: Path) -> None:
    page = json.dumps(report.read_text("utf-8")).replace("</", "<\\/")
    (tmp_path / "probe.html").write_text(PROBE.format(width=PHONE, page=page), "utf-8")
    out, log = chromium("--virtual-time-budget=5000", "--dump-dom", (tmp_path / "probe.html").as_uri())
    found = re.search("<pre>(.+?)</pre>", out)
    assert found, log
    seen = json.loads(html.unescape(found[1]))
    assert seen["inner"] == seen["wide"] == PHONE
    assert seen["font"] == "22.4px"  # the page's style is applied, that of a phone
    assert (seen["broken"], seen["scripts"]) == (0, 0)
    assert seen["images"] > 5


def test_it_is_printed_on_a_few_pages(chromium: Any, report: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.pdf"
    chromium(f"--print-to-pdf={target}", report.as_uri())
    pages = len(re.findall(rb"/Type\s*/Page\b", target.read_bytes()))
    assert 2 <= pages <= 8
