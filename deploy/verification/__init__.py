"""The stage that verifies engines: its inputs, its runs, and the gates."""
