"""The page in a real browser: a click, a file, a drop, a paste, a camera; light, dark, and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.serve.chromium import Page, chromium
from tests.serve.conftest import TOKEN, Running, command, png

if TYPE_CHECKING:
    from tests.conftest import Needs

pytestmark = pytest.mark.browser

PHONE = 360
FIRST = "document.querySelector('#labels li bdi')?.textContent"
LOADED = "document.querySelector('#facts').textContent"


def visible(selector: str) -> str:
    return f"document.querySelector({selector!r}).checkVisibility()"


@pytest.fixture(scope="module")
def browser(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    needs.program("chromium", apt="chromium")
    with chromium(tmp_path_factory.mktemp("chromium")) as page:
        yield page


@pytest.fixture
def page(browser: Page, running: Running) -> Page:
    """The server's page, fresh, in a window."""
    browser.screen(1000, 800)
    browser.open(running.url)
    browser.console.clear()
    browser.wait_for(LOADED)
    return browser


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pictures")
    colours = {"red": (220, 0, 0), "green": (0, 220, 0), "gray": (99, 99, 99)}
    found = {name: folder / f"{name}.png" for name in colours}
    for name, colour in colours.items():
        found[name].write_bytes(png(*colour, side=200))
    found["text"] = folder / "text.png"
    found["text"].write_text("no image at all")
    return found


def test_a_chosen_file_is_classified(page: Page, pictures: dict[str, Path]) -> None:
    assert "3 labels · 8×8 pixels" in page.value(LOADED)
    page.choose("#file", pictures["red"])
    page.wait_for(f"{FIRST} === 'red'")
    assert page.value("document.querySelectorAll('#labels li').length") == 3
    score, bar = page.value("[document.querySelector('#labels output').textContent,"
                            " document.querySelector('#labels progress').value]")
    assert float(score.removesuffix(" %")) == pytest.approx(100 * bar, abs=0.06)
    assert "ms round trip" in page.value("document.querySelector('#latency').textContent")
    assert page.value("document.querySelector('#image').naturalWidth") == 200
    assert not page.value(visible("#unsure"))
    assert page.console == []  # nothing that its own policy forbids


def test_a_click_opens_the_file_chooser(page: Page, pictures: dict[str, Path]) -> None:
    page.value("document.querySelector('#file').addEventListener('click', () => window.opened = true)")
    page.call("Page.setInterceptFileChooserDialog", enabled=True)
    page.click("#pick")
    page.wait_for("window.opened")
    page.call("Page.setInterceptFileChooserDialog", enabled=False)


def test_a_dropped_file_and_another_model(page: Page, pictures: dict[str, Path]) -> None:
    page.drop("#drop", pictures["green"])
    page.wait_for(f"{FIRST} === 'green'")
    page.value("(() => { const model = document.querySelector('#model'); model.value = 'graph';"
               " model.dispatchEvent(new Event('change')); })()")
    page.wait_for("document.querySelectorAll('#labels li').length === 3")
    assert "float32" in page.value(LOADED)


def test_a_pasted_image(page: Page) -> None:
    data = list(png(0, 220, 0))
    page.value(f"""(() => {{
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array({data})], "pasted.png", {{type: "image/png"}}));
      dispatchEvent(new ClipboardEvent("paste", {{clipboardData: data}}));
    }})()""")
    page.wait_for(f"{FIRST} === 'green'")


def test_not_sure(page: Page, pictures: dict[str, Path]) -> None:
    page.choose("#file", pictures["gray"])
    page.wait_for(visible("#unsure"))


def test_what_is_no_image(page: Page, pictures: dict[str, Path]) -> None:
    page.choose("#file", pictures["text"])
    page.wait_for(visible("#trouble"))
    assert "not an image" in page.value("document.querySelector('#trouble').textContent")
    page.choose("#file", pictures["red"])
    page.wait_for(f"{FIRST} === 'red'")
    assert not page.value(visible("#trouble"))


def test_the_webcam(page: Page) -> None:
    """Chromium's own fake device shows a green picture."""
    page.click("#live")
    page.wait_for(f"{FIRST} === 'green'")
    page.value("document.querySelector('#latency').textContent = ''")
    page.wait_for("document.querySelector('#latency').textContent")  # and the next frame
    assert page.value(visible("#video"))
    page.click("#live")
    page.wait_for(f"!{visible('#video')}")
    assert page.value("document.querySelector('#video').srcObject") is None
    assert page.console == []


