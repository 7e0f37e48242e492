"""The proxy's speed beside its peers', on this machine, as Markdown tables.

    make bench-proxy                                            everything that is installed, about 10 minutes
    .venv/bin/python benchmarks/proxy/speed.py --path DIR       look for peers' programs in DIR, too (repeatable)
    .venv/bin/python benchmarks/proxy/speed.py --rounds 3 --only Envoy

Law: each proxy is pinned to one core, the load (wrk, h2load; streams from `streams.py`) and an instant model to another. All
proxies take turns in every round, in an order that moves on, so that what else the machine does hits all of them; a
ratio is taken within a round, and what is printed is the median of the rounds with the lowest and highest. Beside
requests a second stands the proxy's own processor time a request, which a busy machine disturbs less. At one connection
h2load writes down every request's time, and percentiles are of those; wrk's 99th counts late answers several times, as it
adds the requests that they kept from being sent. Nothing here asserts; the tables are the result.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from peers import LOAD_CORE, TASKSET, Peer, Running, instant_model, others, ours

HERE = Path(__file__).parent
BODY = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "How do I return a parcel? " * 18},
    ],
}
MIRROR_ON, MIRROR_OFF = "Driftgate", "Driftgate, mirror off"
STREAMS, EVENTS = 64, 100
# So many that the streams' own cost is what is measured, not that of starting them.
MANY = 128
SETTLE_S = 0.6
# How the columns of `Alone` are printed.
_DIGITS = ("{:.3f}", "{:.2f}", "{:.2f}")
_PERCENTILE = re.compile(r"^ +(50|99)% +([0-9.]+)(us|ms|s|m)$", re.MULTILINE)
_COUNT = re.compile(r"(\d+) requests in ([0-9.]+)(ms|s|m)")
_UNIT_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(NamedTuple):
    """What one run of wrk found. `cpu_us`: the proxy's processor time a request."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class Alone(NamedTuple):
    """What one connection found, in milliseconds: percentiles of its requests, and wrk's 99th."""

    p50: float
    p99: float
    wrk_p99: float


Found = TypeVar("Found")


class Target(NamedTuple):
    """Something to load: a proxy that runs, or the model itself (`proxy` is None)."""

    name: str
    port: int
    headers: tuple[str, ...]
    proxy: Running | None


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    os.environ["PATH"] = os.pathsep.join([*arguments.path, os.environ["PATH"]])
    if (
        not shutil.which("wrk")
        or not shutil.which("h2load")
        or not Path(TASKSET).exists()
        or os.cpu_count() == 1
    ):
        sys.exit("this needs wrk, h2load (nghttp2-client), taskset and two cores")
    with instant_model() as port, tempfile.TemporaryDirectory() as folder:
        _measure(arguments, port, Path(folder))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seconds", type=int, default=1, help="length of one run (default 1)")
    parser.add_argument("--path", action="append", default=[], help="folder with peers' programs")
    parser.add_argument("--only", nargs="*", help="peers to measure beside ours, by the start of their names")
    parser.add_argument("--skip-streams", action="store_true")
    return parser.parse_args()


