"""What dx cannot turn into working code: it would accept it, and the application would fail on the phone."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from android_demo.tools.errors import ToolError

JAVA_8 = 52
UTF8, LONG, DOUBLE, DYNAMIC, INVOKE_DYNAMIC = 1, 5, 6, 17, 18
# Bytes of a constant after its tag (The Java Virtual Machine Specification, 4.4).
SIZES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2}


def check_for_dx(paths: Iterable[Path]) -> None:
    """Refuse lambdas and method references, and classes newer than Java 8.

    Android has no LambdaMetafactory, which a lambda's invokedynamic calls; D8 would rewrite it, dx does not.

    Args:
        paths: folders of classes, and jars.

    Raises:
        ToolError: naming the classes.
    """
    found = [f"{name}: {why}" for path in paths for name, content in _classes(path) if (why := _problem(content))]
    if found:
        listed = "\n".join(f"  {line}" for line in found)
        raise ToolError(f"These classes would fail on Android:\n{listed}", "Write an anonymous class instead.")


def _problem(content: bytes) -> str:
    major, constants = struct.unpack_from(">HH", content, 6)
    if major > JAVA_8:
        return f"made for Java {major - 44}"
    position, number = 10, 1
    while number < constants:
        tag = content[position]
        if tag in (DYNAMIC, INVOKE_DYNAMIC):
            return "a lambda or method reference"
        if tag == UTF8:
            position += 2 + int.from_bytes(content[position + 1 : position + 3])
        else:
            position += SIZES[tag]
        position += 1
        number += 2 if tag in (LONG, DOUBLE) else 1  # these take two numbers
    return ""


def _classes(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.is_dir():
        for file in sorted(path.rglob("*.class")):
            yield file.relative_to(path).as_posix(), file.read_bytes()
    else:
        with zipfile.ZipFile(path) as jar:
            for name in jar.namelist():
                if name.endswith(".class"):
                    yield name, jar.read(name)
