"""`edgekit device run USER@HOST` through a real sshd on this machine, with keys of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgekit.core.errors import DataError, DeviceError, DeviceRunFailed
from edgekit.device.bundle_file import read_bundle
from edgekit.device.ssh import Remote
from edgekit.device.ssh import run as run_ssh
from edgekit.package.pi.bundle import package_pi
from edgekit.validate.device_report import read_device_report
from tests import bundles, models
from tests.conftest import Needs

HOST = "raspberry"  # a name of the configuration


@dataclass(frozen=True)
class Server:
    """A running sshd; `home` is where its sessions begin, `config` how ssh reaches it by HOST."""

    home: Path
    config: Path


@pytest.fixture(scope="module")
def server(needs: Needs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    needs.program("ssh", apt="openssh-client")
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        needs.leave_out("the program sshd is missing", "apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("sshd")
    home = folder / "home"
    home.mkdir()
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd, as root, locks its unprivileged part up
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "sshd_config").write_text(f"""
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
SetEnv HOME={home}
ForceCommand cd {home} && exec sh -c "$SSH_ORIGINAL_COMMAND"
""")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    (folder / "config").write_text(f"""
Host {HOST}
  HostName 127.0.0.1
  Port {port}
  User {getpass.getuser()}
  IdentityFile {folder}/user
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
  BatchMode yes
""")
    process = subprocess.Popen([program, "-D", "-f", folder / "sshd_config", "-E", folder / "log"])
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield Server(home, folder / "config")
    process.terminate()
    process.wait(10)


def test_words_arrive_as_they_are(server: Server, tmp_path: Path) -> None:
    words = ["a b", "$HOME", "`id`", "x;reboot", "'", '"', "\\", "*", "--", "é"]
    with Remote(HOST, tmp_path, server.config) as remote:
        said = remote.call(["printf", "%s\\n", *words])
        assert remote.call(["pwd"]).decode().strip() == str(server.home)
    assert said.decode().splitlines() == words


def test_a_command_that_fails(server: Server, tmp_path: Path) -> None:
    with Remote(HOST, tmp_path, server.config) as remote:
        with pytest.raises(DeviceRunFailed, match=r"ls on raspberry failed: .*nowhere"):
            remote.call(["ls", "/nowhere"])
        with pytest.raises(DeviceRunFailed, match=r"sleep on raspberry did not end in 0\.5 seconds"):
            remote.call(["sleep", "30"], seconds=0.5)


@pytest.mark.parametrize("host", ["-oProxyCommand=touch x", "pi@-oProxyCommand=x", "", "a b", "a\nb"])
def test_hosts_that_are_none(host: str, tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="is no name of a host"):
        Remote(host, tmp_path, None)


def test_a_host_that_does_not_answer(server: Server, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        config = tmp_path / "config"
        config.write_text(f"Host gone\n HostName 127.0.0.1\n Port {closed.getsockname()[1]}\n BatchMode yes\n")
        with Remote("gone", tmp_path, config) as remote, pytest.raises(DeviceError, match="ssh cannot reach gone"):
            remote.call(["true"])


def test_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="The program ssh is not on the PATH"):
        Remote("pi@host", tmp_path, None)


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b" + b"\0" * 100])
def test_files_that_are_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "b.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match="is no bundle, or a damaged one"):
        read_bundle(tmp_path / "b.tar.gz", tmp_path)


def test_archives_of_others(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    subprocess.run(["tar", "-czf", tmp_path / "b.tar.gz", "-C", tmp_path, "x"], check=True)
    with pytest.raises(DataError, match=r"has no bundle\.json"):
        read_bundle(tmp_path / "b.tar.gz", tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_bundle(tmp_path / "nowhere.tar.gz", tmp_path)


def test_the_model_of_a_bundle(tmp_path: Path) -> None:
    model = bundles.model(tmp_path / "m.tflite")
    made = package_pi(model, tmp_path / "b.tar.gz", name="birds")
    (tmp_path / "out").mkdir()
    name, copied = read_bundle(made.path, tmp_path / "out")
    assert (name, copied.read_bytes()) == ("birds", model.read_bytes())


@pytest.mark.slow
def test_a_run(server: Server, tmp_path: Path, needs: Needs) -> None:
    """Copied, installed with pip, tested, measured, judged; and again, when it is there already."""
    needs.program("python3", apt="python3 python3-venv")
    made = package_pi(bundles.model(tmp_path / "m.tflite"), tmp_path / "b.tar.gz", name="birds")
    output, progress = tmp_path / "report.json", list[str]()
    for _ in range(2):
        found = run_ssh(HOST, made.path, output, config=server.config,
                        on_progress=lambda done, total, what: progress.append(what))
        assert (found.judgement.outcome, found.candidate, found.path) == ("pass", made.path, output)
    assert progress == ["copying", "installing", "testing"] * 2
    report = read_device_report(output)
    assert (report.platform, report.app.id) == ("pi", "birds")
    assert report.live is not None
    assert sorted(path.name for path in server.home.iterdir()) == ["edgekit"]


@pytest.mark.slow
def test_wrong_answers_are_reported(server: Server, tmp_path: Path, needs: Needs) -> None:
    needs.program("python3", apt="python3 python3-venv")
    model = bundles.model(tmp_path / "m.tflite")
    content, weights = model.read_bytes(), np.asarray(models.WEIGHTS, np.float32)
    assert content.count(weights.tobytes()) == 1
    model.write_bytes(content.replace(weights.tobytes(), (2 * weights).tobytes()))
    made = package_pi(model, tmp_path / "b.tar.gz", name="wrong", ungated=True)
    output = tmp_path / "report.json"
    found = run_ssh(HOST, made.path, output, config=server.config)
    assert found.judgement.outcome == "fail"
    assert read_device_report(output).chosen is None


def test_the_exit_code_of_a_wrong_answer_without_one(server: Server, tmp_path: Path) -> None:
    """A program that could not even start ends with 1, too, as Python's do."""
    with Remote(HOST, tmp_path, server.config) as remote:
        assert remote.call(["sh", "-c", "echo answers; exit 1"], accepted=(0, 1)) == b"answers\n"
        with pytest.raises(DeviceRunFailed, match="sh on raspberry failed: no module"):
            remote.call(["sh", "-c", "echo no module >&2; exit 1"], accepted=(0, 1))


def test_what_the_machine_refuses_is_said(server: Server, tmp_path: Path) -> None:
    made = package_pi(bundles.model(tmp_path / "m.tflite"), tmp_path / "b.tar.gz", name="refused")
    (server.home / "edgekit").mkdir(exist_ok=True)
    (server.home / "edgekit" / "refused").write_text("a file is in the way")
    with pytest.raises(DeviceRunFailed, match="mkdir on raspberry failed"):
        run_ssh(HOST, made.path, tmp_path / "report.json", config=server.config)
    assert not (tmp_path / "report.json").exists()
