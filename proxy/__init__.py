"""The proxy: forwards traffic unchanged and mirrors every exchange, off the hot path, to the bus."""
