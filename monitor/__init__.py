"""The monitor: scores mirrored exchanges, folds them into sketches and judges them against a baseline."""
