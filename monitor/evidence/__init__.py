"""Is it noise? The e-detector for streams, the two-sample test for files, and what they find."""
