"""`driftgate monitor` and `driftgate triton`: processes that run until they are told to stop."""

from __future__ import annotations

from monitor.commands.app import app
from monitor.contract.command import Settings, with_settings

_ENDS = "Exit status: 0 after SIGINT or SIGTERM, 1 when it cannot run on, 2 when the configuration is wrong."


@app.command("monitor", epilog=_ENDS, short_help="Judge mirrored exchanges.")
@with_settings
def monitor(settings: Settings) -> int:
    """Judge mirrored exchanges: read the bus, score, fold, publish verdicts.

    Safe to stop, upgrade or kill at any time: exchanges wait in the bus, clients notice nothing.
    Needs Triton (`driftgate triton`) unless the configuration says `scoring.kind: local`.
    """
    config = settings.load()
    from monitor.service import run_monitor

    return run_monitor(config)


@app.command("triton", epilog=_ENDS, short_help="Serve the scoring models (embedded Triton).")
@with_settings
def triton(settings: Settings) -> int:
    """Serve the scoring models with the embedded Triton Inference Server.

    Not needed where `scoring.url` points to a Triton that runs elsewhere, or with `scoring.kind: local`.
    """
    config = settings.load()
    from monitor.contract.logs import set_up_logs
    from monitor.triton.server import run_triton

    set_up_logs(config.log, "triton")
    return run_triton(config)
