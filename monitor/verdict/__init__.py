"""From two buckets and the evidence to a verdict: signals, tiers, cause, explanation, words."""
