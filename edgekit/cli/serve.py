"""`edgekit serve`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli import common


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL…")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve on; 0.0.0.0 is all of them.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ask for the bearer token in FILE. Else EDGEKIT_TOKEN has it, if it is set.",
)
@click.option("--no-token", is_flag=True, help="Let anybody in who reaches the address.")
@click.option(
    "--allow-host", multiple=True, metavar="NAME", help="A host name that the server is known by, as behind a proxy."
)
@click.option("--workers", type=click.IntRange(1, 256), help="Threads that run models.  [default: one per processor]")
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    no_token: bool,
    allow_host: tuple[str, ...],
    workers: int | None,
) -> None:
    """Serve models over HTTP: MODEL is a .tflite or .onnx file, or NAME=FILE.

    There is a page at /, /classify, TensorFlow Serving's REST form, the Open Inference Protocol v2, /openapi.json and
    /metrics. SIGTERM or Ctrl-C finishes what was sent, and ends the server.
    """
    import signal

    from edgekit.core.errors import EdgekitError
    from edgekit.serve.api import Api
    from edgekit.serve.guard import local_hosts
    from edgekit.serve.server import Server

    token = None if no_token else _token(token_file)
    if token_file is not None and no_token:
        raise click.UsageError("--token-file and --no-token exclude each other.")
    loopback = _is_loopback(host)
    if not loopback and token is None and not no_token:
        raise EdgekitError(
            f"On {host} everybody who reaches this machine could use the server.",
            "Set EDGEKIT_TOKEN or --token-file (openssl rand -hex 24 makes a token), or say --no-token.",
        )
    hosts = ["localhost", *allow_host] if loopback else [host, *local_hosts(), *allow_host]
    api = Api(models, token=token, hosts=hosts, workers=workers)
    server = Server(api, host, port)
    api.engine.wait_until_ready()

    def stop(number: int, frame: object) -> None:
        for each in (signal.SIGTERM, signal.SIGINT):  # the second one does not wait, whichever it is
            signal.signal(each, signal.default_int_handler)
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    common.tell(f"Serving {', '.join(api.engine.models)} on {server.url}")
    common.say(f"{'A token is needed' if token else 'No token is needed'}; Ctrl-C ends it.")
    server.run()
    common.say("Ended.")


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(path: Path | None) -> str | None:
    import os

    from edgekit.serve.guard import read_token

    return read_token(path) if path is not None else os.environ.get("EDGEKIT_TOKEN") or None
