"""Packages for devices: a signed Android app with a model inside."""
