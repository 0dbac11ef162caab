"""Does a candidate answer like its reference, and where not? Parity statistics, the gate, drift by layers."""
