"""The bundle's own `classify`, unpacked and run as a maker runs it; only its environment is this one."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image

from edgekit.runtime import modelfile
from edgekit.runtime.classify import Classifier
from edgekit.validate.device import validate_device_report
from tests import bundles, models
from tests.conftest import Needs
from tests.runtime.pi.test_sources import MjpegServer, write_video

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.folder(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in (("a", (250, 0, 0)), ("b", (0, 250, 0)), ("c", (0, 0, 250))):
        Image.fromarray(models.colour(*colour, 32)).save(folder / f"{name}.png")
    return folder


def start(bundle: Path, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    # -I: nothing of this checkout is on the path, so the bundle's own files are what runs.
    return subprocess.Popen([sys.executable, "-I", bundle / "classify", *map(str, arguments)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment})


def run(bundle: Path, *arguments: object, code: int = 0) -> tuple[str, str]:
    process = start(bundle, *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out, err


def test_a_folder_of_images(bundle: Path, photos: Path) -> None:
    out, err = run(bundle, photos, "--json", "--top", "1")
    found = [json.loads(line) for line in out.splitlines()]
    assert [(each["source"], each["labels"][0]["label"]) for each in found] == [
        ("a.png", "red"), ("b.png", "green"), ("c.png", "blue")]
    assert {len(each["labels"]) for each in found} == {1}
    assert err == ""


def test_the_bundle_runs_its_own_code(bundle: Path) -> None:
    code = f"import sys; sys.path[0:0] = [{str(bundle)!r}]; import edgekit.runtime.pi.program as p; print(p.__file__)"
    out = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.startswith(str(bundle))


def test_an_image_in_words(bundle: Path, photos: Path) -> None:
    out, _ = run(bundle, photos / "b.png", "--top", "2")
    assert out.startswith("b.png: green ")
    assert out.rstrip().endswith(" ms)")
    out, _ = run(bundle, photos / "b.png", "--threshold", "1")
    assert out.startswith("b.png: not sure: green ")


def test_a_bad_image_among_good_ones(bundle: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes((photos / "a.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n cut off here")
    out, err = run(bundle, tmp_path, "--json", code=2)
    assert len(out.splitlines()) == 1
    assert err.startswith("Skipped: ")
    assert "b.png" in err


def test_a_video_every_fourth_frame(bundle: Path, tmp_path: Path, needs: Needs) -> None:
    needs.module("cv2")
    out, _ = run(bundle, write_video(tmp_path / "v.avi"), "--json", "--every", "4")
    found = [json.loads(line) for line in out.splitlines()]
    assert [each["frame"] for each in found] == [0, 4, 8]
    assert [each["labels"][0]["label"] for each in found] == ["red", "red", "blue"]


@pytest.mark.parametrize(("arguments", "complaint"), [
    (["nothing.png"], "There is no image, folder, video or camera at nothing.png."),
    (["--top", "0"], "a whole number from 1 to 1000 is needed"),
    (["--smooth", "1"], "a number from 0 to below 1 is needed"),
    (["--threshold", "nan"], "a number from 0 to 1 is needed"),
    (["--self-test", "--benchmark"], "not allowed with argument"),
    (["0", "--http", "0.0.0.0:8000"], "would show the camera to everybody"),
    (["0", "--mqtt", "broker"], "--mqtt takes an address"),
])
def test_bad_usage(bundle: Path, arguments: list[str], complaint: str) -> None:
    _, err = run(bundle, *arguments, code=2)
    assert complaint in err


def test_the_self_test(bundle: Path) -> None:
    out, _ = run(bundle, "--self-test")
    assert "colours (none) on LiteRT " in out
    assert " with XNNPACK, " in out
    assert "OK: All 6 golden answers are right" in out


def test_a_wrong_answer_is_found(bundle: Path, tmp_path: Path) -> None:
    other = bundles.folder(tmp_path)
    content = (other / "model.tflite").read_bytes()
    weights = np.asarray(models.WEIGHTS, np.float32).tobytes()
    assert content.count(weights) == 1
    (other / "model.tflite").write_bytes(content.replace(weights, np.asarray(models.WEIGHTS * 2, np.float32).tobytes()))
    out, _ = run(other, "--self-test", code=1)
    assert "WRONG: 6 of 6 answers are wrong" in out
    assert "its verdict: stale" in out


@pytest.mark.slow
def test_the_report_is_what_validate_reads(bundle: Path, tmp_path: Path) -> None:
    schema = json.loads((ROOT / "docs/device-report.schema.json").read_text())
    model, path = bundle / "model.tflite", tmp_path / "report.json"
    for option in ("--self-test", "--benchmark"):
        out, _ = run(bundle, option, "--json")
        Draft202012Validator(schema).validate(json.loads(out))
        path.write_text(out)
        found = validate_device_report(model, path)
        assert (found.judgement.outcome, found.warnings) == ("pass", ())
    [judged], report = found.runs, found.report
    timing = judged.run.inference_ms
    assert (report.platform, report.verdict, judged.run.delegate) == ("pi", "pass", "litert")
    assert timing is not None
    assert timing.p99 is not None
    assert 0 < timing.p50 <= timing.p95 <= timing.p99
    assert report.live is not None
    assert report.live.fps > 0
    assert report.machine is not None
    assert report.machine.memory_mb is not None
    assert 0 < report.machine.memory_mb.resident < 200


def test_the_answers_are_edgekits(bundle: Path, photos: Path) -> None:
    out, _ = run(bundle, photos / "c.png", "--json")
    here = Classifier(bundle / "model.tflite").classify(photos / "c.png", top=3)
    there = json.loads(out)["labels"]
    assert [(each["label"], each["score"]) for each in there] == [
        (each.label, round(each.score, 6)) for each in here.predictions]
    assert modelfile.read_spec(bundle / "model.tflite") is not None


@pytest.fixture
def network_camera() -> Iterator[MjpegServer]:
    server = MjpegServer(frames=20)
    yield server
    server.close()


def test_a_camera_that_comes_back(bundle: Path, network_camera: MjpegServer, needs: Needs) -> None:
    needs.module("cv2")
    process = start(bundle, network_camera.url, "--json")
    assert process.stdout
    assert process.stderr
    frames = [json.loads(process.stdout.readline())]
    while frames[-1]["frame"] < 30:  # it has ended once by then, and was opened again
        frames.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert {each["labels"][0]["label"] for each in frames} == {"blue"}
    assert "gives no more frames; trying again in 1 s." in err
    assert "is back." in err


def test_as_a_service_with_a_page(bundle: Path, network_camera: MjpegServer, needs: Needs, tmp_path: Path) -> None:
    needs.module("cv2")
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(20)
        process = start(bundle, network_camera.url, "--http", "0", NOTIFY_SOCKET=str(address), WATCHDOG_USEC="4000000")
        assert process.stdout
        assert process.stderr
        opened = process.stderr.readline()
        assert opened.startswith("Open http://127.0.0.1:")
        assert systemd.recv(100) == b"READY=1"
        process.stdout.readline()
        process.stdout.readline()  # the first answer is on the page when the second one is printed
        connection = http.client.HTTPConnection("127.0.0.1", urlsplit(opened.split()[1]).port or 0, timeout=10)
        connection.request("GET", "/answer.json")
        assert json.loads(connection.getresponse().read())["labels"][0]["label"] == "blue"
        # While the camera is away, it is still alive.
        assert [systemd.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0


def test_a_camera_that_hangs_is_left_to_systemd(bundle: Path, needs: Needs, tmp_path: Path) -> None:
    needs.module("cv2")
    address = tmp_path / "notify"
    with socket.socket() as silent, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        systemd.bind(str(address))
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.mjpg"
        process = start(bundle, url, NOTIFY_SOCKET=str(address), WATCHDOG_USEC="1500000")
        systemd.settimeout(20)
        assert systemd.recv(100) == b"READY=1"
        time.sleep(3)
        systemd.setblocking(False)
        told = []
        try:
            while True:
                told.append(systemd.recv(100))
        except BlockingIOError:
            pass
        assert len(told) <= 4  # of the first second and a half; after that, silence
        systemd.settimeout(2)
        with pytest.raises(TimeoutError):
            systemd.recv(100)
        process.kill()
        process.communicate(timeout=10)


def test_the_reader_of_the_output_may_go(bundle: Path, photos: Path) -> None:
    process = start(bundle, photos, "--json")
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert process.wait(timeout=20) in (0, 141)
    assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("arguments", [(), ("--self-test",)])
def test_a_full_disk(bundle: Path, photos: Path, arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, bundle / "classify", photos, *arguments], stdout=full,
                              stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "Error: [Errno 28] No space left on device\n")
