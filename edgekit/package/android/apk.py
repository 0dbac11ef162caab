"""A model file becomes a signed, installable APK."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.core import files
from edgekit.core.errors import OutputError, PackageError
from edgekit.package.android import app, archive, axml, fit, keys, sign, template
from edgekit.package.android.archive import DEFLATED, STORED, Entry
from edgekit.package.android.identity import DEFAULT_VERSION, Identity
from edgekit.package.checks import check_apart
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

MANIFEST = "AndroidManifest.xml"
MODEL_ALIGNMENT = 64  # of the model's body in its file, too: weights are used where they lie
# Stored: what is mapped from the archive (Android 11 demands it of resources.arsc), and what is compressed by itself.
_STORED = (".arsc", ".so", ".tflite", ".png", ".webp")


@dataclass(frozen=True)
class AndroidPackage:
    """A finished APK. `verdict` is pass, fail, inconclusive, stale or none, as the app will show it."""

    path: Path
    size: int
    app_id: str
    name: str
    version: str
    version_code: int
    abis: tuple[str, ...]
    certificate_sha256: str
    debug_key: bool
    model_sha256: str
    verdict: str
    runtime: str
    warnings: tuple[str, ...]


def package_android(
    model: str | Path,
    output: str | Path,
    *,
    app_id: str | None = None,
    name: str | None = None,
    icon: str | Path | None = None,
    version: str = DEFAULT_VERSION,
    abis: Sequence[str] = ("arm64-v8a",),
    keystore: str | Path | None = None,
    key_alias: str | None = None,
    ask_password: Callable[[], str] | None = None,
    ungated: bool = False,
) -> AndroidPackage:
    """Put a model into the Android app and sign it. The same inputs give the same bytes.

    Args:
        model: a `.tflite` file with a spec.
        output: the APK to write; its name ends in `.apk`.
        app_id: such as `com.example.birds`; None makes one of the model's file name.
        name: what stands below the app's icon; None takes the model's file name.
        icon: a picture, shown inside the app's icon.
        version: up to three numbers; see `identity.version_code`.
        abis: which native libraries to take: `arm64-v8a`, `armeabi-v7a`, `x86_64`, or `all`.
        keystore: a PKCS#12 keystore to sign with; None takes the user's debug key.
        key_alias: which of its keys.
        ask_password: gives the keystore's password; None takes the variable EDGEKIT_KEYSTORE_PASSWORD.
        ungated: package a model whose verdict is missing, stale or not `pass`.

    Raises:
        ModelFileError, SpecError, PackageError: the model cannot be packaged; the message says why.
        ImageError: the icon cannot be read.
        PackageError: an option is not possible, the key cannot be used, or the app's template is missing.
        OutputError: the APK cannot be written.
    """
    model, output = Path(model), Path(output)
    picture, store = (None if path is None else Path(path) for path in (icon, keystore))
    files.check_target(output)
    if output.suffix.lower() != ".apk":  # adb installs no other file, nor does Android's own installer offer to
        raise OutputError(f"{printable(str(output))} does not end in .apk.", "Name a file.apk with -o.")
    check_apart(output, (model, picture, store))
    made = app.prepare(model, app.Options(app_id, name, picture, version, ungated))
    chosen = app.chosen_abis(tuple(abis), made.template.facts)
    key = keys.debug_key() if store is None else keys.from_keystore(store, key_alias, ask_password or _password)
    with files.replacing(output) as part:
        _write(part, made, chosen, key)
    return AndroidPackage(
        path=output,
        size=output.stat().st_size,
        app_id=made.identity.app_id,
        name=made.identity.name,
        version=made.identity.version,
        version_code=made.identity.version_code,
        abis=chosen,
        certificate_sha256=key.fingerprint,
        debug_key=store is None,
        model_sha256=made.model.digest,
        verdict=made.model.verdict,
        runtime=made.template.facts.runtime,
        warnings=(*made.warnings, *fit.page_warnings(made.template.facts, chosen)),
    )


def manifest(content: bytes, who: Identity, base_id: str) -> bytes:
    """The template's compiled manifest with the id, name and version of an app.

    Content providers have names that are unique on a device: those that begin with the template's id get the app's.

    Raises:
        AxmlError: it is damaged, or no manifest of the template.
    """
    document = axml.Document(content)
    for element in document.elements:
        match element.path:
            case "manifest":
                document.set_string(element.required("package", namespace=""), who.app_id)
                document.set_string(element.required("versionName"), who.version)
                document.set_integer(element.required("versionCode"), who.version_code)
            case "manifest/application":
                document.set_string(element.required("label"), who.name)
            case "manifest/application/provider":
                authorities = element.required("authorities")
                renamed = [_renamed(one, base_id, who.app_id) for one in authorities.text.split(";")]
                document.set_string(authorities, ";".join(renamed))
    return document.to_bytes()


def _renamed(authority: str, base_id: str, app_id: str) -> str:
    return app_id + authority.removeprefix(base_id) if authority.startswith(f"{base_id}.") else authority


def _write(part: Path, made: app.App, abis: tuple[str, ...], key: keys.SigningKey) -> None:
    with modelfile.mapped(made.model.path) as model, part.open("w+b") as stream:
        directory, end = archive.write(stream, _entries(made, abis, model))
        stream.flush()
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped, memoryview(mapped) as contents:
            block, end = sign.signing_block(contents, directory, end, key)
        stream.seek(0, os.SEEK_END)
        stream.write(block + directory + end)


def _entries(made: app.App, abis: tuple[str, ...], model: memoryview) -> Iterator[Entry]:
    facts = made.template.facts
    names = set()
    for name, content in made.template.app():
        names.add(name)
        if name == MANIFEST:
            try:
                content = manifest(content, made.identity, facts.app_id)
            except axml.AxmlError as error:
                raise PackageError(f"The template's manifest is damaged: {error}.", template.remedy()) from error
        elif name == facts.icon:
            content = made.icon or content
        yield _entry(name, content)
    if not {MANIFEST, facts.icon} <= names:
        raise PackageError("The app's template lacks its manifest or icon.", template.remedy())
    yield _entry(app.VECTORS_ASSET, made.vectors)
    yield Entry(app.MODEL_ASSET, model, STORED, MODEL_ALIGNMENT)
    for abi in abis:
        for name, content in made.template.libraries(abi):
            yield Entry(name, content, STORED, archive.PAGE)


def _entry(name: str, content: bytes) -> Entry:
    return Entry(name, content, STORED if name.endswith(_STORED) else DEFLATED)


def _password() -> str:
    try:
        return os.environ[keys.PASSWORD_VARIABLE]
    except KeyError:
        raise PackageError("The keystore's password is needed.", f"Set {keys.PASSWORD_VARIABLE}.") from None
