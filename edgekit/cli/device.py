"""`edgekit device`."""

from __future__ import annotations

from pathlib import Path

import click

from edgekit.cli import common


@click.group()
def device() -> None:
    """Run a package on a device that is attached."""


@device.command()
@click.argument("target", metavar="android[:SERIAL]|[USER@]HOST")
@click.argument("package", type=click.Path(path_type=Path), metavar="APP.apk|BUNDLE.tar.gz")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, metavar="FILE.json", help="The report to write."
)
@click.option(
    "--sustained",
    type=click.IntRange(10, 3600),
    metavar="SECONDS",
    help="An app goes on classifying generated frames for so long, to see whether the device slows down when it gets "
    "warm.",
)
@click.option(
    "--ssh-config", type=click.Path(path_type=Path), metavar="FILE", help="Another configuration of ssh than yours."
)
@common.json_option
def run(
    target: str, package: Path, output: Path, sustained: int | None, ssh_config: Path | None, as_json: bool
) -> int:
    """Install a package on a device, let it test itself, and judge its report.

    APP.apk, made by `edgekit package android`, needs adb and a phone with USB debugging switched on; with several of
    them, SERIAL says which (`adb devices`). BUNDLE.tar.gz, made by `edgekit package pi`, needs a Raspberry Pi or
    another Linux machine that `ssh [USER@]HOST` reaches. What is installed stays there. Exit code 1 when the device
    answers wrongly. To judge the report again, with limits: `edgekit validate MODEL --device-report FILE`.
    """
    platform, _, serial = target.partition(":")
    to_phone = package.suffix.lower() == ".apk"
    if to_phone and (platform != "android" or target == "android:"):
        raise click.UsageError(f"{target!r} is no phone; write android, or android:SERIAL.")
    if not to_phone and platform == "android":
        raise click.UsageError(f"{package} is no APK; a bundle for the Raspberry Pi goes to [USER@]HOST.")
    if to_phone and ssh_config is not None:
        raise click.UsageError("--ssh-config goes with a bundle for the Raspberry Pi.")
    if not to_phone and sustained is not None:
        raise click.UsageError("--sustained goes with an app.")
    from edgekit.cli.validate import print_device_validation
    from edgekit.device import android, ssh

    with common.progress("Testing on the device") as show:
        if to_phone:
            found = android.run(package, output, serial=serial, sustained=sustained, on_progress=show)
        else:
            found = ssh.run(target, package, output, config=ssh_config, on_progress=show)
    if as_json:
        common.print_json(found)
    else:
        print_device_validation(found)
        common.tell(f"wrote {output}")
    return 1 if found.failed(strict=False) else 0
