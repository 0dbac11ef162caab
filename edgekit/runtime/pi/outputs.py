"""Answers as lines: for people, or as JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TextIO

from edgekit.runtime.pi.loop import Result
from edgekit.runtime.spec import printable


class TextLines:
    """A line for each answer: the frame, the labels with their scores, the time."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, result: Result) -> None:
        """See `edgekit.runtime.pi.loop.Output`."""
        answer = result.answer
        labels = "  ".join(f"{printable(each.label)} {each.score:.1%}" for each in answer.predictions)
        sure = "" if answer.sure else "not sure: "
        taken = f"{result.preprocess_ms + result.inference_ms:.1f} ms"
        self._stream.write(f"{result.frame.name}: {sure}{labels}  ({taken})\n")
        self._stream.flush()


class JsonLines:
    """A JSON object for each answer, on a line of its own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, result: Result) -> None:
        """See `edgekit.runtime.pi.loop.Output`."""
        self._stream.write(as_json(result) + "\n")
        self._stream.flush()


def as_json(result: Result) -> str:
    """An answer as one line of JSON, in ASCII, so that no label can break the line or act upon a terminal."""
    frame, answer = result.frame, result.answer
    return json.dumps({
        "source": frame.name,
        "frame": frame.number,
        "time": datetime.fromtimestamp(frame.taken, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "sure": answer.sure,
        "labels": [{"label": each.label, "score": round(each.score, 6)} for each in answer.predictions],
        "preprocess_ms": round(result.preprocess_ms, 3),
        "inference_ms": round(result.inference_ms, 3),
        "dropped": frame.dropped,
    })
