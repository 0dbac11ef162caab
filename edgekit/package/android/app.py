"""From the user's options to everything that an app is made of, checked, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.core.errors import PackageError
from edgekit.package import camera_vectors
from edgekit.package.android import fit, icon, template
from edgekit.package.android.identity import DEFAULT_VERSION, Identity, identity
from edgekit.package.checks import CheckedModel, check_model
from edgekit.runtime.spec import printable

MODEL_ASSET = "assets/model.tflite"
VECTORS_ASSET = "assets/camera_vectors.json"


@dataclass(frozen=True)
class Options:
    """What the user says about an app; see `edgekit.package.android.identity` for what is not said."""

    app_id: str | None = None
    name: str | None = None
    icon: Path | None = None
    version: str = DEFAULT_VERSION
    ungated: bool = False


@dataclass(frozen=True)
class App:
    """An app that can be written. `icon` is a PNG file, None to keep the template's."""

    model: CheckedModel
    identity: Identity
    icon: bytes | None
    vectors: bytes
    template: template.Template
    warnings: tuple[str, ...]


def prepare(model: Path, options: Options, *, project: bool = False) -> App:
    """Check the options, the template and the model; a project's runtime may be too old for it, see `fit`.

    Raises:
        EdgekitError: one of them makes no app; nothing was written.
    """
    opened = template.Template(template.PATH)
    who = identity(model, opened.facts.app_id, options.app_id, options.name, options.version)
    checked = check_model(model, ungated=options.ungated)
    warnings = fit.check_runs(checked, opened.facts, project=project)
    if not checked.spec.golden:
        warnings.append(
            f"{printable(model.name)} carries no golden answers, so the app cannot check the phone with it; "
            "edgekit validate --stamp writes them."
        )
    picture = None if options.icon is None else icon.foreground(options.icon)
    return App(checked, who, picture, camera_vectors.document(checked.spec), opened, tuple(warnings))


def chosen_abis(wanted: tuple[str, ...], facts: template.Facts) -> tuple[str, ...]:
    """The ABIs of a package in the template's order; `all` is each that it has.

    Raises:
        PackageError: the template does not have one of them, or none is wanted.
    """
    known = facts.abis
    for abi in wanted:
        if abi != "all" and abi not in known:
            raise PackageError(f"The app has no ABI {printable(abi)[:40]!r}.", f"Choose from {', '.join(known)}, all.")
    chosen = known if "all" in wanted else tuple(abi for abi in known if abi in wanted)
    if not chosen:
        raise PackageError("The app needs an ABI.", f"Choose from {', '.join(known)}, all.")
    return chosen
