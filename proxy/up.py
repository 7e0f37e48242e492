"""`driftgate up`: Triton, monitor and proxy on one machine, in one terminal.

Law of this file: it decides what runs and in which order it stops (the proxy drains first, then the monitor, then
Triton); `supervisor` does it. Nothing here is on the path of a request.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from monitor.contract.command import CommandFault, Settings
from monitor.contract.config import Config, split_address
from proxy.reload import Terminal
from proxy.supervisor import Child, Supervised

_STOP_WITHIN_S = 20.0
_COLOURS = {"proxy": "36", "monitor": "35", "triton": "33", "up": "1"}


def children(config: Config, settings: Settings) -> list[Child]:
    """Return what to run, in the order in which it stops."""
    run = [sys.executable, "-P", "-m"]
    flags = settings.arguments()
    found = [
        Child(
            "proxy",
            [*run, "proxy", "proxy", *flags],
            f"http://{reachable(config.admin.listen)}/-/readyz",
            config.proxy.lame_duck_s + config.proxy.drain_s + 5.0,
            essential=True,
            reloads=True,
        ),
        Child(
            "monitor",
            [*run, "monitor", "monitor", *flags],
            f"http://{reachable(config.monitor.listen)}/-/readyz",
            _STOP_WITHIN_S,
        ),
    ]
    if config.scoring.kind == "triton" and not config.scoring.url:
        ready = f"http://127.0.0.1:{config.scoring.http_port}/v2/health/ready"
        found.append(Child("triton", [*run, "monitor", "triton", *flags], ready, _STOP_WITHIN_S))
    return found


def reachable(address: str) -> str:
    """Return an address under which this machine reaches what listens on `address`."""
    host, port = split_address(address)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 the wildcard is recognised, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ready_block(config: Config, missing: Sequence[str] = ()) -> str:
    """Say what a person needs now, and which parts are `missing`."""
    served = [(route.name, route.variant.upstream or config.proxy.upstream) for route in config.routes]
    rows = [
        ("base_url", f"http{'s' * bool(config.proxy.tls.cert)}://{reachable(config.proxy.listen)}/v1"),
        ("upstream", served[0][1] if len(served) == 1 else ", ".join(": ".join(pair) for pair in served)),
        ("status", f"http://{reachable(config.admin.listen)}/-/status   (also /-/drift, /metrics)"),
        ("monitor", f"http://{reachable(config.monitor.listen)}/-/status   (also /-/baselines, /metrics)"),
        ("state", str(Path(config.state_dir).resolve())),
    ]
    lines = "".join(f"  {name:<9} {value}\n" for name, value in rows)
    lines += "".join(
        f"  WITHOUT {name}, so drift cannot be told yet: {advice(name)}. It is tried again.\n"
        for name in missing
    )
    return f"\nDriftgate is up. Point your client here and change nothing else:\n{lines}  Ctrl-C stops it.\n"


def prefixed(name: str, line: str, *, colour: bool) -> str:
    """Return a child's line with its name before it."""
    label = f"{name:<8}│"
    return f"\x1b[{_COLOURS.get(name, '0')}m{label}\x1b[0m {line}\n" if colour else f"{label} {line}\n"


def run_up(settings: Settings) -> int:
    """Run everything until SIGINT or SIGTERM; return the exit status."""
    config = settings.load()
    fixed = {"proxy.listen": config.proxy.listen, "admin.listen": config.admin.listen}
    fixed["monitor.listen"] = config.monitor.listen
    for key, address in fixed.items():
        if split_address(address)[1] == 0:
            raise CommandFault(f"{key}: got {address!r}; `up` expects a fixed port")
    colour = sys.stderr.isatty()

    def say(name: str, line: str) -> None:
        with suppress(OSError):  # a terminal that is gone
            sys.stderr.write(prefixed(name, line, colour=colour))
            sys.stderr.flush()

    def announce(missing: list[str]) -> None:
        sys.stdout.write(f"{ready_block(config, missing)}\n")
        sys.stdout.flush()

    return asyncio.run(supervise(children(config, settings), say, announce))


async def supervise(
    plan: Sequence[Child], say: Callable[[str, str], None], on_ready: Callable[[list[str]], None]
) -> int:
    """Run children until a signal (0) or until an essential one cannot be started (its reason is raised).

    `on_ready` hears once of the children that are not ready when all have been tried.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    supervised = [Supervised(child, say) for child in plan]

    def on_signal() -> None:
        if stopping.is_set():
            say("up", "killing what still runs")
            for each in supervised:
                each.kill()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(signal.SIGHUP, _on_hangup, Terminal(), stopping, supervised, say)
    lives = [asyncio.create_task(each.run(), name=each.child.name) for each in supervised]
    announce = asyncio.create_task(_announce(supervised, on_ready), name="announce")
    stop = asyncio.create_task(stopping.wait(), name="stop")
    await asyncio.wait([*lives, stop], return_when=asyncio.FIRST_COMPLETED)
    announce.cancel()
    say("up", "stopping")
    for each in supervised:
        await each.stop()
    stop.cancel()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.remove_signal_handler(number)
    for reason in await asyncio.gather(*lives):
        if reason:
            raise CommandFault(f"{reason} before it was ready; its lines above say why", status=1)
    return 0


def _on_hangup(
    terminal: Terminal,
    stopping: asyncio.Event,
    supervised: Sequence[Supervised],
    say: Callable[[str, str], None],
) -> None:
    """Stop when the terminal is gone; otherwise let those that can read the configuration again."""
    if terminal.hung_up():
        stopping.set()
    else:
        asked = [each.child.name for each in supervised if each.reload()]
        say(
            "up",
            f"SIGHUP: read again by {', '.join(asked) or 'nobody'}; what others read needs their restart",
        )


async def _announce(supervised: Sequence[Supervised], on_ready: Callable[[list[str]], None]) -> None:
    for each in supervised:
        await (each.ready if each.child.essential else each.tried).wait()
    on_ready([each.child.name for each in supervised if not each.ready.is_set()])


def advice(name: str) -> str:
    """Say what to do about a part that cannot be started."""
    if name == "triton":
        return (
            "its lines above say why; where the embedded Triton cannot run, set `scoring.kind: local` "
            "(the same models in the monitor) or `scoring.url` (a Triton elsewhere)"
        )
    return "its lines above say why"
