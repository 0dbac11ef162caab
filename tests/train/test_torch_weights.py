"""PyTorch's legacy files, written here instruction by instruction, and those that must be refused."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import EdgekitError, ImportRefused, ModelFileError
from edgekit.train import torch_weights

ORDERED_DICT = b"ccollections\nOrderedDict\n)R"
STATE_START, STATE_END = b"\x80\x02" + ORDERED_DICT + b"(", b"u."
MACHINE = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
EIGHT = np.arange(8, dtype="<f4")


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def storage(key: str = "a", kind: str = "FloatStorage", elements: int = 8) -> bytes:
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + integer(elements) + b"NtQ"


def tensor(shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, of: bytes | None = None) -> bytes:
    sizes = [b"(" + b"".join(map(integer, numbers)) + b"t" for numbers in (shape, strides)]
    start = b"ctorch._utils\n_rebuild_tensor_v2\n(" + (storage() if of is None else of)
    return start + integer(offset) + b"".join(sizes) + b"\x89" + ORDERED_DICT + b"tR"


def state(**tensors: bytes) -> bytes:
    return STATE_START + b"".join(text(name) + content for name, content in tensors.items()) + STATE_END


def write(path: Path, content: bytes, data: dict[str, Any] | None = None, *, machine: Any = None) -> Path:
    """A file of four pickles, the keys of the storages, and the storages."""
    data = {"a": EIGHT} if data is None else data
    head = [pickle.dumps(part, 2) for part in (torch_weights.MAGIC, torch_weights.PROTOCOL, machine or MACHINE)]
    storages = [struct.pack("<q", len(array)) + array.tobytes() for array in data.values()]
    path.write_bytes(b"".join([*head, content, pickle.dumps(list(data), 2), *storages]))
    return path


def test_tensors_have_their_shapes_types_and_values(tmp_path: Path) -> None:
    longs = np.array([1 << 40, -3], "<i8")
    content = state(matrix=tensor((2, 4), (4, 1)), counts=tensor((2,), (1,), of=storage("b", "LongStorage", 2)))
    found = torch_weights.read(write(tmp_path / "good.pth", content, {"b": longs, "a": EIGHT}))
    assert list(found) == ["matrix", "counts"]
    assert np.array_equal(found["matrix"], EIGHT.reshape(2, 4))
    assert np.array_equal(found["counts"], longs)
    assert [str(found[name].dtype) for name in ("matrix", "counts")] == ["float32", "int64"]


def test_strides_and_offsets_are_honoured(tmp_path: Path) -> None:
    content = state(turned=tensor((4, 2), (1, 4)), part=tensor((2, 2), (4, 1), 2), number=tensor((), (), 5))
    found = torch_weights.read(write(tmp_path / "strides.pth", content))
    assert np.array_equal(found["turned"], EIGHT.reshape(2, 4).T)
    assert found["part"].tolist() == [[2, 3], [6, 7]]
    assert found["number"].tolist() == 5
    assert found["turned"].flags.c_contiguous


class Call:
    """Pickles into a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.what = (function, arguments)

    def __reduce__(self) -> Any:
        return self.what


@pytest.mark.parametrize("call", [(os.system, "touch called"), (eval, "open('called', 'w')"), (getattr, 1, "real")])
@pytest.mark.parametrize("protocol", [2, 4])
def test_nothing_in_a_file_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: tuple[Any, ...], protocol: int
) -> None:
    monkeypatch.chdir(tmp_path)
    hostile = write(tmp_path / "hostile.pth", pickle.dumps({"w": Call(*call)}, protocol))
    with pytest.raises(ImportRefused, match=r"hostile\.pth (calls|has a pickle that does more)"):
        torch_weights.read(hostile)
    hostile.write_bytes(pickle.dumps(Call(*call), protocol))
    with pytest.raises(ImportRefused, match=r"hostile\.pth (calls|has a pickle that does more)"):
        torch_weights.read(hostile)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (state(w=tensor((1 << 15, 1 << 15), (0, 0))), "claims tensors of 4,294,967,296"),
        (state(w=b"K\x01"), "something else than tensors"),
        (b"\x80\x02cnumpy\nload\n.", "calls numpy.load"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\n.", "calls torch._utils._rebuild_parameter"),
        (b"\x80\x02(i__main__\nThing\n.", "does more than to build tensors"),
        (b"\x80\x02" + b"(" * 500_001 + b".", "a pickle of more than 500,000 instructions"),
    ],
)
def test_what_no_dictionary_of_tensors_has(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ImportRefused, match=message):
        torch_weights.read(write(tmp_path / "w.pth", content))


@pytest.mark.parametrize(
    "content",
    [
        state(w=tensor((2, 4), (5, 1))),  # past the end
        state(w=tensor((2, 4), (4, 1), 1)),
        state(w=tensor((2,), (-1,), 4)),  # before the start
        state(w=tensor((2,), (1,), -1)),
        state(w=tensor((-2,), (1,))),
        state(w=tensor((2, 4), (4,))),
        state(w=tensor((9,), (1,), of=storage(elements=9))),  # the file has 8
        state(w=tensor((2,), (1,), of=storage("b"))),  # a storage that is not there
        state(w=tensor((8,), (1,)), v=tensor((4,), (1,), of=storage(kind="DoubleStorage", elements=4))),
        state(w=tensor((8,), (1,)) + b"}" + text("offset") + integer(-99) + b"sb"),  # changed after it was checked
        b"\x80\x02N\x72\xff\xff\xff\x7f.",  # a memo of 2^31 entries
        b"\x80\x02N.",
        b"\x80\x02ccollections\nOrderedDict\nK\x05R.",
        b"",
        b"no pickle",
    ],
)
def test_damage(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"w\.pth is not a PyTorch file in the legacy format, or it is damaged"):
        torch_weights.read(write(tmp_path / "w.pth", content))


def test_every_truncation_is_told(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.pth", state(w=tensor((2, 4), (4, 1)))).read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"cut\.pth is not"):
            torch_weights.read(tmp_path / "cut.pth")


def test_every_changed_byte_gives_tensors_or_an_error(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.pth", state(w=tensor((2, 4), (4, 1)))).read_bytes()
    errors = 0
    for place in range(len(whole) - EIGHT.nbytes):
        (tmp_path / "flipped.pth").write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = torch_weights.read(tmp_path / "flipped.pth")
        except EdgekitError:
            errors += 1
        else:
            assert all(array.nbytes <= EIGHT.nbytes for array in found.values())
    assert errors > len(whole) // 3


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        torch_weights.read(tmp_path / "none.pth")
    (tmp_path / "zip.pth").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(EdgekitError, match=r"zip\.pth"):
        torch_weights.read(tmp_path / "zip.pth")
    big_endian = write(tmp_path / "big.pth", state(w=tensor((8,), (1,))), machine={**MACHINE, "little_endian": False})
    with pytest.raises(ImportRefused, match="big-endian"):
        torch_weights.read(big_endian)
    with (tmp_path / "huge.pth").open("wb") as stream:
        stream.truncate(torch_weights.MAX_BYTES + 1)
    with pytest.raises(ImportRefused, match="larger than 1 GB"):
        torch_weights.read(tmp_path / "huge.pth")
