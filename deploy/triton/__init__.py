"""Model repositories for NVIDIA Triton."""
