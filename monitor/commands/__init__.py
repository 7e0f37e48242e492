"""The monitor's commands: serve, judge offline, manage baselines, ask for the status, replay.

Law of this package: a command turns flags into values, calls what does the work and renders what comes back. It
imports its work inside the function, because the command line must answer `--help` without numpy.
"""

from monitor.commands import baseline, calibrate, demo, feedback, judge, replay, review, serve, status
from monitor.commands.app import app

__all__ = ["app", "baseline", "calibrate", "demo", "feedback", "judge", "replay", "review", "serve", "status"]
