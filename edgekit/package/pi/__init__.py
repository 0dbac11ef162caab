"""Bundles for the Raspberry Pi."""
