"""The demo from curtain to curtain: start everything, play the acts, add up, clean up.

Law of this file: the order of things. What must be seen stands in `acts`; a demo that does not see it fails.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
from rich.console import Console

from monitor.commands.render import terminal
from monitor.demo.acts import ACTS
from monitor.demo.processes import BASELINE_SIZE, Running, start, write_config
from monitor.demo.stage import DemoFailed, Stage
from monitor.demo.traffic import World, customers, models
from monitor.demo.view import View

_READY_WITHIN_S = 90.0
_POLL_S = 0.25
_SEED = 7
_INTERRUPTED = 130


class Options(NamedTuple):
    """How to play."""

    per_second: float = 120.0
    local: bool = False
    keep: bool = False


def run_demo(options: Options) -> int:
    """Play the demo and return the exit status. Raises DemoFailed."""
    console = terminal()
    with tempfile.TemporaryDirectory(prefix="driftgate-demo-") as directory:
        return asyncio.run(_until_stopped(_play(Path(directory), options, console)))


async def _until_stopped(play: Coroutine[Any, Any, None]) -> int:
    """Play, and leave the stage in order when a signal comes."""
    playing = asyncio.ensure_future(play)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    try:
        await playing
    except asyncio.CancelledError:
        return _INTERRUPTED
    return 0


async def _play(directory: Path, options: Options, console: Console) -> None:
    world, began = World(_SEED), time.monotonic()
    console.print(
        "Two stand-in models (templates, no real model) and generated customers, through the real proxy, bus, "
        f"{'in-process scorer' if options.local else 'Triton'} and monitor.\nNothing leaves this machine; a baseline "
        f"is learnt from {BASELINE_SIZE} exchanges here, from a day and 10,000 by default.\n"
    )
    async with models(world) as upstreams:
        running = await start(write_config(directory, upstreams, local=options.local))
        try:
            await _ready(running, console)
            await _acts(running, world, options, console)
            console.print(
                f"\nDone in {time.monotonic() - began:.0f} s: everything that should be seen was seen."
            )
            if options.keep:
                await _keep(running, world, console)
        except DemoFailed as failure:
            raise DemoFailed(_with_log(failure, running, console)) from None
        finally:
            await running.stop()


async def _acts(running: Running, world: World, options: Options, console: Console) -> None:
    with View(console) as view:
        async with aiohttp.ClientSession() as session:
            stage = Stage(running, view, session)
            async with customers(world, running.addresses.base_url, options.per_second) as out:
                played = [await stage.play(act, world, out) for act in ACTS]
            await stage.add_up(played, out.so_far())


async def _ready(running: Running, console: Console) -> None:
    """Wait until `driftgate up` says that it is up."""
    began = time.monotonic()
    while not any("base_url" in line for line in running.last_lines(400)):
        if running.ended or time.monotonic() - began > _READY_WITHIN_S:
            raise DemoFailed("driftgate did not start" if running.ended else "driftgate is not ready in time")
        await asyncio.sleep(_POLL_S)
    if any("WITHOUT" in line for line in running.last_lines(400)):
        raise DemoFailed(
            "a part of driftgate cannot run here; try `driftgate demo --local` where it is Triton"
        )
    addresses = running.addresses
    console.print(f"Started in {time.monotonic() - began:.0f} s, as `driftgate up` would be:")
    for name, address in (
        ("base_url", addresses.base_url),
        ("status", f"http://{addresses.admin}/-/status"),
        ("monitor", f"http://{addresses.monitor}/-/status"),
        ("log", str(running.log)),
    ):
        console.print(f"  {name:<9} {address}", markup=False, soft_wrap=True)


async def _keep(running: Running, world: World, console: Console) -> None:
    """Leave everything running, with a little traffic, until Ctrl-C."""
    console.print("Still running, at the addresses above, with 5 exchanges a second. Ctrl-C ends it.")
    async with customers(world, running.addresses.base_url, 5.0):
        await running.wait()
    raise DemoFailed("driftgate ended")


def _with_log(failure: DemoFailed, running: Running, console: Console) -> str:
    """Print the end of the log, which is gone afterwards; return the message."""
    console.print("\nThe last lines of driftgate:", style="dim")
    for line in running.last_lines():
        console.print(f"  {line}", style="dim", markup=False, soft_wrap=True)
    return str(failure)
