"""Everything that meets a TensorRT: its API in all versions, builds in a process of their own, and engines at work."""
