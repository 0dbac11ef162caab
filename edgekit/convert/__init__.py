"""Keras or a float file in, a checked `.tflite` or `.onnx` file with its spec out."""

INPUT, OUTPUT = "image", "scores"  # what edgekit names the tensors of every file it converts
