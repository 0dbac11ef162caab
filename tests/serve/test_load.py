"""Many connections for a while: no wrong answer, no lost request, no growth in memory."""

from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests import models
from tests.serve.conftest import Running, command, encoded, png

CONNECTIONS, SECONDS, WARM = 64, 20.0, 6.0
GROWTH = 12 << 20  # bytes; the first seconds touch every thread's stack
COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 60, 30), (10, 20, 40)]


class Case(NamedTuple):
    """A request and what must come back; `scores` are those of every image in it."""

    method: str
    path: str
    body: bytes
    status: int
    scores: Any = None


def cases() -> list[Case]:
    found = []
    for colour in COLOURS:
        scores = models.expected(models.colour(*colour))
        for name in ("open", "fixed", "graph"):
            found.append(Case("POST", f"/classify?model={name}&top=3", png(*colour, side=300), 200, [scores]))
        b64 = base64.b64encode(png(*colour)).decode()
        predict = json.dumps({"instances": [{"b64": b64}]}).encode()
        found.append(Case("POST", "/v1/models/graph:predict", predict, 200, [scores]))
        infer = json.dumps({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [b64]}]}).encode()
        found.append(Case("POST", "/v2/models/open/infer", infer, 200, [scores]))
    bad = [
        Case("GET", "/nothing", b"", 404),
        Case("DELETE", "/classify", b"", 405),
        Case("POST", "/classify", b"no image" * 1000, 415),
        Case("POST", "/classify", encoded(np.zeros((200, 200, 3), np.uint8), "JPEG")[:400], 400),
        Case("POST", "/v1/models/open:predict", b"{" * 5000, 400),
        Case("POST", "/v2/models/open/infer", b"{}", 400),
        Case("POST", "/v2/models/none/infer", b"{}", 404),
        Case("GET", "/metrics", b"", 200),
    ]
    return found + bad


def scores_of(case: Case, answer: Any) -> list[list[float]]:
    if case.path.startswith("/classify"):
        by_label = {item["label"]: item["score"] for item in answer["predictions"]}
        return [[by_label[label] for label in models.LABELS]]
    if case.path.startswith("/v1"):
        return list(answer["predictions"])
    return [answer["outputs"][0]["data"]]


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


@pytest.mark.slow
def test_64_connections_with_good_and_bad_requests(files: list[Path]) -> None:
    wrong: list[str] = []
    statuses: Counter[int] = Counter()

    def client(seed: int, running: Running, choices: list[Case], end: float) -> None:
        chance = random.Random(seed)
        conn = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
        while time.monotonic() < end:
            if chance.random() < 0.03:  # goes away in the middle of a request
                conn.putrequest("POST", "/classify")
                conn.putheader("Content-Length", "1000")
                conn.endheaders(b"\x89PNG")
                conn.close()
                continue
            case = chance.choice(choices)
            try:
                conn.request(case.method, case.path, case.body)
                response = conn.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                wrong.append(f"{case.method} {case.path}: lost: {error!r}")
                conn.close()
                continue
            statuses[response.status] += 1
            if response.status != case.status:
                wrong.append(f"{case.method} {case.path}: {response.status} {content[:200]!r}")
            elif case.scores is not None and not np.allclose(
                scores_of(case, json.loads(content)), case.scores, atol=1e-4
            ):
                wrong.append(f"{case.method} {case.path}: {content!r}")

    with command(*files) as running:
        end = time.monotonic() + SECONDS
        threads = [threading.Thread(target=client, args=(seed, running, cases(), end)) for seed in range(CONNECTIONS)]
        for thread in threads:
            thread.start()
        time.sleep(WARM)
        before = resident(running.process.pid)
        for thread in threads:
            thread.join(SECONDS + 60)
        after = resident(running.process.pid)
    assert not wrong, (len(wrong), wrong[:5])
    assert statuses[200] > 200
    assert min(statuses[status] for status in (400, 404, 405, 415)) > 5
    assert after - before < GROWTH, f"{before >> 20} MB became {after >> 20} MB"
