"""`python -m proxy COMMAND`: the proxy's own commands, without the monitor's."""

from __future__ import annotations

import sys

from monitor.contract.command import run_app
from proxy.cli import app

if __name__ == "__main__":
    sys.exit(run_app(app))
