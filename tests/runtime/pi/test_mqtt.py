"""Publishing to a real broker, Debian's mosquitto."""

from __future__ import annotations

import json
import os
import queue
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.runtime.errors import SourceError
from edgekit.runtime.pi.mqtt import Mqtt, _parse
from tests.conftest import Needs
from tests.runtime.pi.test_loop import RESULT


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A mosquitto that wants the password `s3cret` of the user `pi`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config, passwords = folder / "mosquitto.conf", folder / "passwords"
        passwords.touch(mode=0o600)
        subprocess.run(["mosquitto_passwd", "-b", passwords, "pi", "s3cret"], check=True, capture_output=True)
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n"
                                + ("user root\n" if os.getuid() == 0 else ""))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program
        self._process = subprocess.Popen([program, "-c", self._config], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)


@pytest.fixture
def broker(needs: Needs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    needs.module("paho.mqtt")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/usr/sbin")
    needs.program("mosquitto", apt="mosquitto")
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def received(broker: Broker) -> Iterator[queue.Queue[tuple[str, str]]]:
    """What a subscriber gets: topics and payloads."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    found: queue.Queue[tuple[str, str]] = queue.Queue()
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("pi", "s3cret")
    client.on_connect = lambda client, *_: client.subscribe("garden/#", qos=1)
    client.on_message = lambda client, data, message: found.put((message.topic, message.payload.decode()))
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    yield found
    client.disconnect()
    client.loop_stop()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_answers_are_published(broker: Broker, received: queue.Queue[tuple[str, str]],
                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "s3cret")
    said: list[str] = []
    output = Mqtt(f"mqtt://pi@127.0.0.1:{broker.port}/garden/camera", said.append)
    assert received.get(timeout=10) == ("garden/camera/status", "online")
    output.show(RESULT)
    topic, payload = received.get(timeout=10)
    assert (topic, json.loads(payload)["frame"]) == ("garden/camera", 12)
    output.close()
    assert received.get(timeout=10) == ("garden/camera/status", "offline")
    assert said == []


def test_a_broker_that_goes_away_and_comes_back(broker: Broker) -> None:
    said: list[str] = []
    output = Mqtt(f"mqtt://pi:s3cret@127.0.0.1:{broker.port}/garden/camera", said.append)
    until(output._client.is_connected)
    broker.stop()
    until(lambda: said)
    assert said[0].startswith(f"The MQTT broker 127.0.0.1:{broker.port} is gone (")
    for _ in range(100):
        output.show(RESULT)  # neither waits nor grows
    broker.start()
    until(output._client.is_connected)
    output.close()


def test_a_broker_that_is_not_there_is_said_once(needs: Needs) -> None:
    needs.module("paho.mqtt")
    said: list[str] = []
    port = free_port()
    output = Mqtt(f"mqtt://127.0.0.1:{port}/garden/camera", said.append)
    until(lambda: said)
    output._unreachable(output._client, None)  # the next attempt
    output.close()
    assert said == [f"The MQTT broker 127.0.0.1:{port} cannot be reached; trying again."]


def test_a_wrong_password_is_said(broker: Broker) -> None:
    said: list[str] = []
    output = Mqtt(f"mqtt://pi:wrong@127.0.0.1:{broker.port}/garden/camera", said.append)
    until(lambda: said)
    assert "refuses: Not authorized" in said[0]
    output.close()


@pytest.mark.parametrize("address", ["broker/topic", "http://broker/topic", "mqtt://broker", "mqtt://broker/",
                                     "mqtt:///topic", "mqtt://broker:x/topic", "mqtt://broker/a/#", "mqtt://broker/+/x"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(SourceError, match="--mqtt takes an address"):
        _parse(address)


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MQTT_PASSWORD", raising=False)
    assert _parse("mqtts://u:p%40ss@h/a/b") == ("h", 8883, "u", "p@ss", "a/b", True)
    assert _parse("mqtt://h:99/t") == ("h", 99, "", "", "t", False)
