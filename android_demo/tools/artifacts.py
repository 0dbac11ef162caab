"""Maven artifacts, pinned by coordinates and SHA-256, fetched with the Maven client of this machine.

    python -m android_demo.tools.artifacts fetch GROUP...    fetch and check groups of artifacts.toml
    python -m android_demo.tools.artifacts lock              fetch all groups anew and write artifacts.lock

A group is fetched by one run of Maven, from a project file made for it. No repository is named here: Maven looks where
its own settings say, by default in Maven Central.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from xml.sax.saxutils import escape

from android_demo.tools.errors import ToolError, UnavailableError

LIST = Path(__file__).with_name("artifacts.toml")
LOCK = Path(__file__).with_name("artifacts.lock")
BUILD = Path(__file__).parents[1] / "build"
_LOCK_COMMAND = "python -m android_demo.tools.artifacts lock"
PLUGIN = "3.8.1"  # of maven-dependency-plugin

Hashes = dict[str, dict[str, str]]  # "files" and "classpath" of a group: coordinates -> SHA-256


@dataclass(frozen=True, order=True)
class Coordinates:
    """What names an artifact in a Maven repository."""

    group: str
    artifact: str
    version: str
    type: str = "jar"

    @classmethod
    def parse(cls, text: str) -> Coordinates:
        """From group:artifact:version[:type]."""
        return cls(*text.split(":"))

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.artifact}-{self.version}.{self.type}"

    def __str__(self) -> str:
        return ":".join([self.group, self.artifact, self.version, *([] if self.type == "jar" else [self.type])])


@dataclass(frozen=True)
class Group:
    """A fetched group: where each artifact's file lies."""

    files: dict[Coordinates, Path]
    classpath: dict[Coordinates, Path]

    def file(self, artifact: str) -> Path:
        """The file of the artifact of this name, among `files`."""
        return next(path for one, path in self.files.items() if one.artifact == artifact)

    def jars(self) -> list[Path]:
        """The class path: the jars, and the classes.jar of Android libraries."""
        return [classes_jar(path) if path.suffix == ".aar" else path for path in self.classpath.values()]


def requested(group: str) -> dict[str, list[Coordinates]]:
    """What artifacts.toml says of a group."""
    parts: dict[str, list[str]] = tomllib.loads(LIST.read_text())[group]
    return {part: [Coordinates.parse(text) for text in parts.get(part, [])] for part in ("files", "classpath")}


def fetch(group: str, runtime: str | None = None) -> Group:
    """Fetch a group, where it is not there yet, and check it against the lock.

    Args:
        group: a name in artifacts.toml.
        runtime: another version of the TensorFlow Lite runtime than the pinned one. The lock does not know its files:
            they are taken as Maven gives them, and a note says so.

    Raises:
        UnavailableError: Maven is missing or cannot fetch.
        ToolError: a file is not the one in the lock.
    """
    wanted, hashes = requested(group), _locked(group)
    folder = BUILD / "artifacts" / (f"{group}-{runtime}" if runtime else group)
    files = {one: hashes["files"].get(str(one)) for one in wanted["files"]}
    if runtime:
        files = {of_runtime(one, runtime): digest for one, digest in files.items()}
        wanted["files"] = list(files)
        unknown = [one for one in files if str(one) not in hashes["files"]]
        files |= dict.fromkeys(unknown)
        print(f"note: not checked against {LOCK.name}: {', '.join(map(str, unknown))}", file=sys.stderr)
    classpath: dict[Coordinates, str | None] = {Coordinates.parse(text): d for text, d in hashes["classpath"].items()}
    found = Group(
        {one: folder / "files" / one.file for one in files},
        {one: folder / "classpath" / one.file for one in classpath},
    )
    with _alone():
        if not all(path.is_file() for path in (*found.files.values(), *found.classpath.values())):
            _run_maven(group, wanted, folder)
    for one, path in (found.files | found.classpath).items():
        _check(one, path, (files | classpath)[one])
    return found


def classes_jar(library: Path) -> Path:
    """The classes of an Android library (.aar), unpacked beside it when they are not there yet."""
    target = library.with_suffix(".classes.jar")
    if not target.exists():
        part = target.with_suffix(f".{os.getpid()}.part")
        with zipfile.ZipFile(library) as archive:
            part.write_bytes(archive.read("classes.jar"))
        part.replace(target)
    return target


def write_lock() -> None:
    """Fetch all groups anew and write artifacts.lock: read what changed in it before it is committed."""
    lock: dict[str, Hashes] = {}
    for group in tomllib.loads(LIST.read_text()):
        folder = BUILD / "artifacts" / group
        wanted = requested(group)
        resolved = _run_maven(group, wanted, folder)
        lock[group] = {
            "files": {str(one): _sha256(folder / "files" / one.file) for one in sorted(wanted["files"])},
            "classpath": {str(one): _sha256(folder / "classpath" / one.file) for one in sorted(resolved)},
        }
    LOCK.write_text(json.dumps(lock, indent=1) + "\n")


