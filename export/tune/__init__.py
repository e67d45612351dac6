"""Mixed precision searched to a goal."""
