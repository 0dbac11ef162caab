"""edgekit: train or import a Keras model, convert and quantize it, and prove that it still answers the same.

The public API. Each name is imported when it is first used, so that `import edgekit` costs nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgekit.convert.run import convert
    from edgekit.importers.keras_interpreter import open_classifier as load
    from edgekit.importers.run import import_model
    from edgekit.optimize.run import optimize
    from edgekit.package.android.apk import package_android
    from edgekit.train.fit import train
    from edgekit.validate.run import validate

__all__ = ["__version__", "convert", "import_model", "load", "optimize", "package_android", "train", "validate"]

__version__ = "0.1.0"

_PUBLIC = {
    "convert": ("edgekit.convert.run", "convert"),
    "import_model": ("edgekit.importers.run", "import_model"),
    "load": ("edgekit.importers.keras_interpreter", "open_classifier"),
    "optimize": ("edgekit.optimize.run", "optimize"),
    "package_android": ("edgekit.package.android.apk", "package_android"),
    "train": ("edgekit.train.fit", "train"),
    "validate": ("edgekit.validate.run", "validate"),
}


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgekit' has no attribute '{name}'")
    from importlib import import_module

    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


class _Package(ModuleType):
    """This package. Four rooms have the name of the public function that is their entry.

    When Python imports such a room it sets it as an attribute here, which would hide the function from
    then on: `edgekit.convert` would depend on what was imported before. So that attribute is not set. The
    room itself is found through `sys.modules`: `from edgekit.convert import run` works.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _PUBLIC or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
