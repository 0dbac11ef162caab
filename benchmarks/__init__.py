"""What edgekit costs and what it loses, measured beside the bare alternative. Run with `python -m benchmarks`."""