@pytest.mark.parametrize("earlier", ["red", "text"])
def test_what_is_said_about_an_earlier_picture_comes_too_late(
    page: Page, pictures: dict[str, Path], earlier: str
) -> None:
    page.value("""(() => {
      const ask = fetch;
      window.fetch = async (...all) => {
        const answer = await ask(...all);
        if (!window.goOn) await new Promise(done => window.goOn = done);
        return answer;
      };
    })()""")
    page.choose("#file", pictures[earlier])
    page.wait_for("Boolean(window.goOn)")
    page.choose("#file", pictures["green"])
    page.wait_for(f"{FIRST} === 'green'")
    page.value("goOn()")
    page.value("new Promise(done => setTimeout(done, 200))")
    assert page.value(FIRST) == "green"
    assert not page.value(visible("#trouble"))


LIVE_TRACKS = "cameras.flatMap(camera => camera.getTracks()).filter(track => track.readyState === 'live').length"


@pytest.fixture
def slow_camera(page: Page) -> None:
    """The camera takes a moment, as when the user is asked; `cameras` has those that were opened."""
    page.value("""(() => {
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.cameras = [];
      navigator.mediaDevices.getUserMedia = async wanted => {
        await new Promise(done => setTimeout(done, 300));
        const camera = await open(wanted);
        cameras.push(camera);
        return camera;
      };
    })()""")


@pytest.mark.usefixtures("slow_camera")
def test_no_camera_stays_on_after_two_clicks(page: Page) -> None:
    page.click("#live")
    page.click("#live")
    page.wait_for(f"{FIRST} === 'green'")
    page.click("#live")
    page.wait_for(f"!{visible('#video')}")
    page.value("new Promise(done => setTimeout(done, 200))")
    assert page.value(LIVE_TRACKS) == 0


@pytest.mark.usefixtures("slow_camera")
def test_a_picture_that_is_chosen_while_the_camera_opens_stays(page: Page, pictures: dict[str, Path]) -> None:
    page.click("#live")
    page.choose("#file", pictures["red"])
    page.wait_for("cameras.length")
    page.value("new Promise(done => setTimeout(done, 200))")
    assert page.value(LIVE_TRACKS) == 0
    assert page.value(visible("#image"))
    assert page.value(FIRST) == "red"


def test_a_token_is_asked_for(browser: Page, served: Path, pictures: dict[str, Path]) -> None:
    with command(served / "fixed.tflite", env={"EDGEKIT_TOKEN": TOKEN}) as running:
        browser.open(running.url)
        browser.wait_for(visible("#token"))
        asked_again = f"{visible('#token')} && !document.querySelector('#token').value"
        for said, then in (("wrong", asked_again), (TOKEN, LOADED)):
            browser.value(f"document.querySelector('#token').value = {said!r}")
            browser.click("#gate button")
            browser.wait_for(then)
        browser.choose("#file", pictures["red"])
        browser.wait_for(f"{FIRST} === 'red'")


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn_in_light_and_dark(page: Page, pictures: dict[str, Path], tmp_path: Path, dark: bool) -> None:
    page.screen(1000, 800, dark=dark)
    page.choose("#file", pictures["red"])
    page.wait_for(f"{FIRST} === 'red'")
    gray = np.asarray(Image.open(page.picture(tmp_path / "page.png")).convert("L"))
    assert np.median(gray) < 60 if dark else np.median(gray) > 220
    assert gray.std() > 10


def test_on_a_phone(page: Page, pictures: dict[str, Path], running: Running) -> None:
    page.screen(PHONE, 760, phone=True)
    page.open(running.url)
    page.wait_for(LOADED)
    assert page.value(visible("#shoot"))
    assert page.value("document.querySelector('#camera').getAttribute('capture')") == "environment"
    page.choose("#camera", pictures["red"])
    page.wait_for(f"{FIRST} === 'red'")
    assert page.value("document.documentElement.scrollWidth") == PHONE
    heights = page.value("[...document.querySelectorAll('button')].filter(button => button.checkVisibility())"
                         ".map(button => button.getBoundingClientRect().height)")
    assert min(heights) >= 44  # what a thumb hits
