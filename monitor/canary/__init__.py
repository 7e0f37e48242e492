"""Canaries: fixed prompts asked of the model again and again, so that a change of the model shows without traffic."""
