"""Whether images can calibrate a model: what was found about them, and what it does to the ranges of the layers."""
