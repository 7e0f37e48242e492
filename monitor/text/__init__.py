"""Texts as numbers, without a model: style features, and words that name groups of texts."""
