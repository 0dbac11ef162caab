"""A page escapes what it is given, closes itself off, and is written only where a page may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import OutputError
from edgekit.report.page import Html, check_target, element, escape, join, page, paragraph, shown, table
from tests.report.parsed import Page

HOSTILE = "</style><script>alert('&')</script>\" onload=\"x\u202e\x00"


def test_text_is_shown_as_it_is() -> None:
    hostile = paragraph(HOSTILE, kind=HOSTILE), table([HOSTILE, HOSTILE], [[HOSTILE, HOSTILE]], HOSTILE)
    found = Page(page(HOSTILE, *hostile))
    found.check_closed()
    found.check_accessible()
    plain = HOSTILE.replace("\u202e", "\ufffd").replace("\x00", "\ufffd")
    assert [found.all(tag)[0].text for tag in ("title", "h1", "p", "caption", "th", "td")] == [plain] * 6
    assert found.all("p")[0].attributes == {"class": plain}


def test_markup_is_escaped_once_it_is_joined_with_text() -> None:
    bold = element("b", "<")
    assert bold == "<b>&lt;</b>"
    assert escape(bold) is bold
    assert join((bold, "<"), ", ") == "<b>&lt;</b>, &lt;"
    assert isinstance(join((bold, "<")), Html)
    assert escape(bold + "<") == "&lt;b&gt;&amp;lt;&lt;/b&gt;&lt;"
    assert escape(f"{bold}").startswith("&lt;b&gt;")


def test_attributes() -> None:
    assert element("td", class_="a", aria_label='"', x1=1.25, y=3, none=None) == (
        '<td class="a" aria-label="&quot;" x1="1.2" y="3"></td>'
    )
    assert element("img", alt="") == '<img alt="">'


def test_long_names_are_shortened() -> None:
    assert shown("x" * 60) == f"<bdi>{'x' * 60}</bdi>"
    assert shown("x" * 61) == f"<bdi>{'x' * 59}…</bdi>"


def test_a_page_asks_for_nothing(tmp_path: Path) -> None:
    found = Page(page("Title", paragraph("text")))
    found.check_closed()
    assert "http" not in found.source.replace("http-equiv", "")
    assert found.source.startswith("<!doctype html>\n")
    style = found.all("style")[0].text
    for rule in ("@media print", "prefers-color-scheme:dark", "@media (max-width:"):
        assert rule in style


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.tflite", "End its name with .html."),
        ("nowhere/report.html", "Make it first, or choose another --report."),
        ("folder.html", "Name a file to write with --report."),
    ],
)
def test_where_no_page_can_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(OutputError) as caught:
        check_target(tmp_path / name)
    assert caught.value.hint == message
    check_target(tmp_path / "report.HTML")
