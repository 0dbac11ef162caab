"""Labelled images: folders, manifests and arrays, split deterministically and read as a stream."""
