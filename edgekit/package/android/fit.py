"""Whether the app's runtime can run a model, and answers rightly."""

from __future__ import annotations

from edgekit.core import tflite_runtimes
from edgekit.core.errors import PackageError
from edgekit.package.android.template import Facts
from edgekit.package.checks import CheckedModel
from edgekit.runtime.spec import printable

LARGE_PAGE = 16384
_WITH_LARGE_PAGES = ("arm64-v8a", "x86_64")  # 32-bit systems have pages of 4 KB
NEWER = "make android RUNTIME=VERSION, or --project"
NEWER_IN_PROJECT = "in gradle/libs.versions.toml"


def check_runs(model: CheckedModel, facts: Facts, *, project: bool = False) -> list[str]:
    """Refuse a model that the runtime in the template cannot run, or runs wrongly; gives warnings.

    Args:
        model: the model.
        facts: about the template.
        project: a missing operator is a warning, since a project is where one takes another runtime.

    Raises:
        PackageError: the message names the operator and its version, or what goes wrong.
    """
    name, runtime = printable(model.path.name), f"TensorFlow Lite {facts.runtime}"
    if not tflite_runtimes.is_known(facts.runtime):
        return [f"Which operators {runtime} can run is not known here; the app's self-test will tell."]
    if (unfit := tflite_runtimes.unfit(model.path, facts.runtime)) is not None:
        again = f"--quantize {unfit.setting}, or float16" if unfit.setting else "--quantize float16"
        raise PackageError(
            f"{name} has {unfit.what}; the app's runtime, {runtime}, {unfit.does} it.",
            f"Convert the model again: edgekit convert SOURCE {again}.",
        )
    if (newer := tflite_runtimes.too_new(model.path, facts.runtime)) is not None:
        found, known = newer
        missing = f"{name} uses {found}; the app's runtime, {runtime}, {known}."
        if project:
            return [f"{missing} Take a newer one {NEWER_IN_PROJECT}."]
        raise PackageError(
            missing, f"Convert it again with edgekit convert, or build the app with a newer runtime: {NEWER}."
        )
    return []


def page_warnings(facts: Facts, abis: tuple[str, ...], *, project: bool = False) -> list[str]:
    """A warning where the native libraries of an ABI are not made for pages of 16 KB."""
    small = [abi for abi in abis if abi in _WITH_LARGE_PAGES and facts.page_size.get(abi, 0) < LARGE_PAGE]
    if not small:
        return []
    return [
        f"The native libraries of TensorFlow Lite {facts.runtime} ({', '.join(small)}) are made for memory pages of "
        "4 KB; the app may not run on devices with pages of 16 KB. For these, take a newer runtime"
        f"{f' {NEWER_IN_PROJECT}' if project else f': {NEWER}'}."
    ]
