"""`driftgate up`: Triton, monitor and proxy on one machine, in one terminal.

Law of this file: it decides what runs and in which order it stops (the proxy drains first, then the monitor, then
Triton); `supervisor` does it. Nothing here is on the path of a request.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from monitor.contract.command import CommandFault, Settings
from monitor.contract.config import Config, split_address
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
            config.proxy.drain_s + 5.0,
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


def ready_block(config: Config) -> str:
    """Say what a person needs now."""
    upstreams = [
        f"{route.name}: {route.variant.upstream or config.proxy.upstream}" for route in config.routes
    ]
    rows = [
        ("base_url", f"http://{reachable(config.proxy.listen)}/v1"),
        ("upstream", config.proxy.upstream if len(upstreams) == 1 else ", ".join(upstreams)),
        ("status", f"http://{reachable(config.admin.listen)}/-/status   (also /-/drift, /metrics)"),
        ("monitor", f"http://{reachable(config.monitor.listen)}/-/status   (also /-/baselines, /metrics)"),
        ("state", str(Path(config.state_dir).resolve())),
    ]
    if len(config.routes) == 1 and config.routes[0].variant.upstream:
        rows[1] = ("upstream", config.routes[0].variant.upstream)
    lines = "\n".join(f"  {name:<9} {value}" for name, value in rows)
    return (
        f"\nDriftgate is up. Point your client here and change nothing else:\n{lines}\n  Ctrl-C stops it.\n"
    )


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
        sys.stderr.write(prefixed(name, line, colour=colour))
        sys.stderr.flush()

    return asyncio.run(
        supervise(children(config, settings), say, on_ready=lambda: _print(ready_block(config)))
    )


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def supervise(
    plan: Sequence[Child], say: Callable[[str, str], None], on_ready: Callable[[], None]
) -> int:
    """Run children until a signal (0) or until one of them cannot be started (its reason is raised)."""
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
    lives = [asyncio.create_task(each.run(), name=each.child.name) for each in supervised]
    announce = asyncio.create_task(_announce(supervised, on_ready), name="announce")
    stop = asyncio.create_task(stopping.wait(), name="stop")
    await asyncio.wait([*lives, stop], return_when=asyncio.FIRST_COMPLETED)
    announce.cancel()
    say("up", "stopping")
    for each in supervised:
        await each.stop()
    stop.cancel()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
    for each, reason in zip(supervised, await asyncio.gather(*lives), strict=True):
        if reason:
            raise CommandFault(f"{reason} before it was ready; {advice(each.child.name)}", status=1)
    return 0


async def _announce(supervised: Sequence[Supervised], on_ready: Callable[[], None]) -> None:
    for each in supervised:
        await each.ready.wait()
    on_ready()


def advice(name: str) -> str:
    """Say what to do about a child that cannot be started."""
    if name == "triton":
        return (
            "its lines above say why. Where the embedded Triton cannot run, set `scoring.kind: local` "
            "(the same models in the monitor) or `scoring.url` (a Triton elsewhere)"
        )
    return "its lines above say why"
