"""What runs on a device: numpy, Pillow and one interpreter, the standard library otherwise.

Nothing in this package imports another part of edgekit, and nothing in it writes a model file:
device bundles carry these very files.
"""
