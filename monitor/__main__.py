"""`python -m monitor COMMAND`: the monitor's own commands, without the proxy's."""

from __future__ import annotations

import sys

from monitor.commands import app
from monitor.contract.command import run_app

if __name__ == "__main__":
    sys.exit(run_app(app))
