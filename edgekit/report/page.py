"""The frame of a report page: one HTML file that needs no network, no script and no other file.

Labels, file names and layer names come from files of others. So text is escaped unless it is `Html`, which only the
functions below make, and the page's content security policy forbids whatever an oversight here might let through:
scripts, requests, forms, styles other than the page's own and images other than those inside of the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from edgekit.core import files, versions
from edgekit.core.errors import OutputError
from edgekit.report.svg import STYLE
from edgekit.runtime.spec import printable

LONGEST_NAME = 60  # characters of a label or file name that are shown
SUFFIXES = (".html", ".htm")
_VOID = {"img", "meta"}


class Html(str):
    """Markup. Joined with other text by anything but `join`, it becomes ordinary text again, which is escaped."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Text as markup that shows just this text; `Html` stays as it is."""
    return text if isinstance(text, Html) else Html(html.escape(printable(text)))


def join(parts: Iterable[str], between: str = "") -> Html:
    """The parts, escaped where they need it, one after the other."""
    return Html(escape(between).join(map(escape, parts)))


def element(tag: str, *children: str, **attributes: str | float | None) -> Html:
    """An element of HTML or SVG.

    Attributes may end in an underscore (`class_`), and one inside of them is a hyphen (`aria_label`); None leaves an
    attribute out, and fractions are rounded to a tenth (they are pixels).
    """
    said = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(f"{value:.1f}" if isinstance(value, float) else str(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    return Html(f"<{tag}{said}>" if tag in _VOID else f"<{tag}{said}>{join(children)}</{tag}>")


def shown(name: str, longest: int = LONGEST_NAME) -> Html:
    """A label, a file name or other text of a file: shortened, and unable to turn the text around it."""
    return element("bdi", name if len(name) <= longest else f"{name[: longest - 1]}…")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str, kind: str = "figures") -> Html:
    """A table whose rows are named by their first cell; without columns it has no head."""
    head = element("tr", *(element("th", column, scope="col") for column in columns)) if columns else Html("")
    body = [
        element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in rest))
        for first, *rest in rows
    ]
    return framed(head, body, caption, kind)


def framed(head: Html, body: Iterable[Html], caption: str, kind: str) -> Html:
    """A table from its rows. Where it is wider than the page, it scrolls by itself, by keyboard too."""
    content = element(
        "table",
        element("caption", element("span", caption)),
        element("thead", head) if head else "",
        element("tbody", *body),
        class_=kind,
    )
    return element("div", content, class_="scroll", role="region", tabindex="0", aria_label=caption)


def figure(content: Html, caption: str) -> Html:
    """A plot with what there is to say of it."""
    return element("figure", content, element("figcaption", caption))


def beside(*content: Html) -> Html:
    """Plots beside each other where the page is wide enough."""
    return element("div", *content, class_="plots")


def section(title: str, *content: Html, anchor: str | None = None) -> Html:
    """A part of the page under a heading."""
    return element("section", element("h2", title), *content, id=anchor)


def paragraph(*parts: str, kind: str | None = None) -> Html:
    """A paragraph of text."""
    return element("p", *parts, class_=kind)


def bullets(lines: Sequence[str]) -> Html:
    """A list; nothing where there are no lines."""
    return element("ul", *(element("li", line) for line in lines)) if lines else Html("")


def page(title: str, *content: Html) -> Html:
    """The whole document. `title` is its heading as well."""
    style = Path(__file__).with_name("page.css").read_text("utf-8") + STYLE
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width,initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Html(style)),
    )
    written = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    footer = element("footer", f"Written by edgekit {versions.of().get('edgekit', '')} on {written}.")
    body = element("body", element("main", element("h1", title), *content), footer)
    return Html(f"<!doctype html>\n{element('html', head, body, lang='en')}\n")


def check_target(path: Path) -> None:
    """Raise OutputError when a report cannot be written here: better now than after the work.

    A report is never written over something that is no web page.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(f"Cannot write a report to {printable(str(path))}.", "End its name with .html.")
    files.check_target(path, "--report")
