"""Sketches: exchanges folded into additive buckets."""
