"""A stand-in for adb and a phone, for tests on machines that have neither.

It takes the calls that edgekit makes, as adb's manual and the Android sources describe them, and answers in their
words, failures included; it is not adb, and no proof that a phone behaves so. Only the standard library is there. The
environment variable FAKE_PHONE names its folder:

    scenario.json   what happens; the keys are those of `DEFAULTS`
    report.json     what the app writes when it has tested itself
    calls.jsonl     the arguments of every call
    state.json      what goes on: whether the app is alive, how often it was started, its token
    files/…         the device's files
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import Any

HOME = Path(os.environ["FAKE_PHONE"])
DEFAULTS: dict[str, Any] = {
    "devices": [["PHONE1", "device"]],  # serial number and state
    "install": "Success",  # or the text of the failure
    "install_exits_with": None,  # old versions end with 0 whatever happens
    "start": "ok",  # or what `am start` complains of
    "looks": 1,  # how often one has to look until the report is there
    "crashes": 0,  # how often the app dies before
    "error": None,  # what the app writes instead of a report
    "vanishes_after": None,  # with so many calls the device is gone
    "hangs_on": None,  # the call that never ends
}


def main(arguments: list[str]) -> int:
    with (HOME / "calls.jsonl").open("a") as log:
        log.write(json.dumps(arguments) + "\n")
    calls = len((HOME / "calls.jsonl").read_text().splitlines())
    scenario = DEFAULTS | json.loads((HOME / "scenario.json").read_text())
    serial = ""
    if arguments[:1] == ["-s"]:
        serial, arguments = arguments[1], arguments[2:]
    if arguments[0] == scenario["hangs_on"]:
        time.sleep(600)
    if arguments == ["devices"]:
        print("* daemon not running; starting now at tcp:5037\n* daemon started successfully", file=sys.stderr)
        print("List of devices attached")
        print(*(f"{name}\t{state}" for name, state in scenario["devices"]), sep="\n", end="\n\n")
        return 0
    states = dict(scenario["devices"])
    gone = scenario["vanishes_after"] is not None and calls > scenario["vanishes_after"]
    if gone or serial not in states:
        print(f"adb: device '{serial}' not found", file=sys.stderr)
        return 1
    if states[serial] != "device":
        print(f"error: device {states[serial]}", file=sys.stderr)
        return 1
    if arguments[0] == "install":
        return install(scenario, arguments)
    if arguments[0] == "pull":
        return pull(*arguments[1:])
    if arguments[0] == "shell":
        return shell(scenario, shlex.split(" ".join(arguments[1:])))
    print(f"adb: unknown command {arguments[0]}", file=sys.stderr)
    return 1


def install(scenario: dict[str, Any], arguments: list[str]) -> int:
    assert arguments[1] == "-r"
    assert Path(arguments[2]).is_file()
    print("Performing Streamed Install")
    if scenario["install"] == "Success":
        print("Success")
        return 0
    code = 1 if scenario["install_exits_with"] is None else scenario["install_exits_with"]
    said = f"adb: failed to install {arguments[2]}: Failure [{scenario['install']}]"
    print(said, file=sys.stderr if code else sys.stdout)
    return code


def pull(remote: str, local: str) -> int:
    if not at(remote).is_file():
        print(f"adb: error: failed to stat remote object '{remote}': No such file or directory", file=sys.stderr)
        return 1
    shutil.copyfile(at(remote), local)
    print(f"{remote}: 1 file pulled, 0 skipped.")
    return 0


def shell(scenario: dict[str, Any], command: list[str]) -> int:
    path = HOME / "state.json"
    state = {"alive": False, "starts": 0, "looks": 0} | (json.loads(path.read_text()) if path.exists() else {})
    code = act(scenario, state, command)
    path.write_text(json.dumps(state))
    return code


def act(scenario: dict[str, Any], state: dict[str, Any], command: list[str]) -> int:
    match command:
        case ["am", "start", "-W", "-n", component, "--es", "run", token, *_]:
            if scenario["start"] != "ok":
                print(f"Starting: Intent {{ cmp={component} (has extras) }}", scenario["start"], sep="\n")
                return 0
            print(f"Starting: Intent {{ cmp={component} (has extras) }}", "Status: ok", "Complete", sep="\n")
            state |= {"alive": True, "starts": state["starts"] + 1, "looks": 0, "token": token,
                      "folder": f"/sdcard/Android/data/{component.partition('/')[0]}/files"}
            return 0
        case ["am", "force-stop", _]:
            state["alive"] = False
            return 0
        case ["pidof", _]:
            if state["alive"]:
                print("4711")
            return 0 if state["alive"] else 1
        case ["ls", folder]:
            state["looks"] += 1
            if state["alive"] and state["looks"] >= scenario["looks"]:
                finish(scenario, state)
            if not at(folder).is_dir():
                print(f"ls: {folder}: No such file or directory", file=sys.stderr)
                return 1
            print(*sorted(file.name for file in at(folder).iterdir()), sep="\n")
            return 0
        case ["cat", file]:
            print(at(file).read_text(), end="")
            return 0
        case ["rm", "-f", *names]:
            for name in names:
                at(name).unlink(missing_ok=True)
            return 0
    print(f"/system/bin/sh: {command[0]}: inaccessible or not found", file=sys.stderr)
    return 127


def finish(scenario: dict[str, Any], state: dict[str, Any]) -> None:
    """The app has come to its end: it dies, says why it failed, or writes its report."""
    state["alive"] = False
    if state["starts"] <= scenario["crashes"]:
        return
    folder = at(state["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    if scenario["error"] is not None:
        (folder / f"report-{state['token']}.error").write_text(scenario["error"])
    else:
        shutil.copyfile(HOME / "report.json", folder / f"report-{state['token']}.json")


def at(remote: str) -> Path:
    return HOME / "files" / remote.lstrip("/")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
