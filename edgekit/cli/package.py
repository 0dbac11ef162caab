"""`edgekit package`: packages for devices."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgekit.cli import common

if TYPE_CHECKING:
    from edgekit.package.android.apk import AndroidPackage


@click.group()
def package() -> None:
    """Package a model for a device."""


@package.command()
@click.argument("model", type=common.MODEL)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.apk",
    help="The APK to write.  [default: MODEL.apk]",
)
@click.option(
    "--app-id", metavar="ID", help="Such as com.example.birds.  [default: ai.edgekit.demo. and the model's file name]"
)
@click.option("--name", metavar="TEXT", help="The name below the app's icon.  [default: the model's file name]")
@click.option(
    "--icon", type=click.Path(path_type=Path), metavar="IMAGE", help="A picture for the app's icon: PNG, JPEG or WebP."
)
@click.option(
    "--version",
    default="1.0.0",
    show_default=True,
    metavar="A.B.C",
    help="Up to three numbers; Android's versionCode is A·1000000 + B·1000 + C.",
)
@click.option(
    "--abi",
    "abis",
    multiple=True,
    metavar="ABI[,…]",
    help="arm64-v8a (most phones), armeabi-v7a (old ones), x86_64 (emulators) or all.  [default: arm64-v8a]",
)
@click.option(
    "--keystore",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Sign with the key in this PKCS#12 keystore; its password is read from EDGEKIT_KEYSTORE_PASSWORD or asked for."
    "  [default: a debug key of your own, made once]",
)
@click.option("--key-alias", metavar="NAME", help="Which of the keystore's keys.  [default: its only one]")
@click.option(
    "--project",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the app's Android Studio project with the model in it, instead of an APK.",
)
@click.option("--ungated", is_flag=True, help="Package a model without a fresh, passed verdict; the app shows that.")
@common.json_option
def android(
    model: Path,
    output: Path | None,
    app_id: str | None,
    name: str | None,
    icon: Path | None,
    version: str,
    abis: tuple[str, ...],
    keystore: Path | None,
    key_alias: str | None,
    project: Path | None,
    ungated: bool,
    as_json: bool,
) -> None:
    """Put MODEL, a .tflite file with a passed verdict, into a signed Android app. No Android SDK is needed.

    The app shows the camera with the model's answers, and checks every delegate of the phone against the golden
    answers in the model before it uses it.
    """
    if project is not None:
        for option, given in (("-o", output), ("--abi", abis), ("--keystore", keystore), ("--key-alias", key_alias)):
            if given:
                raise click.UsageError(f"{option} is of no use with --project, which writes no APK.")
        _project(model, project, app_id, name, icon, version, ungated, as_json)
        return
    if key_alias is not None and keystore is None:
        raise click.UsageError("--key-alias belongs to --keystore.")
    from edgekit.package.android.apk import package_android

    wanted = tuple(abi.strip() for one in abis for abi in one.split(",")) or ("arm64-v8a",)
    made = package_android(
        model,
        output or model.parent / f"{model.stem}.apk",
        app_id=app_id,
        name=name,
        icon=icon,
        version=version,
        abis=wanted,
        keystore=keystore,
        key_alias=key_alias,
        ask_password=_password,
        ungated=ungated,
    )
    for warning in made.warnings:
        common.warn(warning)
    if as_json:
        common.print_json(made)
    else:
        _print(made)


@package.command()
@click.argument("model", type=common.MODEL)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE.tar.gz",
    help="The bundle to write.  [default: MODEL.tar.gz]",
)
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tflite-runtime"]),
    help="What runs a .tflite file on 64-bit systems.  [default: litert]",
)
@click.option("--name", metavar="NAME", help="The bundle's folder and service.  [default: the model's file name]")
@click.option("--ungated", is_flag=True, help="Package a model without a fresh, passed verdict; the bundle says so.")
@common.json_option
def pi(model: Path, output: Path | None, runtime: str | None, name: str | None, ungated: bool, as_json: bool) -> None:
    """Put MODEL, a .tflite or .onnx file with a passed verdict, into a bundle for the Raspberry Pi.

    On the Pi: unpack it, ./install.sh, ./classify. It classifies what the camera shows, and checks itself against the
    golden answers in the model.
    """
    from edgekit.package.pi.bundle import default_output, package_pi
    from edgekit.report.figures import size

    made = package_pi(model, output or default_output(model), runtime=runtime, name=name, ungated=ungated)
    for warning in made.warnings:
        common.warn(warning)
    if as_json:
        common.print_json(made)
        return
    common.tell(f"wrote {made.path}: {size(made.size)}, {made.name}, {made.runtime}, verdict {made.verdict}")
    for sentence in made.systems:
        common.tell(f"  {sentence}")
    common.tell(f"on the Pi: tar -xzf {shlex.quote(made.path.name)} && cd {made.name} && ./install.sh && ./classify")


def _print(made: AndroidPackage) -> None:
    from edgekit.report.figures import size

    key = "your debug key" if made.debug_key else "your key"
    common.tell(
        f"wrote {made.path}: {size(made.size)}, {made.app_id} {made.version} ({', '.join(made.abis)}), "
        f"verdict {made.verdict}, signed with {key}, certificate SHA-256 {made.certificate_sha256}"
    )
    path = shlex.quote(str(made.path))
    common.tell(f"install it with: adb install -r {path}   or copy it to the phone and open it there")


def _project(
    model: Path,
    folder: Path,
    app_id: str | None,
    name: str | None,
    icon: Path | None,
    version: str,
    ungated: bool,
    as_json: bool,
) -> None:
    from edgekit.package.android.project import android_project

    made = android_project(model, folder, app_id=app_id, name=name, icon=icon, version=version, ungated=ungated)
    for warning in made.warnings:
        common.warn(warning)
    if as_json:
        common.print_json(made)
    else:
        common.tell(f"wrote {made.path}: {made.app_id} {made.version}, verdict {made.verdict}")
        common.tell("open it in Android Studio")


def _password() -> str:
    from edgekit.core.errors import PackageError
    from edgekit.package.android.keys import PASSWORD_VARIABLE

    found = os.environ.get(PASSWORD_VARIABLE)
    if found is not None:
        return found
    if not sys.stdin.isatty():
        raise PackageError("The keystore's password is needed.", f"Set {PASSWORD_VARIABLE}.")
    return str(click.prompt("Password of the keystore", hide_input=True, err=True))
