"""Check Keras files before Keras sees them: `.keras` archives, HDF5 files, architecture JSON.

Keras' own `safe_mode` comes late (half of the file is read by then) and its bounds are in gigabytes. Here every size is
compared with the size of the file before anything of that size is read, and what would run code or reach outside of the
file is refused. Needs h5py and neither Keras nor TensorFlow. HDF5's own library crashes on some damaged
files, so this belongs into a child process as well (`edgekit.importers.keras_model` calls it there).

Sources: https://keras.io/api/models/model_saving_apis/, the HDF5 file format specification 3.0, and the advisories
CVE-2024-3660 (Lambda), CVE-2025-1550 and CVE-2025-8747 (classes and functions by module),
CVE-2025-9905 (Lambda in .h5), CVE-2026-0897 (dataset sizes).
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.importers import saved_model_scan
from edgekit.runtime import modelfile
from edgekit.runtime.spec import printable

MAX_CONFIG_BYTES = 32 << 20
MAX_CONFIG_DEPTH = 200  # levels of JSON; a model nested in a model takes four
MAX_MEMBERS = 1000
MAX_OBJECTS = 200_000
MAX_ATTRIBUTE_ITEMS = 100_000

CONFIG_MEMBER, WEIGHTS_MEMBER = "config.json", "model.weights.h5"
OWN_CLASS = "edgekit>FrozenGraph"
EXPORT_INSTEAD = ("Name its code with --custom-objects module:name (it is run), or export the model where its code is"
                  " (model.export), and import that SavedModel.")

# Layers whose configuration is a program, or names one.
_CODE_CLASSES = frozenset({"Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"})
# Layers of Keras 2 that call any function of TensorFlow by its name, and the functions that only compute.
_CALLS_TENSORFLOW = frozenset({"TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceMethod", "InstanceProperty"})
_COMPUTES = re.compile(r"(math|nn|linalg|__operators__)\.\w+|image\.(resize|crop_and_resize|per_image_standardization)|"
                       r"(add|subtract|multiply|divide|maximum|minimum|abs|cast|clip_by_value|concat|convert_to_tensor|"
                       r"expand_dims|identity|ones_like|pad|reduce_\w+|repeat|reshape|reverse|round|shape|sigmoid|split|"
                       r"sqrt|square|squeeze|stack|stop_gradient|strided_slice|tanh|tile|transpose|unstack|zeros_like)|"
                       r"compat\.v1\.(shape|transpose|squeeze|image\.resize_(bilinear|nearest_neighbor))")
# The parts of Keras that a model is made of; `keras.src` holds the same ones. Not: keras.utils, keras.saving, …
_KERAS_PACKAGES = frozenset({"keras", "tf_keras"})  # the latter is Keras 2, which goes on under that name
_KERAS_PARTS = frozenset({
    "activations", "constraints", "dtype_policies", "engine", "initializers", "layers", "losses", "metrics", "models",
    "ops", "optimizers", "quantizers", "random", "regularizers",
})
_POLICIES = [[f"{package}.mixed_precision", "Policy"] for package in _KERAS_PACKAGES]  # a layer's dtype
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_COMPLETE = "A model must be complete in one file."
_SAVE_AGAIN = "Save the model again, or get a complete copy of the file."


@dataclass(frozen=True)
class CheckedFile:
    """What a checked file is: `keras`, `h5` (a whole model), `json` (an architecture) or `weights` (HDF5).

    `config` is the model's configuration as parsed from JSON, empty for weights. `legacy` says that weights are in the
    layout of Keras 2's `.h5` files (by layer), or that a configuration does not name the modules of its classes.
    `custom` gives for each class or function that is not Keras' its name in the file and its plain name.
    """

    kind: str
    config: dict[str, Any]
    legacy: bool
    custom: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Allowed:
    code: bool
    custom: frozenset[str]


def check_model(path: Path, *, allow_lambda: bool = False, custom: Collection[str] = ()) -> CheckedFile:
    """Check a `.keras`, `.h5`/`.hdf5` or JSON file; what it is is told by its content.

    Args:
        allow_lambda: accept Lambda layers and the others that run code from the file.
        custom: plain names of classes and functions that are not Keras', and whose code the user has named.

    Raises:
        ImportRefused: code in the file, classes that are not Keras', links to other files, implausible sizes.
        ModelFileError: not such a file, or damaged.
    """
    name, allowed = printable(str(path)), _Allowed(allow_lambda, frozenset(custom))
    with _opened(path, name) as stream:
        head = stream.read(512)
        stream.seek(0)
        size = path.stat().st_size
        if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            return _check_archive(stream, size, name, allowed)
        if head[:8] == _HDF5_MAGIC:
            return _check_hdf5(stream, size, name, allowed)
        if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
            if size > MAX_CONFIG_BYTES:
                raise ImportRefused(f"{name} is larger than {MAX_CONFIG_BYTES >> 20} MB; no architecture is.")
            config = _parse(stream.read(), name)
            found = _check_config(config, name, allowed)
            return CheckedFile("json", config, "module" not in config, found)
    raise ModelFileError(f"{name} is not a Keras model: neither a .keras archive, nor HDF5, nor JSON.",
                         "Name a .keras or .h5 file, or the JSON of an architecture.")


def check_weights(path: Path) -> CheckedFile:
    """Check an HDF5 file that weights are to be read from; a whole model serves, too.

    Raises:
        ImportRefused, ModelFileError: as `check_model`.
    """
    name = printable(str(path))
    with _opened(path, name) as stream:
        if stream.read(8) != _HDF5_MAGIC:
            raise ModelFileError(f"{name} does not hold weights: it is not an HDF5 file.",
                                 "Name a .weights.h5 or .h5 file with --weights.")
        stream.seek(0)
        return _weights(*_walk_hdf5(stream, path.stat().st_size, name))


def _opened(path: Path, name: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ModelFileError(f"{name} does not exist.") from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {name}: {error.strerror}.") from error


# --- the .keras archive


def _check_archive(stream: IO[bytes], size: int, name: str, allowed: _Allowed) -> CheckedFile:
    try:
        with zipfile.ZipFile(stream) as archive:
            _check_members(archive.infolist(), size, name)
            config = _parse(_content(archive, CONFIG_MEMBER), name)
            custom = _check_config(config, name, allowed)
            weights = _content(archive, WEIGHTS_MEMBER)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelFileError(f"{name} is a damaged .keras archive: {_line(error)}.", _SAVE_AGAIN) from error
    if weights[:8] != _HDF5_MAGIC:
        raise ModelFileError(f"{name} is damaged: its {WEIGHTS_MEMBER} is not an HDF5 file.", _SAVE_AGAIN)
    _walk_hdf5(io.BytesIO(weights), len(weights), f"{name} ({WEIGHTS_MEMBER})")
    return CheckedFile("keras", config, legacy=False, custom=custom)


def _content(archive: zipfile.ZipFile, member: str) -> bytes:
    return b"".join(modelfile.unpack(archive, archive.getinfo(member)))


def _check_members(members: list[zipfile.ZipInfo], size: int, name: str) -> None:
    names = [member.filename for member in members]
    if len(members) > MAX_MEMBERS:
        raise ImportRefused(f"{name} has {len(members)} members; a .keras archive has a handful.")
    if len(set(names)) < len(names):
        twice = next(member for member in names if names.count(member) > 1)
        raise ImportRefused(f"{name} has the member {printable(twice)[:100]!r} twice.", _SAVE_AGAIN)
    for inside in names:
        if inside.startswith("/") or "\\" in inside or ".." in inside.split("/"):
            raise ImportRefused(f"{name} has a member with the path {printable(inside)[:100]!r}.")
    for required in (CONFIG_MEMBER, WEIGHTS_MEMBER):
        if required not in names:
            raise ModelFileError(f"{name} is not a .keras archive: it has no {required}.",
                                 "Save the model with Keras 3 (model.save with a name that ends in .keras).")
    if sum(member.compress_size for member in members) > size:
        raise ModelFileError(f"{name} is a damaged .keras archive: its members overlap.", _SAVE_AGAIN)
    _check_unpacked(sum(member.file_size for member in members), size, name)
    for member in members:
        if member.compress_type not in modelfile.COMPRESSION:
            raise ImportRefused(f"{name} has the member {printable(member.filename)[:100]!r} compressed in a way that "
                                "Keras does not use.", _SAVE_AGAIN)
        if member.filename == CONFIG_MEMBER and member.file_size > MAX_CONFIG_BYTES:
            raise ImportRefused(f"{name} has a {member.filename} of more than {MAX_CONFIG_BYTES >> 20} MB.")


def _check_unpacked(unpacked: int, size: int, name: str) -> None:
    if unpacked > modelfile.unpacked_limit(size):
        raise ImportRefused(f"{name} is {size:,} bytes and claims to unpack to {unpacked:,}; no model does that.")


# --- HDF5


def _check_hdf5(stream: IO[bytes], size: int, name: str, allowed: _Allowed) -> CheckedFile:
    root, groups = _walk_hdf5(stream, size, name)
    config = root.get("model_config")
    if config is None:
        return _weights(root, groups)
    if not isinstance(config, (str, bytes)) or "model_weights" not in groups:
        raise ModelFileError(f"{name} is damaged: its model_config or its model_weights are missing.", _SAVE_AGAIN)
    if len(config) > MAX_CONFIG_BYTES:
        raise ImportRefused(f"{name} has a model_config of more than {MAX_CONFIG_BYTES >> 20} MB.")
    parsed = _parse(config, name)
    return CheckedFile("h5", parsed, legacy=True, custom=_check_config(parsed, name, allowed))


def _weights(root: dict[str, Any], groups: set[str]) -> CheckedFile:
    legacy = bool(root.keys() & {"layer_names", "layer_names0"}) or "model_weights" in groups
    return CheckedFile("weights", {}, legacy)


def _walk_hdf5(stream: IO[bytes], size: int, name: str) -> tuple[dict[str, Any], set[str]]:
    """Check every object and attribute in an HDF5 file.

    Returns:
        The attributes of the root that say what the file is, and the names of the root's groups.
    """
    import h5py

    try:
        with h5py.File(stream, "r") as file:
            declared = objects = 0
            seen = set()
            waiting = [(file, "")]
            while waiting:
                item, place = waiting.pop()
                _check_attributes(item, place, size, name)
                if isinstance(item, h5py.Dataset):
                    declared += _dataset_bytes(item, place, name)
                    _check_unpacked(declared, size, name)
                    continue
                for key in item:
                    objects += 1
                    if objects > MAX_OBJECTS:
                        raise ImportRefused(f"{name} has more than {MAX_OBJECTS} objects.")
                    child = _linked(item, key, f"{place}/{key}", name)
                    address = h5py.h5o.get_info(child.id).addr
                    if address not in seen:
                        seen.add(address)
                        waiting.append((child, f"{place}/{key}"))
            told = ("model_config", "layer_names", "layer_names0")
            return {key: file.attrs[key] for key in told if key in file.attrs}, set(file)
    except EdgekitError:
        raise
    except Exception as error:  # h5py passes on whatever HDF5 finds, as any of a dozen classes
        raise ModelFileError(f"{name} is a damaged HDF5 file: {_line(error)}.", _SAVE_AGAIN) from error


def _linked(group: Any, key: str, place: str, name: str) -> Any:
    import h5py

    link = group.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink):
        raise ImportRefused(f"{name} links to another file: {printable(place)[:100]!r} is in "
                            f"{printable(str(link.filename))[:100]!r}.", _COMPLETE)
    if not isinstance(link, h5py.HardLink):
        raise ImportRefused(f"{name} has a symbolic link at {printable(place)[:100]!r}; Keras writes none.")
    child = group[key]
    if not isinstance(child, (h5py.Group, h5py.Dataset)):
        raise ImportRefused(f"{name} has something else than groups and arrays at {printable(place)[:100]!r}.")
    return child


def _dataset_bytes(dataset: Any, place: str, name: str) -> int:
    """The size that an array claims to have, without reading it."""
    where = printable(place)[:100]
    if dataset.external:
        outside = printable(str(dataset.external[0][0]))[:100]
        raise ImportRefused(f"{name} keeps the array {where!r} in another file: {outside!r}.", _COMPLETE)
    if dataset.is_virtual:
        raise ImportRefused(f"{name} has a virtual array at {where!r}, which may lie in other files.", _COMPLETE)
    if dataset.dtype.kind not in "biufcSV" or dataset.dtype.names:
        raise ImportRefused(f"{name} has an array of the type {printable(str(dataset.dtype))[:50]} at {where!r};"
                            " weights are numbers.")
    return math.prod(dataset.shape or ()) * int(dataset.dtype.itemsize)


def _check_attributes(item: Any, place: str, size: int, name: str) -> None:
    for key in item.attrs:
        attribute = item.attrs.get_id(key)
        items = math.prod(attribute.shape)
        if items > MAX_ATTRIBUTE_ITEMS or items * attribute.dtype.itemsize > max(size, MAX_CONFIG_BYTES):
            raise ImportRefused(f"{name} has an attribute {printable(f'{place}/{key}')[:100]!r} of {items:,} entries.")


# --- the configuration


def _parse(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        raise ModelFileError(f"{name} is damaged: its configuration is not valid JSON ({_line(error)}).",
                             _SAVE_AGAIN) from None
    if not isinstance(config, dict):
        raise ModelFileError(f"{name} is not a Keras model: its JSON is not an object.")
    return config


def _check_config(config: dict[str, Any], name: str, allowed: _Allowed) -> dict[str, str]:
    """Refuse a configuration with code or with classes that are not Keras', but for those that are allowed.

    The model's own `compile_config` (losses, metrics, optimizer) is left out: models are loaded without it.

    Returns:
        See `CheckedFile.custom`.
    """
    if not isinstance(config.get("class_name"), str) or "config" not in config:
        raise ModelFileError(f"{name} is not a Keras model: its configuration names no class.",
                             "Name a file written by model.save or model.to_json.")
    custom = {}
    for entry in _objects({key: value for key, value in config.items() if key != "compile_config"}, name):
        if "class_name" in entry:
            custom.update(_check_class(entry, name, allowed))
    return custom


def _objects(config: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    waiting: list[tuple[Any, int]] = [(config, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_CONFIG_DEPTH:
            raise _too_deep(name)
        if isinstance(value, dict):
            yield value
            waiting += [(child, depth + 1) for child in value.values()]
        elif isinstance(value, list):
            waiting += [(child, depth + 1) for child in value]


def _check_class(entry: dict[str, Any], name: str, allowed: _Allowed) -> dict[str, str]:
    class_name, module, registered = (entry.get(key) for key in ("class_name", "module", "registered_name"))
    names = [value for value in (class_name, registered) if isinstance(value, str)]
    if {value.rpartition(">")[2] for value in names} & _CODE_CLASSES or _is_code_of_keras_1(entry):
        if not allowed.code:
            raise ImportRefused(f"{name} has a layer that runs code from the file: {_told(entry)}.",
                                "Only for files you trust: --allow-lambda accepts it.")
        return {}
    if (class_name, registered) == ("FrozenGraph", OWN_CLASS) or [module, class_name] in _POLICIES:
        return {}
    if custom := _custom(entry, allowed):
        return custom
    if not isinstance(class_name, str) or any(">" in value for value in names) or not _is_keras(module):
        raise ImportRefused(f"{name} uses a class that is not part of Keras: {_told(entry)}.", EXPORT_INSTEAD)
    if _calls_more_than_arithmetic(entry):
        raise ImportRefused(f"{name} has a layer that calls a function of TensorFlow which may do more than compute:"
                            f" {_told(entry)}.", "Export the model where it was made (model.export), and import that.")
    return {}


def _is_code_of_keras_1(entry: dict[str, Any]) -> bool:
    """Whether this is a Merge layer whose mode is a program."""
    config = entry.get("config")
    return entry["class_name"] == "Merge" and isinstance(config, dict) and (
        config.get("mode_type") == "lambda" or not isinstance(config.get("mode", ""), str))


def _custom(entry: dict[str, Any], allowed: _Allowed) -> dict[str, str]:
    """The names of an allowed foreign object as in `CheckedFile.custom`; empty when it is none."""
    class_name, config = entry["class_name"], entry.get("config")
    told = config if class_name == "function" else class_name
    if not isinstance(told, str) or told.rpartition(">")[2] not in allowed.custom:
        return {}
    plain, registered = told.rpartition(">")[2], entry.get("registered_name")
    return {key: plain for key in (told, registered) if isinstance(key, str)}


def _calls_more_than_arithmetic(entry: dict[str, Any]) -> bool:
    """Whether a layer of Keras 2 that stands for an operation of TensorFlow names one that is not known to be pure."""
    class_name, config = entry["class_name"], entry.get("config")
    if class_name in _CALLS_TENSORFLOW:
        function = config.get("function") if isinstance(config, dict) else None
        return not (isinstance(function, str) and _COMPUTES.fullmatch(function))
    if class_name == "TensorFlowOpLayer":
        node = config.get("node_def") if isinstance(config, dict) else None
        try:
            operator = json.loads(node)["op"] if isinstance(node, str) else None
        except (ValueError, KeyError, TypeError, RecursionError):
            operator = None
        return not isinstance(operator, str) or saved_model_scan.is_refused(operator)
    return False


def _is_keras(module: object) -> bool:
    """Whether a configuration's `module` is a part of Keras that models are made of; older files name none."""
    if module in (None, "keras", "tf_keras", "builtins"):
        return True
    if not isinstance(module, str):
        return False
    package, *parts = module.split(".")
    if parts[:1] == ["src"]:
        parts = parts[1:]
    return package in _KERAS_PACKAGES and parts[:1] != [] and parts[0] in _KERAS_PARTS


def _told(entry: dict[str, Any]) -> str:
    """The class of a configuration entry for a message: module, class, and the layer's name if it has one."""
    module, class_name, inner = entry.get("module"), entry.get("class_name"), entry.get("config")
    told = f"{module}.{class_name}" if isinstance(module, str) and module != "builtins" else str(class_name)
    layer = inner.get("name") if isinstance(inner, dict) else inner if class_name == "function" else None
    return printable(f"{told[:100]} ({layer[:60]!r})" if isinstance(layer, str) else told[:100])


def _too_deep(name: str) -> ImportRefused:
    return ImportRefused(f"{name} has a configuration nested more than {MAX_CONFIG_DEPTH} levels deep.")


def _line(error: BaseException) -> str:
    """The first line of an error's message, without its full stop."""
    lines = str(error).strip().splitlines()
    return printable(lines[0])[:200].rstrip(".") if lines else type(error).__name__
