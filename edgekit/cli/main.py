"""The `edgekit` command: its group, and what happens to errors."""

from __future__ import annotations

import errno
import signal
import sys
import traceback

import click

from edgekit.cli import common
from edgekit.cli.build import build
from edgekit.cli.calibrate import calibrate
from edgekit.cli.convert import convert
from edgekit.cli.device import device
from edgekit.cli.doctor import doctor
from edgekit.cli.import_ import import_
from edgekit.cli.inspect import inspect
from edgekit.cli.optimize import optimize
from edgekit.cli.package import package
from edgekit.cli.predict import predict
from edgekit.cli.serve import serve
from edgekit.cli.train import train
from edgekit.cli.validate import validate
from edgekit.core.errors import EdgekitError

INTERRUPTED = 130
READER_GONE = 141  # 128 + SIGPIPE, as shells say it of other programs
INTERNAL = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="edgekit", prog_name="edgekit")
@click.option("--debug", is_flag=True, help="Show tracebacks of errors.")
def cli(debug: bool) -> None:
    """From a Keras model, or a folder of photos, to a quantized model on a phone or a Raspberry Pi, with proof.

    Every model file that edgekit writes carries a spec: how it is fed, its labels, where it comes from, and what was
    measured. Exit codes: 0 done, 1 the gate said no, 2 bad usage or input, 3 a conversion, a training run or a run on
    a device failed, 130 interrupted.
    """


COMMANDS = (
    train, import_, calibrate, convert, optimize, validate, predict, inspect, package, device, serve, build, doctor,
)
for command in COMMANDS:
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; errors become one or two lines and an exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # temporary files are removed then, too
    sys.exit(_run(sys.argv[1:] if arguments is None else arguments))


def _run(arguments: list[str]) -> int:
    debug = arguments[:1] == ["--debug"]
    try:
        code = cli.main(arguments, prog_name="edgekit", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except EdgekitError as error:
        if debug:
            traceback.print_exc()
        _complain(error.message, error.hint)
        return error.exit_code
    except SystemExit:  # so click ends when the reader of stdout has gone; with 1, which is the gate's no
        return READER_GONE
    except OSError as error:
        if debug:
            traceback.print_exc()
        hint = "Free some space, or point TMPDIR to a larger disk." if error.errno == errno.ENOSPC else ""
        _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", hint)
        return EdgekitError.exit_code
    except Exception as error:
        if debug:
            traceback.print_exc()
        text = str(error).strip().splitlines()
        _complain(
            f"edgekit itself failed: {type(error).__name__}{f': {text[0][:200]}' if text else ''}",
            "This is a bug. `edgekit --debug …` shows the traceback to report.",
        )
        return INTERNAL


def _complain(message: str, hint: str) -> None:
    click.echo(click.style("Error: ", fg="red", bold=True) + common.shown(message), err=True)
    if hint:
        common.say(hint)


if __name__ == "__main__":
    main()
