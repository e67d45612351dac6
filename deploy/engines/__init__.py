"""Engines of every target: built, healed where a build refuses FP16, and opened to run."""
