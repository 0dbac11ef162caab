"""Hostile and damaged Keras files and SavedModels: each is refused in a line or two, and left as it was."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edgekit.core import child
from edgekit.core.errors import ChildCrashed, ChildLimit, EdgekitError, ImportRefused, ModelFileError
from edgekit.core.files import sha256
from edgekit.importers import keras_checks
from tests.attacks import keras_files as make

if TYPE_CHECKING:
    from tests.conftest import Needs

GOOD = make.sequential(make.dense())


@pytest.fixture(autouse=True)
def _needs_keras(needs: Needs) -> None:
    needs.module("h5py", "pip install 'edgekit[keras]'")
    needs.module("keras", "pip install 'edgekit[keras]'")


def nested(depth: int) -> str:
    return '{"class_name": "Sequential", "config": ' + '{"a": ' * depth + "1" + "}" * (depth + 1)


def inside(config: make.Config) -> make.Config:
    """A layer in a wrapper in a model in the model."""
    wrapped = make.layer("TimeDistributed", {"name": "each", "layer": config})
    return make.sequential(make.sequential(wrapped), make.dense())


def lambda_in_h5(marker: Path) -> make.Config:
    """As Keras 2 writes a Lambda: a list of code, defaults and closure."""
    config = make.lambda_layer(marker)
    code = config["config"]["function"]["config"]["code"]
    old = {"class_name": "Lambda", "config": {"name": "sly", "function": [code, None, None], "function_type": "lambda"}}
    good = make.keras2(GOOD)
    good["config"]["layers"].append(old)
    return good


def keras_1_merge(config: make.Config) -> make.Config:
    good = make.keras2(GOOD)
    good["config"]["layers"].append({"class_name": "Merge", "config": {"name": "sly", **config}})
    return good


def operation(class_name: str, **config: Any) -> make.Config:
    """A layer of tf.keras 2 that stands for an operation of TensorFlow."""
    good = make.keras2(GOOD)
    good["config"]["layers"].append({"class_name": class_name, "config": {"name": "sly", **config}})
    return good


def external_link(file: Any) -> None:
    import h5py

    file["layers/extra"] = h5py.ExternalLink("/etc/secrets.h5", "/key")


def soft_link(file: Any) -> None:
    import h5py

    file["layers/extra"] = h5py.SoftLink("/layers/dense")


def external_storage(file: Any) -> None:
    file.create_dataset("extra", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(file: Any) -> None:
    import h5py

    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("/etc/secrets.h5", "key", shape=(4,))
    file.create_virtual_dataset("extra", layout)


def ten_terabytes(file: Any) -> None:
    file.create_dataset("extra", (10 * 2**40 // 4,), "f4", chunks=(1024,), compression="gzip")


def strings(file: Any) -> None:
    import h5py

    file.create_dataset("extra", (2,), h5py.string_dtype())


def loop(file: Any) -> None:
    file["layers/again"] = file["layers"]


def bomb(path: Path) -> Path:
    return make.write_keras(path, GOOD, extra={"assets/zeros": bytes(100 << 20)}, compression=zipfile.ZIP_DEFLATED)


def bzip2(path: Path) -> Path:
    return make.write_keras(path, GOOD, compression=zipfile.ZIP_BZIP2)


def weights_longer_than_said(path: Path) -> Path:
    make.write_keras(path, GOOD, bytes(60 << 20), compression=zipfile.ZIP_DEFLATED)
    data = bytearray(path.read_bytes())
    entry = data.index(b"model.weights.h5", data.index(b"PK\x01\x02")) - 46
    data[entry + 24 : entry + 28] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def twice(path: Path) -> Path:
    make.write_keras(path, GOOD)
    evil = json.dumps(make.sequential(make.lambda_layer(path)))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(zipfile.ZipInfo("config.json", (1980, 1, 1, 0, 0, 0)), evil)
    return path


def lying_size(path: Path) -> Path:
    """The directory of the archive says that the configuration is 60 MB long; it is not."""
    make.write_keras(path, GOOD)
    data = bytearray(path.read_bytes())
    entry = data.index(b"config.json", data.index(b"PK\x01\x02")) - 46
    data[entry + 24 : entry + 28] = (60 << 20).to_bytes(4, "little")
    path.write_bytes(data)
    return path


def truncated(path: Path) -> Path:
    content = make.write_keras(path, GOOD).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def wrong_crc(path: Path) -> Path:
    content = make.write_keras(path, GOOD).read_bytes()
    path.write_bytes(content.replace(b'"units": 2', b'"units": 3', 1))
    return path


def truncated_h5(path: Path) -> Path:
    content = make.write_h5(path, make.keras2(GOOD)).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def large_attribute(path: Path) -> Path:
    import h5py

    with h5py.File(path, "w", libver="latest") as file:  # the older format has no room for it
        file.attrs["a"] = np.zeros(100_001, "S1")
    return path


def renamed_png(path: Path) -> Path:
    header = b"IHDR" + bytes.fromhex("00000001000000010800000000")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + len(header[4:]).to_bytes(4, "big") + header
                     + zlib.crc32(header).to_bytes(4, "big"))
    return path


def only(path: Path, member: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member), b"{}")
    return path


def as_keras(config: make.Config | str) -> Callable[[Path], Path]:
    return lambda path: make.write_keras(path, config)


def in_weights(edit: make.Edit) -> Callable[[Path], Path]:
    return lambda path: make.write_keras(path, GOOD, make.weights(edit))


def in_h5(edit: make.Edit) -> Callable[[Path], Path]:
    return lambda path: make.write_h5(path, make.keras2(GOOD), edit)


def foreign(module: str, class_name: str, registered: str | None = None) -> Callable[[Path], Path]:
    return as_keras(make.sequential(make.layer(class_name, {"name": "it"}, module, registered)))


REFUSED: dict[str, tuple[Callable[[Path], Path], type[EdgekitError], str]] = {
    # code
    "lambda": (
        lambda p: make.write_keras(p, make.sequential(make.lambda_layer(p))), ImportRefused, r"Lambda \('sly'\)"),
    "nested lambda": (lambda p: make.write_keras(p, inside(make.lambda_layer(p))), ImportRefused, r"Lambda \('sly'\)"),
    "lambda by registered name": (foreign("keras.layers", "Dense", "Mine>Lambda"), ImportRefused, "runs code"),
    "python lambda as activation": (
        lambda p: make.write_keras(p, make.sequential(make.layer("Dense", {
            "name": "it", "units": 2, "activation": make.lambda_layer(p)["config"]["function"]}))),
        ImportRefused, "runs code from the file: __lambda__"),
    "lambda in h5": (lambda p: make.write_h5(p, lambda_in_h5(p)), ImportRefused, r"Lambda \('sly'\)"),
    "layer that loads a SavedModel": (foreign("keras.layers", "TFSMLayer"), ImportRefused, r"keras\.layers\.TFSMLayer"),
    "lambda as a Merge of Keras 1": (
        lambda p: make.write_h5(p, keras_1_merge({"mode": ["4wAA", None, None], "mode_type": "lambda"})),
        ImportRefused, r"runs code from the file: Merge \('sly'\)"),
    "lambda as a Merge that says it is none": (
        lambda p: make.write_h5(p, keras_1_merge({"mode": ["4wAA", None, None], "mode_type": "raw"})),
        ImportRefused, r"runs code from the file: Merge \('sly'\)"),
    "operation of TensorFlow that writes": (
        lambda p: make.write_h5(p, operation("TFOpLambda", function="io.write_file")),
        ImportRefused, r"may do more than compute: TFOpLambda \('sly'\)"),
    "operation of TensorFlow in another module": (
        lambda p: make.write_h5(p, operation("SlicingOpLambda", function="math.add.__globals__")),
        ImportRefused, "may do more than compute"),
    "operation of TensorFlow without a name": (
        lambda p: make.write_h5(p, operation("TFOpLambda", function=["math.add"])),
        ImportRefused, "may do more than compute"),
    "method of TensorFlow": (
        lambda p: make.write_h5(p, operation("ClassMethod", cls_symbol="io.gfile.GFile", method="read")),
        ImportRefused, "may do more than compute"),
    "operator of TensorFlow 2.0": (
        lambda p: make.write_h5(p, operation("TensorFlowOpLayer", node_def='{"name": "a", "op": "ReadFile"}')),
        ImportRefused, r"may do more than compute: TensorFlowOpLayer \('sly'\)"),
    "operator of TensorFlow 2.0 that is none": (
        lambda p: make.write_h5(p, operation("TensorFlowOpLayer", node_def="[" * 100_000)),
        ImportRefused, "may do more than compute"),
    "downloader of tf-keras": (foreign("tf_keras.utils", "get_file"), ImportRefused, r"tf_keras\.utils\.get_file"),
    "policy that is a function": (
        foreign("keras.mixed_precision", "set_global_policy"), ImportRefused, r"keras\.mixed_precision\.set_global"),
    # classes and functions of others
    "foreign class": (foreign("evil.layers", "Evil", "evil>Evil"), ImportRefused, r"evil\.layers\.Evil \('it'\)"),
    "operating system": (foreign("os", "system"), ImportRefused, r"not part of Keras: os\.system"),
    "keras downloader": (
        as_keras(make.sequential(make.layer("Dense", {"name": "it", "activation": make.layer(
            "function", "get_file", "keras.utils", "get_file")}))),  # type: ignore[arg-type]
        ImportRefused, r"keras\.utils\.function \('get_file'\)"),
    "function under our own name": (
        as_keras(make.sequential(make.layer("function", {}, "os", keras_checks.OWN_CLASS))), ImportRefused, "not part"),
    "foreign class in h5": (
        lambda p: make.write_h5(p, {"class_name": "Addons>Net", "config": {}}), ImportRefused, "not part.*Addons>Net"),
    "class name that is no text": (
        as_keras(make.sequential({"class_name": ["a"], "config": {}})), ImportRefused, "not part of Keras"),
    # configurations
    "100,000 levels": (as_keras(nested(100_000)), ImportRefused, "nested more than 200 levels"),
    "1,000 levels in h5": (lambda p: make.write_h5(p, nested(1000)), ImportRefused, "nested more than 200 levels"),
    "no json": (as_keras("{'class_name': 1}"), ModelFileError, "not valid JSON"),
    "no object": (as_keras("[]"), ModelFileError, "not an object"),
    "no class": (as_keras("{}"), ModelFileError, "names no class"),
    # archives
    "bomb": (bomb, ImportRefused, r"claims to unpack to 104,\d{3},\d{3}"),
    "bzip2": (bzip2, ImportRefused, "compressed in a way that Keras does not use"),
    "weights longer than said": (weights_longer_than_said, ModelFileError, "damaged .keras archive: Bad CRC-32"),
    "member twice": (twice, ImportRefused, "'config.json' twice"),
    "lying size": (lying_size, ImportRefused, "more than 32 MB"),
    "path that climbs": (lambda p: make.write_keras(p, GOOD, extra={"assets/../../x": b""}), ImportRefused, "path"),
    "absolute path": (lambda p: make.write_keras(p, GOOD, extra={"/etc/x": b""}), ImportRefused, "'/etc/x'"),
    "many members": (
        lambda p: make.write_keras(p, GOOD, extra={f"assets/{n}": b"" for n in range(1001)}),
        ImportRefused, "1004 members"),
    "truncated": (truncated, ModelFileError, "damaged .keras archive"),
    "wrong checksum": (wrong_crc, ModelFileError, "Bad CRC-32"),
    "no weights": (lambda p: only(p, "config.json"), ModelFileError, r"no model\.weights\.h5"),
    "no configuration": (lambda p: only(p, "model.weights.h5"), ModelFileError, r"no config\.json"),
    "weights that are none": (lambda p: make.write_keras(p, GOOD, b"PK"), ModelFileError, "not an HDF5 file"),
    "png": (renamed_png, ModelFileError, "not a Keras model"),
    # HDF5, in an archive and as a file
    "external link": (in_weights(external_link), ImportRefused, r"'/layers/extra' is in '/etc/secrets\.h5'"),
    "soft link": (in_weights(soft_link), ImportRefused, "symbolic link at '/layers/extra'"),
    "external storage": (in_weights(external_storage), ImportRefused, "'/etc/passwd'"),
    "virtual array": (in_weights(virtual), ImportRefused, "virtual array at '/extra'"),
    "ten terabytes": (in_weights(ten_terabytes), ImportRefused, r"claims to unpack to 10,995,1"),
    "array of strings": (in_weights(strings), ImportRefused, "weights are numbers"),
    "large attribute in h5": (large_attribute, ImportRefused, "attribute '/a' of 100,001 entries"),
    "external link in h5": (in_h5(lambda file: external_link(file)), ImportRefused, "links to another file"),
    "ten terabytes in h5": (in_h5(ten_terabytes), ImportRefused, "claims to unpack"),
    "truncated h5": (truncated_h5, ModelFileError, "damaged HDF5 file"),
    "model_config that is a number": (
        in_h5(lambda file: file.attrs.create("model_config", 3)), ModelFileError, "model_config"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str, tmp_path: Path) -> None:
    write, error, reason = REFUSED[name]
    path = write(tmp_path / ("evil.h5" if name.endswith("h5") else "evil.keras"))
    before = sha256(path)
    with pytest.raises(EdgekitError, match=reason) as caught:
        keras_checks.check_model(path)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2
    assert sha256(path) == before
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_loop_of_groups_ends(tmp_path: Path) -> None:
    assert keras_checks.check_model(in_weights(loop)(tmp_path / "m.keras")).kind == "keras"


def test_text_of_the_file_reaches_no_terminal_as_it_is(tmp_path: Path) -> None:
    evil = make.layer("\x1b[31mEvil\n\n", {"name": "\x1b]0;x\x07"}, "evil")
    with pytest.raises(ImportRefused) as caught:
        keras_checks.check_model(make.write_keras(tmp_path / "m.keras", make.sequential(evil)))
    assert all(character.isprintable() for character in caught.value.message)


def test_the_lambda_of_these_tests_is_a_real_one(tmp_path: Path) -> None:
    """Allowed, it runs; refused, it does not: in a child, with Keras."""
    marker = tmp_path / "marker"
    path = make.write_keras(tmp_path / "m.keras", make.sequential(make.lambda_layer(marker), make.dense()))
    with pytest.raises(ImportRefused, match="--allow-lambda"):
        child.call("edgekit.importers.keras_model:save_as_keras", path=str(path), target=str(tmp_path / "a.keras"))
    assert not marker.exists()
    child.call("edgekit.importers.keras_model:save_as_keras", path=str(path), target=str(tmp_path / "a.keras"),
               allow_lambda=True)
    assert marker.exists()


def test_mutated_files_never_take_the_parent_down(tmp_path: Path) -> None:
    """Each is loaded or refused with one of our errors; a crash of the child is told as such."""
    archive = make.write_keras(tmp_path / "good.keras", GOOD).read_bytes()
    h5 = make.write_h5(tmp_path / "good.h5", make.keras2(GOOD)).read_bytes()
    folder = tmp_path / "mutated"
    folder.mkdir()
    waiting = []
    for seed in range(30):
        for suffix, content in ((".keras", archive), (".h5", h5)):
            path = folder / f"{seed}{suffix}"
            path.write_bytes(make.mutated(content, seed))
            waiting.append(str(path))
    before = [sha256(Path(path)) for path in waiting]
    paths, outcomes = list(waiting), []
    while waiting:
        done = tmp_path / "done"
        done.write_text("")
        try:
            found = child.call("tests.attacks.keras_files:load_all", paths=waiting, done=str(done), timeout=60)
        except (ChildCrashed, ChildLimit):  # HDF5 itself crashes, or runs forever, on about one in a thousand
            found = [*done.read_text().split(), "crashed"]
        outcomes += found
        waiting = waiting[len(found) :]
    assert len(outcomes) == 60
    assert set(outcomes) <= {"loaded", "ModelFileError", "ImportRefused", "crashed"}
    assert outcomes.count("ModelFileError") > 20
    assert [sha256(Path(path)) for path in paths] == before


@pytest.mark.parametrize("config", [
    {"layers": 3}, {"layers": []}, {"layers": [3]}, {"layers": [{"class_name": "Dense"}]}, 3, [3], [{}],
    {"layers": [{"class_name": "Sequential", "config": 5}]},
    {"layers": [{"class_name": "InputLayer", "config": {"name": "a", "batch_input_shape": "long"}}]},
    {"layers": [{"class_name": "InputLayer", "config": {"name": ["a"], "batch_input_shape": [None, 4]}}]},
    {"layers": [{"class_name": "Conv2D", "config": {"name": "c", "batch_input_shape": [None, 4, 4, 3], "rate": {}}}]},
    {"layers": [{"class_name": "Merge", "config": {"name": "m", "mode": "sum", "batch_input_shape": [None, 4]}}] * 2},
    {"layers": [], "input_layers": [["a", 0, 0]], "output_layers": [["a", 0, 0]]},
])
def test_old_configurations_that_are_none(config: Any, tmp_path: Path) -> None:
    """What rewrites the words of old Keras meets anything at all in them; told in one line all the same."""
    from edgekit.importers import keras_model

    for class_name in ("Sequential", "Model"):
        path = make.write_h5(tmp_path / "evil.h5", {"class_name": class_name, "config": config})
        with pytest.raises(EdgekitError) as caught:
            keras_model.load(path)
        assert isinstance(caught.value, (ImportRefused, ModelFileError))
        assert len(str(caught.value).splitlines()) <= 2
