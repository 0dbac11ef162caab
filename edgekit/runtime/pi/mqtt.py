"""Answers to an MQTT broker, through paho-mqtt.

`TOPIC` gets every answer as JSON, and `TOPIC/status` says `online`, or `offline` once the program has gone; the broker
itself says the latter when the machine loses its power.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

from edgekit.runtime.errors import RuntimeMissingError, SourceError
from edgekit.runtime.pi.loop import Result
from edgekit.runtime.pi.outputs import as_json
from edgekit.runtime.spec import printable

QUEUED = 20  # messages that wait for a broker which is away; newer ones are dropped
PASSWORD = "MQTT_PASSWORD"  # the environment variable: arguments can be seen by all users of a machine
_PORTS = {"mqtt": 1883, "mqtts": 8883}


class Mqtt:
    """Publishes answers; a broker that goes away is connected again in the background."""

    def __init__(self, address: str, say: Callable[[str], None]) -> None:
        """Begin to connect.

        Args:
            address: `mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC`, or `mqtts://` with TLS. The password may instead be
                in the environment variable MQTT_PASSWORD.
            say: is told when the broker cannot be reached or refuses, and when the connection is lost.

        Raises:
            SourceError: the address is not like that.
            RuntimeMissingError: paho-mqtt is not installed.
        """
        host, port, user, password, self._topic, secure = _parse(address)
        try:
            from paho.mqtt import client as paho
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise RuntimeMissingError("--mqtt needs paho-mqtt, which is not installed.",
                                      "Run ./install.sh, or: pip install paho-mqtt") from error
        self._say, self._where = say, f"{printable(host)}:{port}"
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(QUEUED)
        self._client.reconnect_delay_set(1, 30)
        self._client.will_set(f"{self._topic}/status", "offline", qos=1, retain=True)
        if user:
            self._client.username_pw_set(user, password)
        if secure:
            self._client.tls_set()
        self._away = False  # and that has been said
        self._client.on_connect = self._connected
        self._client.on_connect_fail = self._unreachable
        self._client.on_disconnect = self._disconnected
        self._client.connect_async(host, port, keepalive=30)
        self._client.loop_start()

    def show(self, result: Result) -> None:
        """See `edgekit.runtime.pi.loop.Output`. While the broker is away, answers are dropped: they are old by then."""
        if self._client.is_connected():
            self._client.publish(self._topic, as_json(result))

    def close(self) -> None:
        """Say goodbye."""
        if self._client.is_connected():
            self._client.publish(f"{self._topic}/status", "offline", qos=1, retain=True).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._say(f"The MQTT broker {self._where} refuses: {printable(str(reason))}.")
        else:
            self._away = False
            client.publish(f"{self._topic}/status", "online", qos=1, retain=True)

    def _unreachable(self, client: Any, data: Any) -> None:
        if not self._away:
            self._away = True
            self._say(f"The MQTT broker {self._where} cannot be reached; trying again.")

    def _disconnected(self, client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._away = True
            self._say(f"The MQTT broker {self._where} is gone ({printable(str(reason))}); trying again.")


def _parse(address: str) -> tuple[str, int, str, str, str, bool]:
    """Host, port, user, password, topic, and whether TLS is wanted."""
    try:
        found = urlsplit(address)
        port = found.port or _PORTS[found.scheme]
    except (ValueError, KeyError):
        found, port = urlsplit(""), 0
    topic = unquote(found.path.lstrip("/"))
    if not found.hostname or not topic or "#" in address or "+" in topic or "\0" in topic:
        raise SourceError("--mqtt takes an address such as mqtt://broker.local/garden/camera.",
                          "The part after the host is the topic; + and # cannot be in it.")
    password = unquote(found.password or "") or os.environ.get(PASSWORD, "")
    return found.hostname, port, unquote(found.username or ""), password, topic, found.scheme == "mqtts"
