"""SavedModels: frozen into a `.keras` file that answers the same and converts; dangerous ones are never loaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.importers import keras_model, saved_model, saved_model_scan
from tests.attacks import keras_files as make
from tests.importers.conftest import Saved

Write = Callable[..., Path]


@pytest.fixture
def write(tf: Any, tmp_path: Path) -> Write:
    """Save a tf.Module: `compute(x, weights)` on float32 [batch, 4] with weights [4, 3]."""

    def save(compute: Callable[[Any, Any], Any] = lambda x, w: tf.nn.softmax(x @ w), batch: int | None = None,
             names: tuple[str, ...] | None = None, table: Any = None) -> Path:
        module = tf.Module()
        module.weights = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3) / 12)
        module.table = table
        module.function = tf.function(lambda x: compute(x, module.weights),
                                      input_signature=[tf.TensorSpec([batch, 4], tf.float32, name="x")])
        signatures = module.function if names is None else dict.fromkeys(names, module.function)
        folder = tmp_path / "model"
        tf.saved_model.save(module, str(folder), signatures=signatures)
        return folder

    return save


def x(count: int = 5) -> Any:
    return np.random.default_rng(1).normal(size=(count, 4)).astype(np.float32)


def answer(tf: Any, folder: Path, inputs: Any, signature: str = "serving_default") -> Any:
    (found,) = tf.saved_model.load(str(folder)).signatures[signature](tf.constant(inputs)).values()
    return found.numpy()


def test_keras_export_and_tf_module_answer_the_same(tf: Any, saved: Saved, write: Write, tmp_path: Path) -> None:
    exported, module = saved.folder / "exported", write()
    for folder, inputs in ((exported, saved.images), (module, x())):
        target = tmp_path / f"{folder.name}.keras"
        keras_model.save_as_keras(str(folder), str(target))
        model = keras_model.load(target)
        expected = answer(tf, folder, inputs)
        np.testing.assert_allclose(model(inputs), expected, atol=1e-6)
        np.testing.assert_allclose(model.predict(inputs, verbose=0), expected, atol=1e-6)
        assert model.trainable_weights == []
        assert model.inputs[0].shape[0] is None


def test_the_keras_file_is_complete_and_described(saved: Saved, tmp_path: Path) -> None:
    keras_model.save_as_keras(str(saved.folder / "exported"), str(tmp_path / "m.keras"))
    found = keras_model.save_as_keras(str(tmp_path / "m.keras"), str(tmp_path / "again.keras"))
    assert found["activation"] == "softmax"
    assert found["normalization"] is None
    assert found["outputs"] == [{"name": "frozen_graph", "shape": [None, 3], "dtype": "float32"}]


@pytest.mark.parametrize("batch", [None, 1])
def test_it_converts_to_tflite(tf: Any, saved: Saved, write: Write, tmp_path: Path, batch: int | None) -> None:
    from ai_edge_litert.interpreter import Interpreter
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    folder, inputs = (saved.folder / "exported", saved.images) if batch is None else (write(batch=1), x(4))
    keras_model.save_as_keras(str(folder), str(tmp_path / "m.keras"))
    model = keras_model.load(tmp_path / "m.keras")
    assert model.inputs[0].shape[0] == batch
    signature = [tf.TensorSpec((1, *inputs.shape[1:]), tf.float32)]
    function = tf.function(lambda image: model(image), input_signature=signature)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    content = tf.lite.TFLiteConverter.from_concrete_functions([frozen]).convert()
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for image in inputs:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_allclose(found, answer(tf, folder, image[None]), atol=1e-5)


def test_control_flow_survives(tf: Any, write: Write) -> None:
    def compute(value: Any, weights: Any) -> Any:
        steps = tf.cast(tf.math.count_nonzero(value > 0), tf.int32)
        _, halved = tf.while_loop(lambda step, _: step < steps, lambda step, v: (step + 1, v * 0.5), (0, value))
        return halved @ weights

    folder = write(compute)
    np.testing.assert_allclose(saved_model.load(folder)(x()), answer(tf, folder, x()), atol=1e-6)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [(("serve", "serving_default", "other"), "serving_default"), (("serve", "other"), "serve"), (("other",), "other")],
)
def test_which_signature_is_taken(tf: Any, write: Write, names: tuple[str, ...], chosen: str) -> None:
    folder = write(names=names)
    np.testing.assert_allclose(saved_model.load(folder)(x()), answer(tf, folder, x(), chosen), atol=1e-6)


def refused(error: type[EdgekitError], reason: str, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(EdgekitError, match=reason) as caught:
        saved_model.load(folder)
    assert type(caught.value) is error
    assert len(str(caught.value).splitlines()) <= 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_signatures_that_do_not_say_enough(tf: Any, write: Write, tmp_path: Path) -> None:
    refused(ImportRefused, "2 signatures and none for serving: one, two", write(names=("two", "one")))
    refused(ImportRefused, "no signature", write(names=()))
    refused(ImportRefused, r"2 outputs \(logits, scores\)",
            write(lambda value, weights: {"scores": tf.nn.softmax(value @ weights), "logits": value @ weights}))
    module = tf.Module()
    module.call = tf.function(lambda a, b: a + b, input_signature=[tf.TensorSpec([2], name=name) for name in "ab"])
    tf.saved_model.save(module, str(tmp_path / "two"), signatures=module.call)
    refused(ImportRefused, r"2 inputs \(a, b\)", tmp_path / "two")


def test_lookup_tables_are_refused(tf: Any, write: Write) -> None:
    values = tf.lookup.KeyValueTensorInitializer(tf.constant([0, 1, 2], tf.int64), tf.constant([1.0, 2.0, 3.0]))
    table = tf.lookup.StaticHashTable(values, 0.0)
    refused(ImportRefused, "state besides its weights",
            write(lambda value, weights: table.lookup(tf.argmax(value @ weights, 1))[:, None], table=table))


def test_an_operator_that_writes_a_file(tf: Any, write: Write, tmp_path: Path) -> None:
    """In the signature. TensorFlow itself would run it: the control at the end."""
    marker = tmp_path / "marker"

    def compute(value: Any, weights: Any) -> Any:
        tf.io.write_file(str(marker), "x")
        return value @ weights

    folder = write(compute)
    refused(ImportRefused, r"operator WriteFile \(node .* reads or writes files", folder)
    assert not marker.exists()
    answer(tf, folder, x())
    assert marker.exists()


def test_an_operator_that_reads_a_file_at_start(tf: Any, write: Write, tmp_path: Path) -> None:
    """In the init op: a table that is filled from a text file."""
    (tmp_path / "words").write_text("a\nb\n")
    table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
        str(tmp_path / "words"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER), -1)
    refused(ImportRefused, "InitializeTableFromTextFileV2", write(table=table))


def test_python_in_the_graph(tf: Any, write: Write) -> None:
    refused(ImportRefused, "PyFunc.*runs Python code",
            write(lambda value, weights: tf.numpy_function(lambda v: v, [value], tf.float32) @ weights))


def test_the_saver_in_the_signature(tf: Any, write: Write, tmp_path: Path) -> None:
    def compute(value: Any, weights: Any) -> Any:
        tf.raw_ops.SaveV2(prefix=str(tmp_path / "made"), tensor_names=["a"], shape_and_slices=[""], tensors=[value])
        return value @ weights

    refused(ImportRefused, "operator SaveV2 .* is reached from", write(compute))


def test_damaged_folders(tf: Any, write: Write) -> None:
    folder = write()
    (folder / "variables" / "variables.index").unlink()
    refused(ModelFileError, "TensorFlow cannot load", folder)
    refused(ModelFileError, "TensorFlow cannot load", make.write_saved_model(folder.with_name("by_hand")))


def test_a_frozen_graph_with_a_dangerous_operator_is_refused_when_loaded(tf: Any, keras: Any, tmp_path: Path) -> None:
    """The graph travels in the weights of a `.keras` file, where anyone can put another."""
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, [None, 4], name="x")
        with tf.control_dependencies([tf.io.write_file(str(tmp_path / "marker"), "x")]):
            tf.identity(image, name="y")
    layer = make.layer("FrozenGraph", {
        "name": "it", "input_name": "x:0", "output_name": "y:0", "output_shape": [None, 4], "output_dtype": "float32",
    }, "edgekit.importers.frozen_graph", "edgekit>FrozenGraph")
    content = np.frombuffer(graph.as_graph_def().SerializeToString(), np.uint8)

    def store(file: Any) -> None:
        file["layers/frozen_graph/vars/graph_def"] = content

    path = make.write_keras(tmp_path / "m.keras", make.sequential(layer), make.weights(store))
    with pytest.raises(EdgekitError, match="WriteFile"):
        keras_model.load(path)
    assert not (tmp_path / "marker").exists()


def test_every_operator_of_tensorflow_that_names_a_file_is_refused(tf: Any) -> None:
    """A new TensorFlow may bring new ones: whatever has a file, path or address among its arguments."""
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    operators = op_def_pb2.OpList.FromString(bytes(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())))
    suspicious = re.compile("file|path|address|logdir|directory|prefix|uri|target")
    missed = []
    for operator in operators.op:
        arguments = [argument.name for argument in operator.input_arg if argument.type == tf.string.as_datatype_enum]
        arguments += [attribute.name for attribute in operator.attr if attribute.type == "string"]
        if any(suspicious.search(argument) for argument in arguments) and not any(
                pattern.fullmatch(operator.name) for _, pattern in saved_model_scan.REFUSED_OPERATORS):
            missed.append((operator.name, arguments))
    assert len(operators.op) > 1000
    assert missed == []
