"""The running monitor: one loop that reads, scores, folds and judges, and an HTTP server beside it that tells."""

from monitor.service.run import run_monitor

__all__ = ["run_monitor"]
