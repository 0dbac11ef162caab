"""The command line of a Raspberry Pi bundle: `./classify`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from edgekit.runtime.errors import EdgekitError, ImageError
from edgekit.runtime.spec import printable

WRONG, BAD, INTERRUPTED, READER_GONE = 1, 2, 130, 141


@dataclass(frozen=True)
class Bundle:
    """What `bundle.json` says of the folder that it lies in."""

    name: str
    version: str
    model: Path

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """Read it; the bundle is edgekit's own, so nothing in it is suspected."""
        found = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        return cls(found["name"], found["edgekit"], folder / found["model"])


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Run the program of the bundle in this folder; gives the exit code.

    0: done. 1: the self-test found a wrong answer. 2: bad usage or input, also when an image of a folder could not
    be read. 130: interrupted. SIGTERM, by which systemd stops it, ends it with 0.
    """
    signal.signal(signal.SIGTERM, _terminated)
    bundle = Bundle.read(folder)
    options = _parser(bundle).parse_args(arguments)
    try:
        if options.self_test or options.benchmark:
            return _test(bundle, options)
        return _classify(bundle, options)
    except EdgekitError as error:
        _say(f"Error: {error.message}")
        if error.hint:
            _say(error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes
        if isinstance(error, BrokenPipeError):
            return READER_GONE
        _say(f"Error: {error}")  # a full disk, above all
        return BAD


def _parser(bundle: Bundle) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="classify", description=f"Classify what a camera, a video or images show, with {bundle.name}.",
        epilog="Sources: camera (the Pi's, else the first USB camera), picamera2:N, /dev/videoN, an image, a folder of "
               "images, a video, or an rtsp:// or http:// stream. A live source is answered frame by frame, the latest "
               "first; one that vanishes is waited for.")
    parser.add_argument("source", nargs="?", default="camera", help="what to look at (default: camera)")
    parser.add_argument("--top", type=_whole(1, 1000), default=3, metavar="N", help="labels in an answer (default: 3)")
    parser.add_argument("--threshold", type=_fraction(True), metavar="T",
                        help="below this score (0..1) the answer is \"not sure\" (default: the model's own)")
    parser.add_argument("--smooth", type=_fraction(False), default=0.0, metavar="W",
                        help="mix each answer with those before it, whose weight is W (0..1; default: 0)")
    parser.add_argument("--every", type=_whole(1, 1_000_000), default=1, metavar="N",
                        help="classify every N-th frame (default: 1)")
    parser.add_argument("--json", action="store_true", help="print answers as JSON, one a line; reports as a document")
    parser.add_argument("--mqtt", metavar="URL", help="publish answers: mqtt://broker/topic (a password in "
                        "MQTT_PASSWORD)")
    parser.add_argument("--http", metavar="[HOST:]PORT", help="show picture and labels on a page; another host than "
                        "this one needs a token in EDGEKIT_TOKEN")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--self-test", action="store_true", help="compare the model's answers with its golden ones")
    what.add_argument("--benchmark", action="store_true", help="the self-test, and how fast the model is here")
    parser.add_argument("--version", action="version", version=f"{bundle.name}, edgekit {bundle.version}")
    return parser


def _classify(bundle: Bundle, options: argparse.Namespace) -> int:
    from edgekit.runtime.classify import Classifier
    from edgekit.runtime.pi import frames, machine, outputs, sources
    from edgekit.runtime.pi.loop import Loop, Output
    from edgekit.runtime.pi.watchdog import Watchdog

    bad: list[ImageError] = []

    def on_bad(error: ImageError) -> None:
        bad.append(error)
        _say(f"Skipped: {error.message}")

    classifier = Classifier(bundle.model, threads=machine.threads())
    source = sources.open_source(options.source, orientation=classifier.spec.preprocess.orientation, on_bad=on_bad)
    lines = outputs.JsonLines(sys.stdout) if options.json else outputs.TextLines(sys.stdout)
    with ExitStack() as stack:
        shown: list[Output] = [lines]
        if options.mqtt:
            from edgekit.runtime.pi.mqtt import Mqtt

            shown.append(mqtt := Mqtt(options.mqtt, _say))
            stack.callback(mqtt.close)
        if options.http:
            from edgekit.runtime.pi.page import Page

            shown.append(page := Page(options.http))
            stack.callback(page.close)
            _say(f"Open {page.url}")
        loop = Loop(classifier, shown, top=options.top, threshold=options.threshold, smooth=options.smooth)
        watchdog = Watchdog()
        stack.callback(watchdog.stopping)
        watchdog.ready()
        if source.live:
            latest = frames.LatestFrame(source, _say)
            stack.callback(latest.close)

            def alive() -> None:
                # A camera that hangs is left to systemd, which starts the program again.
                if watchdog.seconds is None or latest.stuck_seconds() < watchdog.seconds:
                    watchdog.alive()

            loop.run(latest.frames(options.every), alive)
        else:
            loop.run(frames.all_frames(source, options.every), watchdog.alive)
    return BAD if bad else 0


def _test(bundle: Bundle, options: argparse.Namespace) -> int:
    from edgekit.runtime.pi import report

    made = report.make(bundle.model, bundle.name, bundle.version, benchmark=options.benchmark)
    if options.json:
        print(json.dumps(made), flush=True)
    else:
        for line in _described(made):
            print(printable(line), flush=True)
    return 0 if made["chosen"] else WRONG


def _described(made: dict[str, Any]) -> list[str]:
    """A report in words."""
    [run] = made["runs"]
    outcome = "WRONG" if run["status"] == "wrong" else "OK"
    lines = [
        f"{made['device']['name']}, {made['device']['system']}",
        f"{made['model']['name']} ({made['model']['scheme']}) on {made['runtime']}, {run['threads']} threads; "
        f"its verdict: {made['verdict']}",
        f"{outcome}: {run['detail']}",
    ]
    if (live := made["live"]) is not None:
        inference, state = run["inference_ms"], made["machine"]
        lines += [
            f"loaded in {run['load_ms']:.0f} ms; inference p50 {inference['p50']:.2f} ms, p95 {inference['p95']:.2f}, "
            f"p99 {inference['p99']:.2f} ({inference['runs']} runs)",
            f"frames of 640×480: {live['fps']:.1f} a second; preprocessing {live['preprocess_ms']['p50']:.2f} ms",
        ]
        if state["temperature_after"] is not None:
            lines.append(f"temperature {state['temperature_before']:.0f} °C before, {state['temperature_after']:.0f} "
                         "°C after")
        if state["throttled"] is not None:
            lines.append(f"slowed down by: {', '.join(state['throttled']) or 'nothing'}")
        if state["memory_mb"]:
            lines.append(f"memory {state['memory_mb']['resident']:.0f} MB, at most {state['memory_mb']['peak']:.0f} MB")
    return lines


def _whole(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"a whole number from {least} to {most} is needed")
        return int(text)
    return number


def _fraction(one_included: bool) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not (0 <= value < 1 or (one_included and value == 1)):
            raise argparse.ArgumentTypeError(f"a number from 0 to {'1' if one_included else 'below 1'} is needed")
        return value
    return number


def _say(message: str) -> None:
    print(printable(message), file=sys.stderr, flush=True)


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
