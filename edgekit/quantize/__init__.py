"""Float model in, quantized model out; no TensorFlow. One adapter module per library whose private parts it needs."""
