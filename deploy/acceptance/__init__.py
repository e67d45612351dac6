"""A small trained bundle through every engine that this machine can build or open."""
