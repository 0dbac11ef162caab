"""Model configurations of Keras 1 and Keras 2, brought to what Keras 3 loads. Pure Python, no Keras.

Keras 3 reads Keras 2's own words for most layers, and none of Keras 1's; it refuses arguments that it has dropped and
models nested in models, and it understands `hard_sigmoid` differently. What training alone needs (initializers,
regularizers, constraints, random augmentation) is left out: the model is imported to be run.

Sources: keras/legacy/interfaces.py and keras/legacy/layers.py of Keras 2.2.4 (what Keras 1's arguments became),
keras/layers of Keras 1.2.2 (`get_config`), keras/src/legacy/saving of Keras 3.15.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.core.errors import ImportRefused
from edgekit.importers import channels_last, legacy_graph
from edgekit.importers.legacy_graph import Config
from edgekit.runtime.spec import printable

EXPORT = "Where it was made, export it as a SavedModel (model.export), and import that."

# Layers of Keras 2 that Keras 3 does not have (or not with the same arithmetic); tf-keras has them.
ONLY_KERAS_2 = frozenset({
    "LocallyConnected1D", "LocallyConnected2D", "TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer", "ClassMethod",
    "InstanceMethod", "InstanceProperty", "AddMetric", "AddLoss", "RandomHeight", "RandomWidth",
})
_KERAS_1_CLASSES = {
    "Convolution1D": "Conv1D", "AtrousConvolution1D": "Conv1D", "Convolution2D": "Conv2D",
    "AtrousConvolution2D": "Conv2D", "Deconvolution2D": "Conv2DTranspose", "SeparableConvolution2D": "SeparableConv2D",
    "Convolution3D": "Conv3D",
}
_GONE = frozenset({"MaxoutDense", "Highway", "TimeDistributedDense", "ParametricSoftplus", "SReLU", "Graph",
                   "CuDNNLSTM", "CuDNNGRU"})
_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})
_CLASSES = {
    **_KERAS_1_CLASSES, "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
    "ThresholdedReLU": "ReLU", "SpatialDropout1D": "Dropout", "SpatialDropout2D": "Dropout",
    "SpatialDropout3D": "Dropout",
}
# Keras 1's arguments and what Keras 2 called them; of every layer, then of some.
_ARGUMENTS = {
    "nb_filter": "filters", "subsample": "strides", "subsample_length": "strides", "border_mode": "padding",
    "dim_ordering": "data_format", "bias": "use_bias", "p": "rate", "sigma": "stddev", "atrous_rate": "dilation_rate",
    "filter_length": "kernel_size", "pool_length": "pool_size", "stride": "strides", "length": "size",
    "input_dtype": "dtype",
}
_ARGUMENTS_OF = {
    "Dense": {"output_dim": "units"}, "LeakyReLU": {"alpha": "negative_slope"}, "ReLU": {"theta": "threshold"},
}
_KERAS_1_WORDS = frozenset({
    "nb_filter", "border_mode", "dim_ordering", "subsample", "W_regularizer", "init", "input_dtype", "inner_init",
})
_DATA_FORMATS = {"th": "channels_first", "tf": "channels_last", "default": None}
_MERGES = {"sum": "Add", "mul": "Multiply", "ave": "Average", "max": "Maximum", "concat": "Concatenate", "dot": "Dot",
           "cos": "Dot"}
# What only training or building needs, or what Keras 3 finds out for itself.
_DROPPED = frozenset({
    "init", "input_dim", "input_length", "input_shape", "batch_shape", "batch_input_shape", "autocast", "dynamic",
    "fused", "renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size", "adjustment", "implementation",
    "time_major", "registered_name", "module",
})
_DROPPED_ENDINGS = ("_init", "_initializer", "_regularizer", "_constraint")
_DROPPED_OF = {
    "SeparableConv1D": ("groups",), "SeparableConv2D": ("groups",), "DepthwiseConv2D": ("groups", "filters"),
    "DepthwiseConv1D": ("groups", "filters"), "Conv2DTranspose": ("groups", "output_shape"),
    "Conv1DTranspose": ("groups",), "Conv3DTranspose": ("groups",),
    "Dropout": ("trainable", "data_format", "noise_shape"),
}
# Augmentation: nothing at inference.
_RANDOM = frozenset({
    "RandomFlip", "RandomRotation", "RandomZoom", "RandomTranslation", "RandomContrast", "RandomBrightness",
    "GaussianNoise", "GaussianDropout", "AlphaDropout", "ActivityRegularization",
})
_SCALED = {"scale": 1.2, "offset": 0.0}
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16"})


class NotInKeras3(Exception):
    """The model is sound and Keras 3 has no layer for a part of it; tf-keras may load it. The text names the part."""


@dataclass(frozen=True)
class Modern:
    """A configuration {class_name, config} for Keras 3's legacy loader: functional, channels last.

    `channels_first` says that the file's model took its channels first. `shapes` are those that layers must give,
    without the batch: Keras 1 lets the author choose that of a transposed convolution.
    """

    config: Config
    channels_first: bool
    shapes: dict[str, list[int]]


def is_keras_1(config: Config) -> bool:
    """Whether a model's configuration is in the words of Keras 1."""
    version = config.get("keras_version")
    if isinstance(version, str):
        return version.split(".")[0] in ("0", "1")
    return any(isinstance(value, dict) and "class_name" in value and isinstance(value.get("config"), dict)
               and (value["class_name"] in tuple(_KERAS_1_CLASSES) or _KERAS_1_WORDS & value["config"].keys())
               for value in _values(config))


