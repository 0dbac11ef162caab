"""Does a candidate answer like its reference? Parity statistics and the gate."""
