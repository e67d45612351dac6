"""Intervals and tests: bootstrap, equivalence, paired differences, Student's t, corrections."""
