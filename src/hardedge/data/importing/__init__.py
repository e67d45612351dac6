"""Data sets of other tools, written in the native form: one reader a format, one rule for every pixel."""
