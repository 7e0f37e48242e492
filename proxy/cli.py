"""The proxy's commands.

Law of this file: flags in, exit status out. A command imports its work inside the function, so that the command
line answers `--help` without a web server.
"""

from __future__ import annotations

import typer

from monitor.contract.command import Settings, with_settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

_ENDS = "Exit status: 0 after SIGINT or SIGTERM, 1 when it cannot run on, 2 when the configuration is wrong."


@app.command("proxy", epilog=_ENDS, short_help="Forward traffic, unchanged, and mirror it.")
@with_settings
def proxy(settings: Settings) -> int:
    """Forward clients' traffic to the model, unchanged, and mirror every exchange to the bus.

    Needs nothing else to serve: with the monitor, the bus or Triton down it forwards on and counts what it could
    not mirror. SIGTERM lets running responses finish (`proxy.drain_s`); SIGHUP reads the configuration again, and
    one that is wrong changes nothing.
    """
    settings.load()  # what is wrong is said before a web server is imported
    from proxy.server import run_proxy

    return run_proxy(settings.load)


_UP_ENDS = "Exit status: 0 after SIGINT or SIGTERM, 1 when the proxy cannot be started, 2 when the configuration is wrong."


@app.command("up", epilog=_UP_ENDS, short_help="Run proxy, monitor and Triton here.")
@with_settings
def up(settings: Settings) -> int:
    """Run proxy, monitor and embedded Triton on this machine, supervised, in one terminal.

    What dies is started again with a growing pause; the proxy serves on meanwhile. Ctrl-C or SIGTERM stops all: the
    proxy lets running responses finish, then the monitor ends, then Triton. A second Ctrl-C kills what is left.
    SIGHUP makes the proxy read the configuration again.
    """
    from proxy.up import run_up

    return run_up(settings)
