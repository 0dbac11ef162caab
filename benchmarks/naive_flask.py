"""What a person writes first: a Flask handler with one interpreter and a lock. python naive_flask.py MODEL

Prints its port. It takes whole images of any size, uses all cores for each inference, and checks nothing.
"""

from __future__ import annotations

import io
import os
import sys
import threading

import numpy as np
from flask import Flask, jsonify, request
from PIL import Image


def main() -> None:
    """Serve until the process is ended."""
    from ai_edge_litert.interpreter import Interpreter
    from waitress.server import create_server

    interpreter = Interpreter(sys.argv[1], num_threads=os.cpu_count())
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    height, width = (int(side) for side in source["shape"][1:3])
    lock = threading.Lock()
    app = Flask(__name__)

    @app.post("/classify")
    def classify():  # type: ignore[no-untyped-def]
        image = Image.open(io.BytesIO(request.get_data())).convert("RGB").resize((width, height))
        tensor = np.asarray(image)[None]
        with lock:
            interpreter.set_tensor(source["index"], tensor)
            interpreter.invoke()
            scores = interpreter.get_tensor(result["index"])[0]
        best = scores.argsort()[::-1][:5]
        return jsonify([{"label": int(index), "score": float(scores[index])} for index in best])

    server = create_server(app, host="127.0.0.1", port=0, threads=32)
    print(server.effective_port, flush=True)
    server.run()


if __name__ == "__main__":
    main()
