"""Hosts, origins and tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit.core.errors import EdgekitError
from edgekit.serve.guard import Guard, read_token
from edgekit.serve.messages import Refused
from tests.serve.conftest import TOKEN

LOCAL = Guard(hosts=["localhost", "Photos.Example."])


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST:1", "127.0.0.1:8000", "[::1]:8000",
                                  "192.168.1.7", "photos.example", "photos.example.:443"])
def test_hosts_that_are_served(host: str) -> None:
    LOCAL.check_source({"host": host})


@pytest.mark.parametrize("host", [
    "evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "2130706433.evil",
    "0x7f000001",
])
def test_a_name_that_was_pointed_here_is_refused(host: str) -> None:
    with pytest.raises(Refused) as refused:
        LOCAL.check_source({"host": host})
    assert refused.value.status == 403
    assert "--allow-host" in refused.value.hint


@pytest.mark.parametrize("host", ["", "a b", "localhost:x", "user@localhost", "localhost/..", "[::1", "é", "a" * 300])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(Refused) as refused:
        LOCAL.check_source({"host": host})
    assert refused.value.status == 400


@pytest.mark.parametrize(("host", "origin"), [
    ("localhost:8000", "http://localhost:8000"),
    ("photos.example", "https://photos.example"),  # behind a proxy
    ("photos.example:443", "https://photos.example"),
    ("127.0.0.1", "http://127.0.0.1:80"),
    ("[::1]:8000", "http://[::1]:8000"),
])
def test_its_own_pages_may_ask(host: str, origin: str) -> None:
    LOCAL.check_source({"host": host, "origin": origin})


@pytest.mark.parametrize("origin", ["null", "", "https://evil.example", "http://localhost:3000", "http://localhost",
                                    "http://127.0.0.1:8000", "file://", "http://localhost:8000@evil.example",
                                    "chrome-extension://localhost:8000"])
def test_pages_of_other_origins_may_not(origin: str) -> None:
    with pytest.raises(Refused) as refused:
        LOCAL.check_source({"host": "localhost:8000", "origin": origin})
    assert refused.value.status == 403


def test_a_framework_decides_about_hosts_itself() -> None:
    Guard().check_source({"host": "anything.example"})


@pytest.mark.parametrize("said", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER  {TOKEN} "])
def test_the_right_token(said: str) -> None:
    Guard(token=TOKEN).check_token({"authorization": said})


@pytest.mark.parametrize("said", ["", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer",
                                  "Bearer é", f"Bearer {TOKEN.upper()}", f"Bearer {TOKEN}, Bearer {TOKEN}"])
def test_a_wrong_token(said: str) -> None:
    with pytest.raises(Refused) as refused:
        Guard(token=TOKEN).check_token({"authorization": said} if said else {})
    assert refused.value.status == 401


def test_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"\n{TOKEN}\n")
    assert read_token(tmp_path / "token") == TOKEN
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name in ("bytes", "missing"):
        with pytest.raises(EdgekitError, match=name):
            read_token(tmp_path / name)
