"""The parts of a multipart/form-data body (RFC 7578), which is in memory already."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edgekit.serve.messages import Refused

MAX_PARTS = 16
MAX_HEADER = 4096
# RFC 2046, section 5.1.1.
_BOUNDARY = re.compile(r"""boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))""", re.IGNORECASE)
_PARAMETER = re.compile(rb""";\s*(name|filename\*?)=(?:"((?:[^"\\\r\n]|\\.)*)"|([^\s;"]+))""", re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One field of a form; `is_file` when it came with a file's name."""

    name: str
    is_file: bool
    content: bytes


def parse(body: bytes, content_type: str) -> list[Part]:
    """The parts in their order.

    Raises:
        Refused: 400 when the body is not as its content type says, 413 when it has too many parts.
    """
    found = _BOUNDARY.search(content_type)
    if not found:
        raise Refused(400, "The multipart body's Content-Type names no boundary.")
    delimiter = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    sections = (b"\r\n" + body).split(b"\r\n" + delimiter, MAX_PARTS + 2)
    if len(sections) > MAX_PARTS + 2:
        raise Refused(413, f"The form has more than {MAX_PARTS} parts.")
    if len(sections) < 3 or not sections[-1].startswith(b"--"):
        raise Refused(400, "The multipart body is cut off, or its boundary is not the one that its Content-Type names.")
    return [_part(section) for section in sections[1:-1]]


def _part(section: bytes) -> Part:
    head, blank, content = section.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_HEADER:
        raise Refused(400, "A part of the multipart body has no proper headers.")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            said = {key.lower(): quoted or plain for key, quoted, plain in _PARAMETER.findall(value)}
            is_file = any(key.startswith(b"filename") for key in said)
            return Part(said.get(b"name", b"").decode("utf-8", "replace"), is_file, content)
    raise Refused(400, "A part of the multipart body has no Content-Disposition.")
