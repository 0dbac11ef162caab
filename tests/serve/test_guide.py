"""The commands in docs/guides/rest.md work as printed, but for the numbers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.serve.conftest import command

if TYPE_CHECKING:
    from tests.conftest import Needs

ROOT = Path(__file__).resolve().parents[2]


def commands() -> list[tuple[str, list[str]]]:
    """Each command of the guide that asks the server, with the lines that it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"```console\n(.*?)```", (ROOT / "docs/guides/rest.md").read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return [(said, printed) for said, printed in found if "curl" in said]


def shape_of(value: Any) -> Any:
    """A JSON document without its numbers, texts and lengths."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])] if value else []
    return type(value).__name__


def test_what_the_guide_asks_is_answered_as_it_says(needs: Needs, served: Path, tmp_path: Path) -> None:
    """With other models under the guide's names, so that nothing has to be built for it."""
    needs.program("curl", apt="curl")
    for picture in ("efficientnet_lite0/cat.jpg", "digits/seven.png"):
        (tmp_path / "models" / picture).parent.mkdir(parents=True)
        shutil.copy(ROOT / "models" / picture, tmp_path / "models" / picture)
    with command(f"photos={served / 'fixed.tflite'}", f"digits.int8={served / 'fixed.tflite'}") as running:
        asked = commands()
        assert len(asked) >= 8
        for said, expected in asked:
            here = said.replace("localhost:8000", f"localhost:{running.port}")
            done = subprocess.run(["bash", "-c", here], cwd=tmp_path, capture_output=True, text=True, check=True)
            printed = done.stdout.splitlines()
            if "/metrics" in said:
                assert [re.sub("[0-9.]+$", "", line) for line in printed] == [
                    re.sub("[0-9.]+$", "", line) for line in expected
                ]
            else:
                assert shape_of(json.loads(printed[0])) == shape_of(json.loads(expected[0])), said