def mentions(config: Config, word: str) -> bool:
    """Whether a configuration has this text as a value."""
    return word in _values(config)


def _values(value: Any) -> Iterator[Any]:
    """The value and all that is in it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, (dict, list)):
            waiting += value.values() if isinstance(value, dict) else value


def modernize(config: Config, name: str, *, theano: bool = False, custom: Collection[str] = ()) -> Modern:
    """A model of Keras 1 or 2 as Keras 3's legacy loader takes it.

    Args:
        config: {"class_name": …, "config": …}, as in a file's model_config or in JSON.
        name: how messages call the file.
        theano: it was trained on Theano, whose padding "same" lies elsewhere.
        custom: classes that are not Keras'; their arguments are left as they are.

    Raises:
        ImportRefused: it cannot be brought over.
        NotInKeras3: the same, and tf-keras may load it.
    """
    config = _plain(copy.deepcopy({key: config[key] for key in ("class_name", "config")}))
    class_name = config["class_name"] if config["class_name"] in custom else "Functional"
    if not legacy_graph.is_model(config) and class_name == "Functional":
        raise ImportRefused(f"{name} is a {_shown(config['class_name'])}, not a model of Keras' own.",
                            "Name its class with --custom-objects module:name, or export it as a SavedModel where its"
                            " code is (model.export).")
    model = legacy_graph.functional(config, name)
    shapes: dict[str, list[int]] = {}
    for layer in legacy_graph.leaves(model["config"]):
        if isinstance(shape := layer["config"].get("output_shape"), list) and layer["class_name"] == "Deconvolution2D":
            shapes[layer["name"]] = shape[1:]
        if layer["class_name"] not in custom:
            _modernize_layer(layer, name)
    channels_first = channels_last.convert(model["config"], name)
    if theano:
        _pad_as_theano(model["config"], name)
    _split_activations(model["config"], name)
    if channels_first:
        shapes = {layer: [*shape[1:], shape[0]] for layer, shape in shapes.items()}
    made = {"class_name": class_name, "config": legacy_graph.for_keras_3(model["config"])}
    return Modern(made, channels_first, shapes)


def _plain(value: Any) -> Any:
    """Tuples, shapes and arrays of Keras' own JSON as plain lists and numbers."""
    if isinstance(value, dict):
        if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
            return _plain(value["items"])
        if value.keys() == {"type", "value"}:  # a NumPy number, in tf.keras 1
            return _plain(value["value"])
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list) else value


