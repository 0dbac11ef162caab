"""Ask a TensorFlow Lite library for the highest version of each operator that it knows; prints {name: version} as JSON.

    LD_LIBRARY_PATH=FOLDER python -m tests.android.host.operators LIBRARY

This is how the numbers in `edgekit/core/tflite_runtimes.json` were made. An interpreter looks up all operators that a
model names before anything else, so a model of one name and no operator is enough.
"""

from __future__ import annotations

import ctypes
import itertools
import json
import sys

from tests.models import TFLiteFile


def main(library: str) -> None:
    """Print what the library answers."""
    tflite = ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    tflite.TfLiteModelCreate.restype = tflite.TfLiteInterpreterCreate.restype = ctypes.c_void_p
    names = vars(TFLiteFile().schema.BuiltinOperator).items()
    kinds = {name: code for name, code in names if isinstance(code, int) and name != "CUSTOM"}
    print(json.dumps({name: found for name, code in kinds.items() if (found := _highest(tflite, code))}))


def _highest(tflite: ctypes.CDLL, code: int) -> int:
    # BROADCAST_TO begins with version 2.
    first = next((version for version in (1, 2) if _knows(tflite, code, version)), None)
    if first is None:
        return 0
    return next(version for version in itertools.count(first) if not _knows(tflite, code, version + 1))


def _knows(tflite: ctypes.CDLL, code: int, version: int) -> bool:
    file = TFLiteFile()
    tensor = file.tensor("x", [1])
    operator = file.schema.OperatorCodeT()
    operator.builtinCode, operator.deprecatedBuiltinCode, operator.version = code, min(code, 127), version
    file.model.operatorCodes.append(operator)
    content = file.content([tensor], [tensor])
    model = tflite.TfLiteModelCreate(content, ctypes.c_size_t(len(content)))
    interpreter = tflite.TfLiteInterpreterCreate(ctypes.c_void_p(model), None)
    known = interpreter is not None
    tflite.TfLiteInterpreterDelete(ctypes.c_void_p(interpreter))
    tflite.TfLiteModelDelete(ctypes.c_void_p(model))
    return known


if __name__ == "__main__":
    main(sys.argv[1])
