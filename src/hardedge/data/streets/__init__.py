"""The built-in street scenes, drawn."""
