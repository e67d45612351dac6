"""Many trainings: sweeps, searches, and comparisons paired by seed."""