def _modernize_layer(layer: Config, name: str) -> None:
    """Change one layer's class and arguments in place."""
    class_name: str = layer["class_name"]
    config: Config = layer["config"]
    where = f"{name}: the layer {_quoted(layer['name'])}"
    if class_name in ONLY_KERAS_2:
        raise NotInKeras3(f"the layer {_quoted(layer['name'])} is a {class_name}, which Keras 3 does not have")
    if class_name in _GONE:
        raise ImportRefused(f"{where} is a {class_name}, which no Keras of today has.", EXPORT)
    if class_name in _RECURRENT and "output_dim" in config:
        raise ImportRefused(f"{where} is a recurrent layer of Keras 1, which edgekit does not import.", EXPORT)
    if class_name == "Merge":
        layer["class_name"], layer["config"] = _merged(config, where)
        return
    for old, new in {**_ARGUMENTS, **_ARGUMENTS_OF.get(_CLASSES.get(class_name, class_name), {})}.items():
        if old in config:
            config[new] = config.pop(old)
    data_format = config.get("data_format")
    if isinstance(data_format, str):
        config["data_format"] = _DATA_FORMATS.get(data_format, data_format)
    class_name = layer["class_name"] = _CLASSES.get(class_name, class_name)
    if class_name in _RANDOM:
        layer["class_name"], layer["config"] = "Identity", {"name": layer["name"]}
        return
    if class_name in _SPECIAL:
        _SPECIAL[class_name](config, where)
    if class_name == "InputLayer":
        return
    _drop(config, class_name)
    if class_name in ("TimeDistributed", "Bidirectional") and isinstance(config.get("layer"), dict):
        inner = config["layer"]
        if legacy_graph.is_model(inner):
            raise ImportRefused(f"{where} calls a whole model for each step in time, which edgekit does not import.",
                                EXPORT)
        inner = {"class_name": inner["class_name"], "config": inner["config"], "name": inner["config"].get("name")}
        _modernize_layer(inner, name)
        config["layer"] = {**inner, "module": "keras.layers", "registered_name": None}
        config.pop("backward_layer", None)
    if config.get("recurrent_activation") == "hard_sigmoid":
        raise NotInKeras3(f"the layer {_quoted(layer['name'])} uses hard_sigmoid between steps, which Keras 3 computes"
                          " differently")


def _drop(config: Config, class_name: str) -> None:
    for key in [*config]:
        if (key in _DROPPED or key.endswith(_DROPPED_ENDINGS) or key in _DROPPED_OF.get(class_name, ())
                or (key.startswith("kernel_") and key != "kernel_size")):
            del config[key]
    if "dtype" in config:
        _set_dtype(config)


def _set_dtype(config: Config) -> None:
    """float32 for all that computes: a file for a phone starts from that, and mixed precision is for training."""
    dtype = config["dtype"]
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    config["dtype"] = "float32" if dtype is None or dtype in _FLOATS else dtype


def _input(config: Config, where: str) -> None:
    if config.get("sparse") or config.get("ragged"):
        raise ImportRefused(f"{where} takes sparse or ragged tensors; edgekit takes images.")
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if not isinstance(shape, list) or not shape:
        raise ImportRefused(f"{where} does not say the shape of its input.", legacy_graph.NO_INPUT)
    dtype = {"dtype": config.get("dtype")}
    _set_dtype(dtype)
    name = config["name"]
    config.clear()
    config.update(name=name, batch_input_shape=[None, *shape[1:]], **dtype)  # any batch, whatever it was trained with


def _convolution(config: Config, where: str) -> None:
    for parts in (("nb_row", "nb_col"), ("kernel_dim1", "kernel_dim2", "kernel_dim3")):
        if parts[0] in config:
            config["kernel_size"] = [config.pop(part) for part in parts]
    _padding(config, where)


def _padding(config: Config, where: str) -> None:
    if config.get("padding") not in (None, "valid", "same", "causal"):
        told = _quoted(config["padding"])
        raise ImportRefused(f"{where} pads with border_mode={told}, which only Theano had.", EXPORT)


def _zero_padding(config: Config, where: str) -> None:
    padding = config.get("padding")
    if isinstance(padding, dict):
        padding = [padding.get(f"{side}_pad", 0) for side in ("top", "bottom", "left", "right")]
    if isinstance(padding, list) and len(padding) == 4:
        config["padding"] = [padding[:2], padding[2:]]


def _normalization(config: Config, where: str) -> None:
    if config.pop("mode", 0) != 0:
        raise ImportRefused(f"{where} normalises in the mode 1 or 2 of Keras 1, which no later Keras has.", EXPORT)
    if config.get("renorm"):
        raise NotInKeras3(f"the layer {where.rpartition('the layer ')[2]} uses batch renormalization")
    _axis(config, where)


def _axis(config: Config, where: str) -> None:
    axis = config.get("axis")
    if isinstance(axis, list) and len(axis) == 1:
        config["axis"] = axis[0]


