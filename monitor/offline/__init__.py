"""Files of exchanges: reading, scoring, comparing, backtesting."""
