"""What tests of packages share: models that can be packaged, the app's template, keystores as keytool writes them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from edgekit.core import embed
from edgekit.package.android import template
from edgekit.runtime import modelfile
from edgekit.runtime.spec import Golden, Verdict, encode_scores
from tests import models

if TYPE_CHECKING:
    from tests.conftest import Needs

PASSWORD = "secret '$1\""


def stamped(path: Path, outcome: str | None = "pass", digest: str | None = None, **changes: Any) -> Path:
    """Write a small `.tflite` model with a spec, golden answers and a verdict; changes go into the spec."""
    models.tflite(path)
    scores = models.expected(models.colour(9, 9, 9))
    golden = Golden(encode_scores(scores), "0" * 64, pattern="gradient")
    spec = models.spec(**{"golden": (golden,), **changes})
    if outcome is not None:
        spec = dataclasses.replace(spec, verdict=Verdict(outcome, digest or modelfile.digest(path), "", "", 500))
    embed.write_spec(path, spec, path)
    return path


@pytest.fixture(scope="session")
def app_template(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app's template: the one that `make android` made, or one made now."""
    if template.PATH.exists():
        return template.PATH
    needs.program("javac", apt="openjdk-17-jdk-headless")
    from android_demo.tools import template as maker
    from android_demo.tools.errors import UnavailableError

    made = tmp_path_factory.mktemp("template") / "template.zip"
    try:
        maker.build(made)
    except UnavailableError as error:
        needs.leave_out(error.message, error.hint)
    return made


@pytest.fixture
def with_template(app_template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The template is where edgekit looks for it."""
    monkeypatch.setattr(template, "PATH", app_template)
    return app_template


@pytest.fixture(scope="session")
def keystores(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keystores, each named for what is in it; legacy.p12 is encrypted as Java 8 did it."""
    needs.program("keytool", apt="openjdk-17-jre-headless")
    folder = tmp_path_factory.mktemp("keystores")

    def make(file: str, alias: str, *options: str, kind: str = "PKCS12", flag: str = "-J-Dedgekit.tests=1") -> None:
        arguments = {"-keystore": file, "-storetype": kind, "-storepass:env": "PASSWORD", "-keypass:env": "PASSWORD",
                     "-alias": alias, "-validity": "10000", "-dname": "CN=upload"}
        subprocess.run(
            ["keytool", "-J-XX:TieredStopAtLevel=1", flag, "-genkeypair", *chain(*arguments.items()), *options],
            cwd=folder, check=True, capture_output=True, timeout=60, env={**os.environ, "PASSWORD": PASSWORD},
        )

    rsa = ("-keyalg", "RSA", "-keysize", "2048")
    make("rsa.p12", "upload", *rsa)
    make("ec.p12", "upload", "-keyalg", "EC", "-groupname", "secp256r1")
    make("two.p12", "first", *rsa)
    make("two.p12", "second", *rsa)
    make("weak.p12", "upload", "-keyalg", "RSA", "-keysize", "1024")
    make("edwards.p12", "upload", "-keyalg", "Ed25519")
    make("legacy.p12", "upload", *rsa, flag="-J-Dkeystore.pkcs12.legacy")
    make("old.jks", "upload", *rsa, kind="JKS")
    return folder
