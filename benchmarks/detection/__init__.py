"""What the detection finds and what it raises on nothing, measured on public data. See `__main__`."""
