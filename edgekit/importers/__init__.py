"""Foreign models: one module per format, and the checks that come before any library sees the file."""