def of_runtime(one: Coordinates, version: str) -> Coordinates:
    """The same part of the runtime in another version: TensorFlow Lite up to 2.16, LiteRT from 1.0 on."""
    if one.group != "org.tensorflow":
        return one
    if version.startswith("2."):
        return one if one.artifact.endswith("-gpu-api") else replace(one, version=version)
    name = one.artifact.replace("tensorflow-lite", "litert")
    return replace(one, group="com.google.ai.edge.litert", artifact=name, version=version)


def _locked(group: str) -> Hashes:
    content: dict[str, Hashes] = json.loads(LOCK.read_text())
    return content[group]


@contextmanager
def _alone() -> Iterator[None]:
    """One process fetches at a time: Maven's local repository is not made for several."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "fetching.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run_maven(group: str, wanted: dict[str, list[Coordinates]], folder: Path) -> list[Coordinates]:
    """Fill `folder` with a group's files; gives the coordinates of the whole class path."""
    if not shutil.which("mvn"):
        raise UnavailableError("Maven (mvn) is not installed.", "Debian: apt-get install maven")
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        (part / "pom.xml").write_text(_project(group, wanted))
        # -U: look again for what was not found the last time
        command = ["mvn", "-q", "-B", "-U", "initialize"]
        done = subprocess.run(command, cwd=part, capture_output=True, text=True)
        if done.returncode:
            said = [line.partition("[ERROR]")[2].strip() for line in done.stdout.splitlines()]
            reason = next(filter(None, said), done.stderr.strip())
            raise UnavailableError(
                f"Maven cannot fetch the artifacts of the group '{group}': {reason}",
                "Check the network; proxies and further repositories belong in Maven's own settings (settings.xml).",
            )
        copied = [path for path in sorted((part / "layout").rglob("*")) if path.suffix in (".jar", ".aar")]
        resolved = [_flattened(path, part) for path in copied]
        shutil.rmtree(part / "layout", ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        part.replace(folder)
        return resolved
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _flattened(path: Path, part: Path) -> Coordinates:
    """Move a file out of the layout of a repository (group/as/folders/artifact/version/file) to `classpath`."""
    *group, artifact, version, name = path.relative_to(part / "layout").parts
    one = Coordinates(".".join(group), artifact, version, path.suffix[1:])
    if name != one.file:
        raise ToolError(f"{name} has a classifier, which {LOCK.name} does not cover.")
    (part / "classpath").mkdir(exist_ok=True)
    path.replace(part / "classpath" / name)
    return one


def _project(group: str, wanted: dict[str, list[Coordinates]]) -> str:
    """A Maven project whose `initialize` copies the files of a group."""
    items = "".join(f"<artifactItem>{_xml(one)}</artifactItem>" for one in wanted["files"])
    needed = "".join(f"<dependency>{_xml(one)}</dependency>" for one in wanted["classpath"])
    goals = [("copy", "files", f"<artifactItems>{items}</artifactItems>")] if items else []
    if needed:
        settings = "<useRepositoryLayout>true</useRepositoryLayout><includeScope>runtime</includeScope>"
        goals.append(("copy-dependencies", "layout", settings))
    executions = "".join(
        f"<execution><id>{goal}</id><phase>initialize</phase><goals><goal>{goal}</goal></goals><configuration>"
        f"<outputDirectory>${{project.basedir}}/{folder}</outputDirectory>{more}</configuration></execution>"
        for goal, folder, more in goals
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<project><modelVersion>4.0.0</modelVersion>'
        f"<groupId>ai.edgekit.demo</groupId><artifactId>{group}</artifactId><version>1</version>"
        f"<packaging>pom</packaging><dependencies>{needed}</dependencies><build><plugins><plugin>"
        f"<groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId>"
        f"<version>{PLUGIN}</version><executions>{executions}</executions></plugin></plugins></build></project>\n"
    )


def _xml(one: Coordinates) -> str:
    parts = {"groupId": one.group, "artifactId": one.artifact, "version": one.version, "type": one.type}
    return "".join(f"<{name}>{escape(value)}</{name}>" for name, value in parts.items())


def _check(one: Coordinates, path: Path, expected: str | None) -> None:
    if not path.is_file():
        raise ToolError(f"Maven did not give {one}.", f"Where {LIST.name} was changed: {_LOCK_COMMAND}")
    if expected and _sha256(path) != expected:
        path.unlink()
        raise ToolError(
            f"{one} is not the file in {LOCK.name} (SHA-256 differs); the copy in {path.parent} was removed.",
            f"Remove it from Maven's local repository too and try again; where a new file is meant: {_LOCK_COMMAND}",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Fetch the pinned Maven artifacts, or write their lock.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch").add_argument("groups", nargs="+", choices=tomllib.loads(LIST.read_text()))
    commands.add_parser("lock")
    arguments = parser.parse_args()
    try:
        if arguments.command == "lock":
            write_lock()
        for group in getattr(arguments, "groups", []):
            fetch(group)
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
