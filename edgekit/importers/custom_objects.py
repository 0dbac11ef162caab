"""Classes and functions that a model needs and that are not Keras': `--custom-objects module:name`.

Importing them runs their author's code, so they are imported only when named, and only in a child process.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import printable

_FORM = "Write module:name, as in --custom-objects my_layers:Mish, or path/my_layers.py:Mish."


@dataclass(frozen=True)
class Reference:
    """One object: a module, as Python names it or as the path of a `.py` file, and the object's name in it."""

    module: str
    name: str

    def __str__(self) -> str:
        return printable(f"{self.module}:{self.name}")[:200]


def parse(texts: Sequence[str]) -> tuple[Reference, ...]:
    """The objects in "module:name,module:name", without importing anything.

    Raises:
        EdgekitError: not of that form, or one name twice.
    """
    found: list[Reference] = []
    for part in ",".join(texts).split(",") if texts else ():
        module, _, name = part.strip().rpartition(":")
        if not module or not name.isidentifier():
            raise EdgekitError(f"--custom-objects {printable(part.strip())!r} names no object.", _FORM)
        reference = Reference(module, name)
        if any(other.name == name and other != reference for other in found):
            raise EdgekitError(f"--custom-objects names {printable(name)} in two modules.", "Name the one to use.")
        if reference not in found:
            found.append(reference)
    return tuple(found)


def load(references: Sequence[Reference]) -> dict[str, Any]:
    """Import the objects, from the current folder or wherever Python finds their modules; by name.

    Raises:
        EdgekitError: a module or a name is missing, is neither class nor function, or the code raises.
    """
    if references and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # at the end: a file of theirs called json.py must not take the place of Python's
    return {reference.name: _load(reference) for reference in references}


def _load(reference: Reference) -> Any:
    option = f"--custom-objects {reference}"
    try:
        module = _from_file(reference, option) if reference.module.endswith(".py") else (
            importlib.import_module(reference.module))
    except EdgekitError:
        raise
    except ModuleNotFoundError as error:
        missing = printable(str(error.name))[:100]
        if reference.module == error.name or reference.module.startswith(f"{error.name}."):
            raise EdgekitError(f"{option}: there is no module {missing} here or among the installed packages.",
                               "Run edgekit in its folder, or name its path, as in path/my_layers.py:Mish.") from error
        raise EdgekitError(f"{option}: its module needs {missing}, which is not installed.",
                           "Install what that code needs.") from error
    except (Exception, SystemExit) as error:
        told = printable((str(error).strip().splitlines() or [""])[0])[:200]
        raise EdgekitError(f"{option}: importing its module raised {type(error).__name__}: {told}.",
                           "Let that module only define its layers and functions.") from error
    if not hasattr(module, reference.name):
        raise EdgekitError(f"{option}: that module has no {printable(reference.name)}.", _FORM)
    found = getattr(module, reference.name)
    if not callable(found):
        raise EdgekitError(f"{option} is neither a class nor a function.", _FORM)
    return found


def _from_file(reference: Reference, option: str) -> Any:
    path = Path(reference.module)
    if not path.is_file():
        raise EdgekitError(f"{option}: the file {printable(str(path))} does not exist.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise EdgekitError(f"{option}: {printable(str(path))} is not a Python file.", _FORM)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    sys.path.append(str(path.resolve().parent))  # for what it imports from beside itself
    spec.loader.exec_module(module)
    return module
