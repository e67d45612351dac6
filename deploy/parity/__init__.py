"""An engine's masks against the reference's."""
