"""What a runtime offers: how it compiles a network, opens an engine, and what it holds; the table is in targets.py."""
