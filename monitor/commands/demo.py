"""`driftgate demo`: three minutes that show what the product does, without a key, data or network."""

from __future__ import annotations

from typing import Annotated

import typer

from monitor.commands.app import app
from monitor.contract.command import CommandFault

_ENDS = "Exit status: 0 when everything that should be seen was seen, 1 when not, 130 after Ctrl-C."


@app.command("demo", epilog=_ENDS, short_help="See a model drift, in three minutes.")
def demo(
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running afterwards, until Ctrl-C.")
    ] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Score in the monitor's process, without Triton.")
    ] = False,
    rate: Annotated[float, typer.Option(metavar="R", min=20, max=1000, help="Exchanges a second.")] = 120.0,
) -> int:
    """Play a model that gets worse, through the real proxy, bus, Triton and monitor.

    Stand-in models and generated customers (both written for this, no real model, no network) learn a baseline, run
    well, then one model starts to evade and refuse, and the other's customers ask about something new. What you see
    (learning, ok, critical, the headers, the reasons) comes from the running processes.
    """
    from monitor.demo.run import Options, run_demo
    from monitor.demo.stage import DemoFailed

    try:
        return run_demo(Options(rate, local, keep))
    except DemoFailed as failure:
        raise CommandFault(f"demo: {failure}", status=1) from None
