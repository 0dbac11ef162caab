"""Every scheme answers on the application's runtime as in Python: what is in an APK, on the CPU, the GPU and NNAPI."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from android_demo.tools import jvm
from edgekit.core import embed
from edgekit.runtime.classify import Classifier
from tests.android import networks
from tests.android.host import natives

pytestmark = pytest.mark.slow

ANSWERS = natives.HERE / "Answers.java"
COUNT = 40  # images

# The largest difference of a score from Python's: what the two runtimes compute differently, with some room. Float
# kernels agree; the GPU computes with 16 bits. Of weights alone in 8 bits (dynamic) each kernel rounds the activations
# in its own way; GPU and NNAPI compute in float what the CPU computes in integers.
LARGEST = {
    "none": {"cpu": 5e-5, "gpu": 0.03, "nnapi": 5e-5},
    "float16": {"cpu": 5e-5, "gpu": 0.03, "nnapi": 5e-5},
    "dynamic": {"cpu": 0.2, "gpu": 0.2, "nnapi": 0.2},
    "int8": {"cpu": 0.1, "gpu": 0.2, "nnapi": 0.1},
    "int16x8": {"cpu": 2e-3, "gpu": 5e-3},
    "third party": {"cpu": 0.005, "gpu": 0.05, "nnapi": 0.05},
}


@dataclass(frozen=True)
class Example:
    """A model, input tensors, and Python's scores for them."""

    model: Path
    tensors: NDArray[np.generic]
    scores: NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What the application's classifier says: the scores and the nodes of the delegate, or why it refuses."""

    scores: NDArray[np.float32] | None
    delegated: int
    nodes: int
    refusal: str


Answered = Callable[..., dict[str, Answer]]


def example(model: Path) -> Example:
    """Python's answers to the networks' images."""
    classifier = Classifier(model)
    tensors = np.stack([classifier.prepare(image) for image in networks.images(COUNT, seed=11)])
    return Example(model, tensors, classifier.scores(tensors))


def answers(
    kind: str, examples: dict[str, Example], classpath: list[Path], libraries: Path, folder: Path, *options: str
) -> dict[str, Answer]:
    """What the application's classifier answers to the examples, in one JVM."""
    arguments = [kind]
    for name, one in examples.items():
        (folder / f"{name}.in").write_bytes(one.tensors.tobytes())
        arguments += [str(one.model), str(folder / f"{name}.in"), str(folder / f"{name}.out")]
    done = jvm.java(
        "Answers", arguments, classpath=classpath, libraries=libraries, environment=natives.MESA, options=options
    )
    assert done.returncode == 0, done.stdout
    found = {}
    for name, one in examples.items():
        line = rf"^(ANSWERED|REFUSED) {re.escape(one.model.name)} (.*)$"
        [(verb, rest)] = re.findall(line, done.stdout, re.MULTILINE)
        if verb == "REFUSED":
            found[name] = Answer(None, 0, 0, rest)
        else:
            scores = np.frombuffer((folder / f"{name}.out").read_bytes(), np.float32).reshape(one.scores.shape)
            delegated, nodes = map(int, rest.split())
            found[name] = Answer(scores, delegated, nodes, refusal="")
    return found


def largest_difference(answer: Answer, one: Example) -> float:
    """Of any score from Python's."""
    assert answer.scores is not None, answer.refusal
    return float(np.abs(answer.scores - one.scores).max())


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """A network in every scheme, and a third party's."""
    folder = tmp_path_factory.mktemp("schemes")
    found = networks.in_every_scheme(folder)
    found["third party"] = networks.third_party(folder / "third_party.tflite")
    embed.write_spec(found["third party"], networks.third_party_spec(), found["third party"])
    return {name: example(path) for name, path in found.items()}


@pytest.fixture(scope="module")
def classpath(runtime_classpath: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [jvm.javac([ANSWERS], tmp_path_factory.mktemp("answers"), runtime_classpath), *runtime_classpath]


@pytest.fixture(scope="module", params=["cpu", "gpu", "nnapi"])
def answered(
    request: pytest.FixtureRequest,
    examples: dict[str, Example],
    classpath: list[Path],
    host_libraries: Path,
    nnapi_libraries: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, dict[str, Answer]]:
    """A delegate, and its answers."""
    libraries = nnapi_libraries if request.param == "nnapi" else host_libraries
    folder = tmp_path_factory.mktemp("answered")
    return request.param, answers(request.param, examples, classpath, libraries, folder)


@pytest.mark.parametrize("name", LARGEST)
def test_answers_as_python_does(
    name: str, answered: tuple[str, dict[str, Answer]], examples: dict[str, Example]
) -> None:
    kind, found = answered
    if kind not in LARGEST[name]:  # the delegate cannot take 64-bit biases, and says so
        assert "INT64 is not supported" in found[name].refusal
        return
    assert largest_difference(found[name], examples[name]) < LARGEST[name][kind]
    best, expected = found[name].scores.argmax(1), examples[name].scores.argmax(1)  # type: ignore[union-attr]
    clear = np.diff(np.sort(examples[name].scores, 1)[:, -2:])[:, 0] > 2 * LARGEST[name][kind]
    assert clear.any()
    assert (best == expected)[clear].all()


@pytest.mark.parametrize("answered", ["gpu", "nnapi"], indirect=True)
def test_the_delegate_takes_all_nodes(answered: tuple[str, dict[str, Answer]]) -> None:
    taken = {name: (answer.delegated, answer.nodes) for name, answer in answered[1].items() if name != "int16x8"}
    assert all(delegated == nodes > 1 for delegated, nodes in taken.values()), taken


def test_dynamic_is_no_farther_from_the_float_model_than_in_python(
    answered: tuple[str, dict[str, Answer]], examples: dict[str, Example]
) -> None:
    scores = answered[1]["dynamic"].scores
    assert scores is not None
    true, here = examples["none"].scores, examples["dynamic"].scores
    assert np.abs(scores - true).mean() < 1.2 * np.abs(here - true).mean()


def test_without_nnapi_the_delegate_takes_nothing(
    examples: dict[str, Example], classpath: list[Path], host_libraries: Path, tmp_path: Path
) -> None:
    found = answers("nnapi", {"none": examples["none"]}, classpath, host_libraries, tmp_path)
    assert found["none"].delegated == 0
    assert largest_difference(found["none"], examples["none"]) < LARGEST["none"]["cpu"]
