"""Packages for devices: a signed Android app, and a folder for a Raspberry Pi."""