def _lambda(config: Config, where: str) -> None:
    if config.get("output_shape_type") == "lambda" or isinstance(config.get("output_shape"), str):
        config["output_shape"] = None  # Keras 3 finds it out


_SPECIAL: dict[str, Callable[[Config, str], None]] = {
    "InputLayer": _input, "BatchNormalization": _normalization, "LayerNormalization": _axis, "Softmax": _axis,
    "Normalization": _axis, "ZeroPadding2D": _zero_padding, "Lambda": _lambda,
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "SeparableConv2D", "DepthwiseConv2D"),
                    _convolution),
    **dict.fromkeys(("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"), _padding),
}


def _merged(config: Config, where: str) -> tuple[str, Config]:
    """Keras 1's Merge as the layer that does the same."""
    mode, made = config.get("mode"), {"name": config["name"]}
    if config.get("mode_type") == "lambda":
        return "Lambda", {**made, "function": mode, "arguments": config.get("arguments") or {}}
    if config.get("mode_type") == "function" or mode not in _MERGES:
        raise ImportRefused(f"{where} merges with a function of its author, {_quoted(mode)}, which is not in the file.",
                            EXPORT)
    if mode == "concat":
        made["axis"] = config.get("concat_axis", -1)
    if mode in ("dot", "cos"):
        made.update(axes=config.get("dot_axes", -1), normalize=mode == "cos")
    return _MERGES[mode], made


def _split_activations(config: Config, name: str) -> None:
    """Take apart what Keras 3 has no single layer for.

    Keras 1 and 2 compute hard_sigmoid(x) = clip(x / 5 + 1/2, 0, 1), and Keras 3 clip(x / 6 + 1/2, 0, 1): that of 1.2 x
    is the old one. And a layer as another layer's activation becomes a layer of its own.
    """
    for layer in list(config["layers"]):
        if legacy_graph.is_model(layer):
            _split_activations(layer["config"], name)
            continue
        activation = layer["config"].get("activation")
        if activation == "hard_sigmoid":
            if layer["class_name"] == "Activation":
                layer["class_name"], layer["config"] = "Rescaling", {"name": layer["name"], **_SCALED}
                scaled = layer
            else:
                layer["config"]["activation"] = "linear"
                scaled = legacy_graph.insert_after(config, layer, "Rescaling", "scaled", **_SCALED)
            legacy_graph.insert_after(config, scaled, "Activation", "hard_sigmoid", activation="hard_sigmoid")
        elif isinstance(activation, dict) and isinstance(activation.get("config"), dict):
            made = {"class_name": activation.get("class_name"), "name": layer["name"], "config": activation["config"]}
            _modernize_layer(made, name)
            layer["config"]["activation"] = "linear"
            settings = {key: value for key, value in made["config"].items() if key != "name"}
            legacy_graph.insert_after(config, layer, made["class_name"], "activation", **settings)


def _pad_as_theano(config: Config, name: str) -> None:
    """Theano pads k // 2 on both sides for "same"; TensorFlow, where the strides are above 1, less at the start.

    Source: `conv2d` and `pool2d` in keras/backend/theano_backend.py (1.2.2).
    """
    for layer in list(config["layers"]):
        settings = layer["config"]
        if legacy_graph.is_model(layer):
            _pad_as_theano(settings, name)
        elif settings.get("padding") == "same":
            sides, strides = settings.get("kernel_size"), _pair(settings.get("strides"))
            if layer["class_name"] != "Conv2D" or not isinstance(sides, list) or any(side % 2 == 0 for side in sides):
                raise ImportRefused(f"{name}: the layer {_quoted(layer['name'])} pads as only Theano did.", EXPORT)
            if strides != [1, 1]:
                rates = _pair(settings.get("dilation_rate"))
                reach = [(side - 1) // 2 * rate for side, rate in zip(sides, rates, strict=True)]
                settings["padding"] = "valid"
                legacy_graph.insert_before(config, layer, "ZeroPadding2D", "padding",
                                           padding=[[side, side] for side in reach], data_format="channels_last")


def _pair(value: Any) -> list[int]:
    return [1, 1] if value is None else [value, value] if isinstance(value, int) else list(value)


def _shown(value: Any) -> str:
    return printable(str(value))[:100]


def _quoted(value: Any) -> str:
    return repr(_shown(value))
