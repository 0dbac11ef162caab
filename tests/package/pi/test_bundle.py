from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

import edgekit
from edgekit.core.errors import OutputError, PackageError
from edgekit.package.pi.bundle import default_output, package_pi
from tests import bundles, models
from tests.conftest import Needs

PACKAGE = Path(edgekit.__file__).parent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked bundle of a small model."""
    return bundles.folder(tmp_path_factory.mktemp("bundle"))


def test_it_carries_the_runtime_as_it_is(bundle: Path) -> None:
    there = {path.relative_to(bundle / "edgekit"): path.read_bytes() for path in (bundle / "edgekit").rglob("*.*")}
    here = {path.relative_to(PACKAGE): path.read_bytes() for path in (PACKAGE / "runtime").rglob("*.*")
            if "__pycache__" not in path.parts}
    assert there == {**here, Path("__init__.py"): (PACKAGE / "__init__.py").read_bytes()}


def test_what_else_is_in_it(bundle: Path) -> None:
    assert sorted(path.name for path in bundle.iterdir()) == [
        "README.md", "bundle.json", "classify", "edgekit", "install.sh", "model.tflite", "requirements.txt",
        "service.in"]
    facts = json.loads((bundle / "bundle.json").read_text())
    assert (facts["name"], facts["runtime"], facts["verdict"]) == ("colours", "litert", "pass")
    assert os.access(bundle / "classify", os.X_OK)
    assert os.access(bundle / "install.sh", os.X_OK)
    for path in bundle.iterdir():
        if path.is_file() and path.suffix != ".tflite" and path.name not in ("install.sh", "service.in"):
            assert not re.search(r"@[A-Z]+@", path.read_text()), path.name


def test_the_readme_has_the_three_commands(bundle: Path) -> None:
    readme = (bundle / "README.md").read_text()
    assert re.findall(r"^    (\./\S+(?: --service)?)", readme, re.MULTILINE) == [
        "./install.sh", "./classify", "./install.sh --service"]
    assert "| verdict | passed |" in readme


def test_made_twice_it_is_the_same_to_the_byte(tmp_path: Path) -> None:
    model = bundles.model(tmp_path / "m.tflite")
    first = package_pi(model, tmp_path / "a.tar.gz")
    os.utime(model, (time.time() + 100, time.time() + 100))
    second = package_pi(model, tmp_path / "b.tar.gz")
    assert first.path.read_bytes() == second.path.read_bytes()
    with tarfile.open(first.path) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == sorted(member.name for member in members)
    assert {(member.uid, member.gid, member.uname, member.mtime) for member in members} == {(0, 0, "", 315532800)}


def test_it_is_little_larger_than_its_model(tmp_path: Path) -> None:
    model = bundles.model(tmp_path / "m.tflite")
    made = package_pi(model, tmp_path / "b.tar.gz")
    assert made.size <= model.stat().st_size + 300_000


def test_a_model_without_a_passed_verdict(tmp_path: Path) -> None:
    model = models.with_spec(models.tflite(tmp_path / "m.tflite"))
    with pytest.raises(PackageError, match="carries no verdict"):
        package_pi(model, tmp_path / "b.tar.gz")
    assert not (tmp_path / "b.tar.gz").exists()
    made = package_pi(model, tmp_path / "b.tar.gz", ungated=True)
    assert made.verdict == "none"
    assert "packaged without a passed verdict (it is: none)" in made.warnings
    assert any("no golden answers" in warning for warning in made.warnings)
    (tmp_path / "there").mkdir()
    readme = (bundles.unpacked(made.path, tmp_path / "there") / "README.md").read_text()
    assert "**none**: packaged with --ungated" in readme


@pytest.mark.parametrize(("stem", "name"), [
    ("Bird feeder_2", "bird-feeder-2"), ("模型", "model"), ("a" * 60, "a" * 40)])
def test_the_name_comes_from_the_file(tmp_path: Path, stem: str, name: str) -> None:
    assert package_pi(bundles.model(tmp_path / f"{stem}.tflite"), tmp_path / "b.tar.gz").name == name


@pytest.mark.parametrize("name", ["", "-x", "x-", "Birds", "a b", "a/b", "..", "a" * 41, "x;reboot"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(PackageError, match="is no name for a bundle"):
        package_pi(bundles.model(tmp_path / "m.tflite"), tmp_path / "b.tar.gz", name=name)


def test_the_output_is_not_the_model(tmp_path: Path) -> None:
    model = bundles.model(tmp_path / "m.tflite")
    with pytest.raises(OutputError, match="is itself needed"):
        package_pi(model, model)
    assert default_output(model) == tmp_path / "m.tar.gz"


def test_the_scripts_are_posix(bundle: Path, needs: Needs) -> None:
    needs.program("dash", apt="dash")
    subprocess.run(["dash", "-n", bundle / "install.sh"], check=True)


def test_systemd_accepts_the_unit(bundle: Path, needs: Needs, tmp_path: Path) -> None:
    needs.program("systemd-analyze", apt="systemd")
    home = shutil.copytree(bundle, tmp_path / "colours")
    unit = tmp_path / "edgekit-colours.service"
    text = (home / "service.in").read_text().replace("@DIR@", str(home)).replace("@USER@", "daemon")
    unit.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for setting in ("User=daemon", "Restart=always", "WatchdogSec=60", "MemoryMax=384M", "Type=notify"):
        assert f"\n{setting}\n" in text
