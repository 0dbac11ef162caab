"""Read the tensors of a PyTorch `.pth` file in the legacy format, without PyTorch and without running anything in it.

The format (`torch.serialization._legacy_save`): five pickles (a magic number, the protocol's version, the machine that
wrote it, the tensors, the keys of the storages), then for each key the number of elements (int64) and the elements.
A pickle is a program: only the instructions that build dictionaries of tensors are accepted, only three
functions can be named, and none of them is PyTorch's.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgekit.core.errors import ImportRefused, ModelFileError
from edgekit.runtime.spec import printable

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
MAX_BYTES = 1 << 30
MAX_INSTRUCTIONS = 500_000  # a tensor takes 36

_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8",
           "IntStorage": "<i4"}
_INSTRUCTIONS = frozenset({
    "PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "BINUNICODE", "BININT", "BININT1", "BININT2",
    "LONG1", "NONE", "NEWTRUE", "NEWFALSE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST",
    "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
})


class _Storage(NamedTuple):
    key: str
    dtype: str
    elements: int


class _Tensor(NamedTuple):  # not a dataclass: a pickle could change the fields of one after they were checked
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a state dictionary by name, each as a contiguous array of the shape and type it was saved with.

    Raises:
        ImportRefused: it is larger than 1 GB, or its pickles do something else than to build a dictionary of tensors.
        ModelFileError: it does not exist, is not such a file, or is damaged.
    """
    name = printable(str(path))
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportRefused(f"{name} is larger than {MAX_BYTES >> 30} GB.")
        stream = io.BytesIO(path.read_bytes())
    except FileNotFoundError:
        raise ModelFileError(f"{name} does not exist.") from None
    except OSError as error:
        raise ModelFileError(f"Cannot read {name}: {error.strerror}.") from error
    try:
        return _tensors(stream, name)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError,
            OverflowError, RecursionError) as error:
        raise ModelFileError(f"{name} is not a PyTorch file in the legacy format, or it is damaged.",
                             "Get a complete copy of the file.") from error


def _tensors(stream: io.BytesIO, name: str) -> dict[str, NDArray[Any]]:
    if _unpickle(stream, name) != MAGIC or _unpickle(stream, name) != PROTOCOL:
        raise ValueError("another format")
    if _unpickle(stream, name)["little_endian"] is not True:
        raise ImportRefused(f"{name} was written by a big-endian machine.")
    state = _unpickle(stream, name)
    tensors = {key: value for key, value in dict.items(state) if isinstance(key, str) and isinstance(value, _Tensor)}
    if len(tensors) < len(state):
        raise ImportRefused(f"{name} holds something else than tensors.", "Save the model's state_dict().")
    used = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    storages = {}
    data = stream.getbuffer()
    for key in _unpickle(stream, name):
        storage = used[key]
        start = stream.tell() + 8
        length = storage.elements * np.dtype(storage.dtype).itemsize
        if int.from_bytes(stream.read(8), "little") != storage.elements or start + length > len(data):
            raise ValueError("truncated")
        storages[key] = np.frombuffer(data, storage.dtype, storage.elements, start)
        stream.seek(start + length)
    _check_size(tensors, len(data), name)
    return {key: _array(tensor, storages[tensor.storage.key], tensors[key].storage) for key, tensor in tensors.items()}


def _check_size(tensors: dict[str, _Tensor], available: int, name: str) -> None:
    """Tensors may share a storage or repeat it (stride 0): together they may not be larger than the file."""
    claimed = sum(math.prod(tensor.shape) * np.dtype(tensor.storage.dtype).itemsize for tensor in tensors.values())
    if claimed > available:
        raise ImportRefused(f"{name} is {available:,} bytes and claims tensors of {claimed:,}.")


def _array(tensor: _Tensor, elements: NDArray[Any], claimed: _Storage) -> NDArray[Any]:
    if elements.dtype != np.dtype(claimed.dtype) or len(elements) != claimed.elements:
        raise ValueError("a storage of two kinds")
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, elements.dtype)
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if last >= len(elements):
        raise ValueError("a tensor outside of its storage")
    strides = [stride * elements.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides, writeable=False)
    return np.array(view, order="C")


def _unpickle(stream: io.BytesIO, name: str) -> Any:
    """Check the next pickle instruction by instruction, then load it; the stream is after it then."""
    start = stream.tell()
    for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
        if instruction.name not in _INSTRUCTIONS:
            raise ImportRefused(f"{name} has a pickle that does more than to build tensors ({instruction.name}).",
                                "Get weights from a source that you trust.")
        if instruction.name in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > count:
            raise ValueError("a memo with holes")  # an unpickler allocates up to the highest index
        if count > MAX_INSTRUCTIONS:
            raise ImportRefused(f"{name} has a pickle of more than {MAX_INSTRUCTIONS:,} instructions.")
    end = stream.tell()
    stream.seek(start)
    unpickler = _Unpickler(io.BytesIO(stream.read(end - start)))
    unpickler.file = name
    return unpickler.load()


class _Unpickler(pickle.Unpickler):
    """Knows three functions and the names of storages."""

    file = ""

    def find_class(self, module: str, name: str) -> Any:
        """A stand-in for what the pickle names."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        told = printable(f"{module}.{name}")[:100]
        raise ImportRefused(f"{self.file} calls {told}, which is no part of a dictionary of tensors.",
                            "Get weights from a source that you trust.")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage: ("storage", type, key, device, number of elements, no view)."""
        kind, dtype, key, _, elements, view = pid
        if kind != "storage" or dtype not in _DTYPES.values() or not isinstance(key, str) or view is not None:
            raise ValueError("no storage")
        return _Storage(key, dtype, _natural(elements))


def _rebuild_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, requires_grad: Any, hooks: Any, *_: Any
) -> _Tensor:
    if not isinstance(storage, _Storage) or len(shape) != len(strides) or len(shape) > 8:
        raise ValueError("no tensor")
    return _Tensor(storage, _natural(offset), tuple(map(_natural, shape)), tuple(map(_natural, strides)))


def _natural(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= MAX_BYTES:
        raise ValueError("a size out of range")
    return int(value)
