"""What every room of the toolchain shares: errors, child processes, files, specs inside models."""
