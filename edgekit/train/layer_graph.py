"""The layers of a Keras model as a list of calls, models inside of it included, to build others from. Needs Keras.

Uses `_run_through_graph` of Keras' functional models, which Keras does not promise to keep: its public `clone_model`
does not open nested models. `tests/train/test_layer_graph.py` is the contract that fails first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edgekit.core.errors import EdgekitError
from edgekit.runtime.spec import printable


@dataclass(frozen=True, eq=False)
class Node:
    """One call of an operation (a layer, or a function of `keras.ops`): arguments and outputs are Keras tensors."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: tuple[Any, ...]

    @property
    def name(self) -> str:
        """The operation's name, which is unique in its model, but for models inside of it."""
        return str(self.operation.name)


@dataclass(frozen=True, eq=False)
class LayerGraph:
    """The calls of a model with one input and one output, each after those that it takes its arguments from."""

    name: str
    input: Any
    output: Any
    nodes: tuple[Node, ...]

    @classmethod
    def of(cls, model: Any) -> LayerGraph:
        """Take a model apart. Its layers are called once more, and keep their weights.

        Raises:
            EdgekitError: it or a model in it has no graph of layers (a subclass of `keras.Model` with a program of its
                own), or has several inputs or outputs.
        """
        import keras

        nodes: list[Node] = []

        def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(operation, keras.Model):
                return _functional(operation)._run_through_graph(args[0], call_fn=call)
            made = operation(*args, **kwargs)
            nodes.append(Node(operation, args, kwargs, tuple(keras.tree.flatten(made))))
            return made

        functional = _functional(model)
        if len(functional.inputs) != 1 or len(functional.outputs) != 1:
            raise EdgekitError(
                f"{printable(str(model.name))} has {len(functional.inputs)} inputs and {len(functional.outputs)} "
                "outputs; only classifiers with one of each can be trained."
            )
        source = keras.Input(batch_shape=functional.inputs[0].shape, dtype="float32", name=functional.inputs[0].name)
        result = functional._run_through_graph(source, call_fn=call)
        [output] = keras.tree.flatten(result)
        return cls(str(model.name), source, output, tuple(nodes))

    @cached_property
    def _takers(self) -> dict[int, list[Node]]:
        """By the identity of a tensor, the calls that take it."""
        import keras

        takers: dict[int, list[Node]] = {}
        for node in self.nodes:
            for tensor in {id(value) for value in keras.tree.flatten((node.args, node.kwargs))}:
                takers.setdefault(tensor, []).append(node)
        return takers

    def consumers(self, node: Node) -> list[Node]:
        """The calls that take what this one gives."""
        found = [taker for tensor in node.outputs for taker in self._takers.get(id(tensor), [])]
        return list(dict.fromkeys(found))

    def calls(self, operation: Any) -> int:
        """How often an operation is called; layers that are shared, several times."""
        return sum(node.operation is operation for node in self.nodes)

    def rebuild(self, source: Any, emit: Callable[..., Any]) -> Any:
        """The output of another model with the same calls.

        Args:
            source: the Keras tensor that takes the place of the input.
            emit: called with a node, then its new arguments; gives its new output.
        """
        import keras

        made = {id(self.input): source}

        def replaced(value: Any) -> Any:
            return made.get(id(value), value)

        for node in self.nodes:
            args, kwargs = keras.tree.map_structure(replaced, (node.args, node.kwargs))
            outputs = keras.tree.flatten(emit(node, *args, **kwargs))
            made.update({id(old): new for old, new in zip(node.outputs, outputs, strict=True)})
        return made[id(self.output)]


def _functional(model: Any) -> Any:
    import keras

    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs)
    if not hasattr(model, "_run_through_graph"):
        raise EdgekitError(
            f"{printable(str(model.name))} is a program of its own (a subclass of keras.Model), whose layers cannot be "
            "looked at.",
            "Build it with keras.Sequential or the functional API.",
        )
    return model
