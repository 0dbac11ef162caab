"""Reads a report page as a browser would: its elements, and what is in them."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "meta"}
# What may ask for something from elsewhere, or run.
ACTIVE = {
    "script", "iframe", "object", "embed", "link", "base", "form", "video", "audio", "use", "image", "foreignobject",
}


@dataclass
class Element:
    """An element with its attributes, the elements in it, and all the text in it."""

    tag: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.pieces)).strip()

    def all(self, tag: str, kind: str = "") -> list[Element]:
        """The elements of this tag, and of this class where one is given, at any depth."""
        found = [
            child
            for child in self.children
            if child.tag == tag and (not kind or kind in child.attributes.get("class", "").split())
        ]
        return found + [deeper for child in self.children for deeper in child.all(tag, kind)]


class Page(HTMLParser):
    """A page. Elements that are not closed in order, or attributes given twice, fail."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.root = Element("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        assert len(attributes) == len(attrs), attrs
        element = Element(tag, attributes)
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> inside of {[element.tag for element in self._open]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.pieces.append(data)

    def all(self, tag: str, kind: str = "") -> list[Element]:
        return self.root.all(tag, kind)

    def table(self, caption: str) -> list[list[str]]:
        """The rows, heads included, of the one table whose caption begins like this."""
        [found] = [table for table in self.all("table") if table.all("caption")[0].text.startswith(caption)]
        return [[cell.text for cell in row.children] for row in found.all("tr")]

    def policy(self) -> dict[str, str]:
        """The content security policy by directive."""
        [meta] = [m for m in self.all("meta") if m.attributes.get("http-equiv") == "Content-Security-Policy"]
        parts = [part.strip().partition(" ") for part in meta.attributes["content"].split(";")]
        return {name: value for name, _, value in parts}

    def check_closed(self) -> None:
        """Nothing runs, nothing is fetched, and only the page's own style applies."""
        tags = {tag.lower() for tag in re.findall(r"<([a-zA-Z]+)", self.source)}
        elements = [element for tag in tags for element in self.all(tag)]
        assert not {element.tag for element in elements} & ACTIVE
        for element in elements:
            for name, value in element.attributes.items():
                assert not name.startswith("on"), name
                assert name not in ("style", "srcset", "action", "formaction"), name
                if name in ("src", "href"):
                    assert value.startswith("data:image/" if name == "src" else "#"), value[:40]
        [style] = self.all("style")
        digest = base64.b64encode(hashlib.sha256("".join(style.pieces).encode()).digest()).decode()
        assert "url(" not in "".join(style.pieces)
        assert "@import" not in "".join(style.pieces)
        assert self.policy() == {
            "default-src": "'none'",
            "img-src": "data:",
            "style-src": f"'sha256-{digest}'",
            "base-uri": "'none'",
            "form-action": "'none'",
        }

    def check_accessible(self) -> None:
        """Headings without gaps, names for pictures and tables, and anchors that lead somewhere."""
        assert self.all("html")[0].attributes["lang"] == "en"
        levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", self.source)]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
        assert all(image.attributes["alt"] for image in self.all("img"))
        for drawing in self.all("svg"):
            assert drawing.attributes["role"] == "img"
            assert drawing.attributes["aria-label"]
        for table in self.all("table"):
            assert table.all("caption")[0].text
            assert all(cell.attributes["scope"] in ("row", "col") for cell in table.all("th"))
        ids = re.findall(r' id="([^"]+)"', self.source)
        assert len(ids) == len(set(ids))
        assert {link.attributes["href"][1:] for link in self.all("a")} <= set(ids)
