"""onnxruntime's sessions: how they are opened, and how they run an image."""
