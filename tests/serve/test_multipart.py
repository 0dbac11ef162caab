"""Forms as browsers and clients send them, and broken ones."""

from __future__ import annotations

import pytest
import requests

from edgekit.serve import multipart
from edgekit.serve.messages import Refused

TYPE = "multipart/form-data; boundary=B"


def test_what_a_real_client_sends() -> None:
    content = bytes(range(256)) * 10 + b"\r\n--not the boundary\r\n"
    sent = requests.Request(
        "POST", "http://x/", files={"image": ("ä \"quoted\".png", content, "image/png")}, data={"top": "3"}
    ).prepare()
    assert isinstance(sent.body, bytes)
    parts = multipart.parse(sent.body, str(sent.headers["Content-Type"]))
    assert [(part.name, part.is_file) for part in parts] == [("top", False), ("image", True)]
    assert parts[0].content == b"3"
    assert parts[1].content == content


def test_as_browsers_and_curl_write_it() -> None:
    body = (
        b"preamble\r\n--B  \r\ncontent-disposition: form-data; name=a; filename=\"x;y\"\r\n\r\none\r\n"
        b"--B\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\r\n--B--\r\nepilogue"
    )
    assert multipart.parse(body, 'Multipart/Form-Data; charset=utf-8; Boundary="B"') == [
        multipart.Part("a", True, b"one"), multipart.Part("b", False, b""),
    ]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", TYPE, 400),
        (b"--B--", TYPE, 400),
        (b"--B\r\n\r\n\r\n--B--", "multipart/form-data", 400),
        (b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\ncut off", TYPE, 400),
        (b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\ncut off\r\n--B", TYPE, 400),
        (b"--B\r\nX: y\r\n\r\nno disposition\r\n--B--", TYPE, 400),
        (b"--B\r\nContent-Disposition: form-data; name=" + b"a" * 5000 + b"\r\n\r\nx\r\n--B--", TYPE, 400),
        (b"--B\r\nContent-Disposition: form-data; name=a\r\n\r\nx\r\n" * 17 + b"--B--", TYPE, 413),
        (b"--B\r\n" * 100_000, TYPE, 413),
    ],
)
def test_what_is_no_proper_form_is_refused(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(Refused) as refused:
        multipart.parse(body, content_type)
    assert refused.value.status == status