def _measure(arguments: argparse.Namespace, port: int, folder: Path) -> None:
    wanted = [ours(MIRROR_ON), ours(MIRROR_OFF, mirror__enabled=False)]
    wanted.append(ours("Driftgate, proxy.transport aiohttp", proxy__transport="aiohttp"))
    wanted += [peer for peer in others(port) if _wanted(peer, arguments.only)]
    targets = [Target("direct to the model", port, (), None)]
    missing: list[str] = []
    try:
        for peer in wanted:
            try:
                proxy = Running(peer, folder / peer.name.replace(" ", "_"), port)
            except FileNotFoundError:
                missing.append(f"{peer.name}: not installed")
            except TimeoutError as error:
                missing.append(f"{peer.name}: {error}")
            else:
                targets.append(Target(peer.name, proxy.port, peer.headers, proxy))
        print(
            f"\n{arguments.rounds} rounds of {arguments.seconds} s each; medians (lowest to highest)\n",
            flush=True,
        )
        throughput(targets, arguments, folder)
        latency(targets, arguments, folder)
        if not arguments.skip_streams:
            quick = [t for t in targets if t.name.startswith(("direct", "Drift", "nginx", "Envoy", "vLLM"))]
            streaming(quick, arguments)
            events(quick, max(2, arguments.rounds // 2))
            two_workers(arguments, port, folder)
    finally:
        for target in targets:
            if target.proxy is not None:
                target.proxy.stop()
    for line in missing:
        print(f"\n{line}")


def _wanted(peer: Peer, only: Sequence[str] | None) -> bool:
    return only is None or any(peer.name.startswith(start) for start in only)


def throughput(targets: Sequence[Target], arguments: argparse.Namespace, folder: Path) -> None:
    """Load everything over 32 connections and print the comparison with Envoy and with the mirror off."""
    idle = {target.name: target.proxy.memory_mb() for target in targets if target.proxy}
    rounds = _rounds(targets, arguments, lambda target: wrk(target, folder, 32, arguments.seconds))
    print(
        "| 32 connections | requests/s | against Envoy | p50 ms | p99 ms | CPU µs a request | against Envoy | MB idle / now |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for target in targets:
        found = [turn[target.name] for turn in rounds]
        against = [turn[target.name].rate / turn["Envoy"].rate for turn in rounds if "Envoy" in turn]
        memory = f"{idle[target.name]:.0f} / {target.proxy.memory_mb():.0f}" if target.proxy else "-"
        cells = [spread([load.rate for load in found], "{:,.0f}"), spread(against, "{:.2f}")]
        cells += [
            spread([load.p50_ms for load in found], "{:.2f}"),
            spread([load.p99_ms for load in found], "{:.1f}"),
        ]
        if target.proxy:
            by_cpu = [turn["Envoy"].cpu_us / turn[target.name].cpu_us for turn in rounds if "Envoy" in turn]
            cells += [spread([load.cpu_us for load in found], "{:.0f}"), spread(by_cpu, "{:.2f}")]
        else:
            cells += ["-", "-"]
        print(f"| {target.name} | {' | '.join(cells)} | {memory} |")
    both = [turn[MIRROR_ON].rate / turn[MIRROR_OFF].rate for turn in rounds]
    costs = [turn[MIRROR_OFF].cpu_us / turn[MIRROR_ON].cpu_us for turn in rounds]
    print(
        f"\nMirror on against mirror off: {spread(both, '{:.2f}')} in requests/s, {spread(costs, '{:.2f}')} by CPU.",
        flush=True,
    )


def latency(targets: Sequence[Target], arguments: argparse.Namespace, folder: Path) -> None:
    """Print what each proxy adds at one connection."""
    rounds = _rounds(targets, arguments, lambda target: alone(target, folder, arguments.seconds))
    print("\n| one connection | added p50, ms | added p99, ms | added p99 by wrk, ms |\n|---|--:|--:|--:|")
    direct = targets[0].name
    for target in targets[1:]:
        added = [np.subtract(turn[target.name], turn[direct]) for turn in rounds]
        cells = [spread(list(part), form) for part, form in zip(np.transpose(added), _DIGITS, strict=True)]
        print(f"| {target.name} | {' | '.join(cells)} |", flush=True)


def _rounds(
    targets: Sequence[Target], arguments: argparse.Namespace, measure: Callable[[Target], Found]
) -> list[dict[str, Found]]:
    rounds = []
    for number in range(arguments.rounds + 1):
        first = number % len(targets)
        rounds.append({target.name: measure(target) for target in (*targets[first:], *targets[:first])})
    return rounds[1:]  # the first one warmed up


def alone(target: Target, folder: Path, seconds: int) -> Alone:
    """Send one request after the other over one connection, by h2load and then by wrk."""
    body, log = folder / "body.json", folder / "requests.tsv"
    body.write_text(json.dumps(BODY))
    log.unlink(missing_ok=True)
    command = [
        TASKSET,
        "-c",
        LOAD_CORE,
        "h2load",
        "--h1",
        "-t1",
        "-c1",
        "-D",
        str(seconds),
        "--log-file",
        str(log),
    ]
    for header in ("Content-Type: application/json", "Authorization: Bearer sk-bench", *target.headers):
        command += ["-H", header]
    command += ["-d", str(body), f"http://127.0.0.1:{target.port}/v1/chat/completions"]
    subprocess.run(command, capture_output=True, check=True, timeout=seconds + 30)
    # One line a request: when it began, its status, and how many microseconds it took.
    status, took_us = np.loadtxt(log, usecols=(1, 2), ndmin=2).T
    if (status != 200).any():
        raise RuntimeError(f"{target.name} answers with errors: {sorted(set(status))}")
    p50, p99 = np.percentile(took_us, [50, 99]) / 1e3
    return Alone(p50, p99, wrk(target, folder, 1, seconds).p99_ms)


def wrk(target: Target, folder: Path, connections: int, seconds: int) -> Load:
    """Load a target for some seconds."""
    rows = "".join(
        f"wrk.headers[{json.dumps(h.partition(': ')[0])}] = {json.dumps(h.partition(': ')[2])}\n"
        for h in target.headers
    )
    script = folder / "load.lua"
    script.write_text(
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer sk-bench"\n{rows}wrk.body = {json.dumps(json.dumps(BODY))}\n'
    )
    command = [
        "taskset",
        "-c",
        LOAD_CORE,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(script),
    ]
    command += ["--latency", f"http://127.0.0.1:{target.port}/v1/chat/completions"]
    before = target.proxy.cpu_s() if target.proxy else 0.0
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    if "Non-2xx" in text:
        raise RuntimeError(f"{target.name} answers with errors:\n{text}")
    time.sleep(SETTLE_S)  # what the mirror still has to write belongs to these requests, too
    after = target.proxy.cpu_s() if target.proxy else 0.0
    counted = _COUNT.search(text)
    n = int(counted[1]) if counted else 0
    seconds_run = float(counted[2]) * _UNIT_S[counted[3]] if counted else 1.0
    times = {part: float(value) * _UNIT_S[unit] * 1e3 for part, value, unit in _PERCENTILE.findall(text)}
    # A run in which nothing came back has no percentiles.
    p50, p99 = times.get("50", math.nan), times.get("99", math.nan)
    return Load(n / seconds_run, p50, p99, (after - before) / max(n, 1) * 1e6)


def streaming(targets: Sequence[Target], arguments: argparse.Namespace) -> None:
    """Print what each proxy adds to paced streams, alone and beside large requests."""
    rounds = []
    for _ in range(max(2, arguments.rounds // 2)):
        turn = {
            target.name: (streams(target.port, STREAMS), streams(target.port, STREAMS, "--large"))
            for target in targets
        }
        rounds.append(turn)
    print(
        f"\n| {STREAMS} streams, one event each 20 ms | added to the first token, p50 / p99 ms "
        "| added to the gap, p99 ms | added to an event's way, p50 / p99 ms | p99 gap beside 400 kB requests, times |"
    )
    print("|---|--:|--:|--:|--:|")
    direct = targets[0].name
    for target in targets[1:]:

        def added(key: str, name: str = target.name) -> str:
            return spread([(turn[name][0][key] - turn[direct][0][key]) * 1e3 for turn in rounds], "{:.2f}")

        grown = [turn[target.name][1]["gaps_p99"] / turn[target.name][0]["gaps_p99"] for turn in rounds]
        cells = [f"{added('first_p50')} / {added('first_p99')}", added("gaps_p99")]
        cells += [f"{added('delays_p50')} / {added('delays_p99')}", spread(grown, "{:.2f}")]
        print(f"| {target.name} | {' | '.join(cells)} |")
    for target in targets[1:3]:
        streams(target.port, 256)
        if target.proxy is not None:
            print(f"\n{target.name}, memory after 256 streams: {target.proxy.memory_mb():.0f} MB", flush=True)


def events(targets: Sequence[Target], rounds: int) -> None:
    """Print what an event of a stream costs each proxy, and how many a second fill its core."""
    costs: dict[str, list[float]] = {}
    for number in range(rounds + 1):
        for target in targets:
            if target.proxy is None:
                continue
            before = target.proxy.cpu_s()
            streams(target.port, MANY)
            time.sleep(SETTLE_S)
            if number:  # the first round warmed up
                cost = (target.proxy.cpu_s() - before) / (MANY * EVENTS) * 1e6
                costs.setdefault(target.name, []).append(cost)
    print(
        f"\n| {MANY} streams, one event each 20 ms | CPU µs an event | events a second that fill a core | against Envoy |"
    )
    print("|---|--:|--:|--:|")
    for name, found in costs.items():
        against = [e / own for e, own in zip(costs.get("Envoy", []), found, strict=False)]
        filled = [1e6 / cost for cost in found]
        print(
            f"| {name} | {spread(found, '{:.1f}')} | {spread(filled, '{:,.0f}')} | {spread(against, '{:.2f}')} |"
        )
    print(flush=True)


def streams(port: int, count: int, *more: str) -> dict[str, float]:
    """Run paced streams through a port."""
    command = [TASKSET, "-c", LOAD_CORE, sys.executable, str(HERE / "streams.py")]
    command += [str(port), str(count), str(EVENTS), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=180)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def two_workers(arguments: argparse.Namespace, port: int, folder: Path) -> None:
    """Print what a second worker brings, with proxy, load and model on both cores.

    They take processor time from each other, so what a request takes is compared, too: two workers that have a core each
    serve twice as much, less what their requests have become dearer.
    """
    proxies = []
    try:
        proxies = [
            Running(ours(f"{n} workers", workers=n), folder / f"w{n}", port, core="0,1") for n in (1, 2)
        ]
        targets = [Target(p.peer.name, p.port, (), p) for p in proxies]
        rounds = _rounds(targets, arguments, lambda target: wrk(target, folder, 64, arguments.seconds))
    finally:
        for proxy in proxies:
            proxy.stop()
    pairs = [(turn["1 workers"], turn["2 workers"]) for turn in rounds]
    gains = spread([two.rate / one.rate for one, two in pairs], "{:.2f}")
    by_cpu = spread([2.0 * one.cpu_us / two.cpu_us for one, two in pairs], "{:.2f}")
    print(f"\nTwo workers against one, everything sharing two cores: {gains} in requests/s; {by_cpu} by CPU.")


def spread(values: Sequence[float], form: str) -> str:
    """Write a median with its range."""
    if not values:
        return "-"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{form.format(middle)} ({form.format(low)} to {form.format(high)})"


if __name__ == "__main__":
    main()
