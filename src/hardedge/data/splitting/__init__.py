"""Splits that do not leak: near duplicates and groups stay together, classes are balanced by images."""
