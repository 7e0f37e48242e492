"""The embedded Triton Inference Server: what it needs, and running it."""
