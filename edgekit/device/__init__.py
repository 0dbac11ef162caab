"""Run what was packaged on a device that is attached, and bring back its report."""
