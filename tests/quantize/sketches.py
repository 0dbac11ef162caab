"""Small float networks, drawn once and written as `.tflite` (NHWC) and as `.onnx` (NCHW), without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 6
LAYOUTS = {".tflite": "NHWC", ".onnx": "NCHW"}


@dataclass
class Sketch:
    """A network; every method adds an operator and gives its output's name, which is the name given to it."""

    seed: int = 0
    steps: list[dict[str, Any]] = field(default_factory=list)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=lambda: {"image": (SIDE, SIDE, 3)})

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def conv(
        self,
        name: str,
        source: str,
        outputs: int,
        activation: str = "none",
        *,
        groups: int = 1,
        size: int = 3,
        stride: int = 1,
        dilation: int = 1,
        weights: str = "",
        bias: str = "",
    ) -> str:
        """A convolution, depthwise where there is a group for each channel; equal names share weights or a bias."""
        height, width, channels = self.shapes[source]
        kernel = self._rng.normal(size=(outputs, channels // groups, size, size)) / np.sqrt(
            channels // groups * size * size
        )
        self.shapes[name] = (-(-height // stride), -(-width // stride), outputs)
        step = {"kernel": kernel.astype(np.float32), "bias": self._rng.normal(size=outputs).astype(np.float32) / 4}
        return self._add(
            "conv",
            name,
            [source],
            activation=activation,
            groups=groups,
            stride=stride,
            dilation=dilation,
            depthwise=groups == channels > 1,
            weights=weights or f"{name}_kernel",
            bias_name=bias or f"{name}_bias",
            **step,
        )

    def dense(self, name: str, source: str, outputs: int, activation: str = "none") -> str:
        """A dense layer."""
        [inputs] = self.shapes[source]
        kernel = self._rng.normal(size=(outputs, inputs)).astype(np.float32) / np.float32(np.sqrt(inputs))
        self.shapes[name] = (outputs,)
        return self._add(
            "dense", name, [source], kernel=kernel, bias=np.zeros(outputs, np.float32) + 0.25, activation=activation
        )

    def one(self, kind: str, name: str, *sources: str) -> str:
        """relu, relu6, leaky, sigmoid, softmax, pool, mean, flatten, pad, add, concat, scale or shift."""
        height, width, channels = (*self.shapes[sources[0]], 0, 0)[:3]
        constant = self._rng.uniform(0.5, 2, channels or height).astype(np.float32)
        self.shapes[name] = {
            "pool": (height // 2, width // 2, channels),
            "mean": (channels,),
            "flatten": (height * width * channels,),
            "pad": (height + 2, width + 2, channels),
            "concat": (height, width, channels * len(sources)),
        }.get(kind, self.shapes[sources[0]])
        return self._add(kind, name, list(sources), constant=constant)

    def write(self, path: Path, *outputs: str) -> Path:
        """Write it, by the path's suffix; without names, the last operator makes the output."""
        names = list(outputs or [self.steps[-1]["name"]])
        (_write_tflite if path.suffix == ".tflite" else _write_onnx)(self, path, names)
        return path

    def _add(self, kind: str, name: str, sources: list[str], **rest: Any) -> str:
        self.steps.append({"kind": kind, "name": name, "sources": sources, **rest})
        return name


def images(count: int, seed: int = 1) -> NDArray[np.uint8]:
    """uint8 [count, SIDE, SIDE, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def answers(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a file says to pixels, float32 [N, outputs]."""
    from edgekit.runtime.interpreters import open_interpreter

    model = open_interpreter(path)
    turned = pixels.transpose(0, 3, 1, 2) if path.suffix == ".onnx" else pixels
    return np.concatenate([model.run(np.ascontiguousarray(image[None], np.float32)).reshape(1, -1) for image in turned])


def noise(reference: NDArray[np.float32], made: NDArray[np.float32]) -> float:
    """Signal to quantization noise, in dB."""
    return float(10 * np.log10(np.square(reference).sum() / np.square(made - reference).sum()))


def _write_tflite(sketch: Sketch, path: Path, outputs: list[str]) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.operatorCodes, model.buffers, model.subgraphs = 3, [], [schema.BufferT()], [graph]
    graph.tensors, graph.operators, graph.name = [], [], b"main"
    places: dict[str, int] = {}

    def tensor(name: str, shape: tuple[int, ...], values: NDArray[Any] | None = None) -> int:
        if name in places:
            return places[name]
        made = schema.TensorT()
        made.name, made.shape, made.hasRank = name, list(shape), True
        made.type = (
            schema.TensorType.INT32 if values is not None and values.dtype == np.int32 else schema.TensorType.FLOAT32
        )
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        places[name] = len(graph.tensors) - 1
        return places[name]

    def operator(kind: str, inputs: list[int], output: int, options: str = "", **values: Any) -> None:
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = getattr(schema.BuiltinOperator, kind)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        model.operatorCodes.append(code)
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, inputs, [output]
        if options:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            made.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                setattr(made.builtinOptions, name, value)
        graph.operators.append(made)

    fused = {"none": 0, "relu": 1, "relu6": 3}
    tensor("image", (1, *sketch.shapes["image"]))
    for step in sketch.steps:
        kind, name = step["kind"], step["name"]
        inputs = [places[source] for source in step["sources"]]
        shape = (1, *sketch.shapes[name])
        before = sketch.shapes[step["sources"][0]]
        if kind == "conv":
            kernel = step["kernel"]
            stored = kernel.transpose(1, 2, 3, 0) if step["depthwise"] else kernel.transpose(0, 2, 3, 1)
            inputs += [
                tensor(step["weights"], stored.shape, stored),
                tensor(step["bias_name"], step["bias"].shape, step["bias"]),
            ]
            more = {"depthMultiplier": len(kernel) // before[2]} if step["depthwise"] else {}
            operator(
                "DEPTHWISE_CONV_2D" if step["depthwise"] else "CONV_2D",
                inputs,
                tensor(name, shape),
                "DepthwiseConv2DOptions" if step["depthwise"] else "Conv2DOptions",
                strideW=step["stride"],
                strideH=step["stride"],
                dilationWFactor=step["dilation"],
                dilationHFactor=step["dilation"],
                fusedActivationFunction=fused[step["activation"]],
                **more,
            )
        elif kind == "dense":
            inputs += [
                tensor(f"{name}_kernel", step["kernel"].shape, step["kernel"]),
                tensor(f"{name}_bias", step["bias"].shape, step["bias"]),
            ]
            operator(
                "FULLY_CONNECTED",
                inputs,
                tensor(name, shape),
                "FullyConnectedOptions",
                fusedActivationFunction=fused[step["activation"]],
            )
        elif kind == "pool":
            operator(
                "MAX_POOL_2D",
                inputs,
                tensor(name, shape),
                "Pool2DOptions",
                padding=1,
                strideW=2,
                strideH=2,
                filterWidth=2,
                filterHeight=2,
            )
        elif kind == "mean":
            operator(
                "MEAN",
                [*inputs, tensor("axes", (2,), np.array([1, 2], np.int32))],
                tensor(name, shape),
                "ReducerOptions",
            )
        elif kind == "flatten":
            operator(
                "RESHAPE",
                [*inputs, tensor(f"{name}_shape", (2,), np.array(shape, np.int32))],
                tensor(name, shape),
                "ReshapeOptions",
                newShape=list(shape),
            )
        elif kind == "pad":
            sides = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
            operator("PAD", [*inputs, tensor("sides", (4, 2), sides)], tensor(name, shape), "PadOptions")
        elif kind in ("scale", "shift"):
            constant = step["constant"]
            operator(
                {"scale": "MUL", "shift": "ADD"}[kind],
                [*inputs, tensor(f"{name}_constant", constant.shape, constant)],
                tensor(name, shape),
                {"scale": "MulOptions", "shift": "AddOptions"}[kind],
            )
        elif kind == "leaky":
            operator("LEAKY_RELU", inputs, tensor(name, shape), "LeakyReluOptions", alpha=0.25)
        elif kind == "concat":
            operator("CONCATENATION", inputs, tensor(name, shape), "ConcatenationOptions", axis=3)
        else:
            options = {"softmax": ("SoftmaxOptions", {"beta": 1.0}), "add": ("AddOptions", {})}.get(kind, ("", {}))
            operator(
                {"sigmoid": "LOGISTIC"}.get(kind, kind.upper()), inputs, tensor(name, shape), options[0], **options[1]
            )
    graph.inputs, graph.outputs = [places["image"]], [places[name] for name in outputs]
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs, signature.outputs = [], []
    for entries, names in ((signature.inputs, ["image"]), (signature.outputs, outputs)):
        for name in names:
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name, places[name]
            entries.append(entry)
    model.signatureDefs = [signature]
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


def _write_onnx(sketch: Sketch, path: Path, outputs: list[str]) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list[Any] = []
    constants: dict[str, NDArray[Any]] = {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)}

    def shape(name: str) -> list[Any]:
        sides = sketch.shapes[name]
        return ["batch", *(sides if len(sides) == 1 else (sides[2], sides[0], sides[1]))]

    def activate(kind: str, source: str, name: str) -> None:
        if kind == "relu6":
            nodes.append(helper.make_node("Clip", [source, "zero", "six"], [name], name))
        else:
            nodes.append(helper.make_node("Relu", [source], [name], name))

    for step in sketch.steps:
        kind, name, sources = step["kind"], step["name"], step["sources"]
        if kind in ("conv", "dense"):
            made = name if step["activation"] == "none" else f"{name}_before"
            weights = step.get("weights", f"{name}_kernel")
            constants.setdefault(weights, step["kernel"])
            bias = step.get("bias_name", f"{name}_bias")
            constants.setdefault(bias, step["bias"])
            inputs = [*sources, weights, bias]
            if kind == "dense":
                nodes.append(helper.make_node("Gemm", inputs, [made], made, transB=1))
            else:
                size = step["kernel"].shape[2]
                before = sketch.shapes[sources[0]][0]
                whole = max(
                    0, (sketch.shapes[name][0] - 1) * step["stride"] + (size - 1) * step["dilation"] + 1 - before
                )
                pads = [whole // 2] * 2 + [whole - whole // 2] * 2  # as TFLite's SAME
                nodes.append(
                    helper.make_node(
                        "Conv",
                        inputs,
                        [made],
                        made,
                        pads=pads,
                        group=step["groups"],
                        strides=[step["stride"]] * 2,
                        dilations=[step["dilation"]] * 2,
                        kernel_shape=[size, size],
                    )
                )
            if made != name:
                activate(step["activation"], made, name)
        elif kind in ("relu", "relu6"):
            activate(kind, sources[0], name)
        elif kind in ("scale", "shift"):
            constants[f"{name}_constant"] = step["constant"].reshape(-1, 1, 1)
            nodes.append(
                helper.make_node({"scale": "Mul", "shift": "Add"}[kind], [*sources, f"{name}_constant"], [name], name)
            )
        elif kind == "pool":
            nodes.append(helper.make_node("MaxPool", sources, [name], name, kernel_shape=[2, 2], strides=[2, 2]))
        elif kind == "mean":
            constants["axes"] = np.array([2, 3], np.int64)
            nodes.append(helper.make_node("ReduceMean", [*sources, "axes"], [name], name, keepdims=0))
        elif kind == "pad":
            constants["sides"] = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)
            nodes.append(helper.make_node("Pad", [*sources, "sides"], [name], name))
        elif kind == "concat":
            nodes.append(helper.make_node("Concat", sources, [name], name, axis=1))
        elif kind == "leaky":
            nodes.append(helper.make_node("LeakyRelu", sources, [name], name, alpha=0.25))
        else:
            nodes.append(helper.make_node(kind.capitalize(), sources, [name], name))
    graph = helper.make_graph(
        nodes,
        "sketch",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape("image"))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape(name)) for name in outputs],
        [numpy_helper.from_array(values, name) for name, values in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
