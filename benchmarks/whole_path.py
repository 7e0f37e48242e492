"""The whole path on this machine: client, proxy, mirror, bus, Triton, monitor, verdict. Prints a Markdown table.

    make bench                                   everything, about 14 minutes (ten of them with the monitor down)
    .venv/bin/python benchmarks/whole_path.py --down-minutes 0.5      the same, shorter

Texts are generated: prompts of about 250 characters, answers of 1 kB, all different. Load generator, stand-in model,
proxy, monitor and Triton share the machine. Nothing here asserts; the table is the result.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from monitor.baseline import build_baseline
from monitor.contract import Exchange
from monitor.contract.config import BaselineConfig, Detection
from monitor.evidence.edetector import Detector
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.bucket import Bucket
from monitor.sketch.fold import fold
from monitor.threads import use_one_thread
from monitor.verdict.judge import judge

DRIFTGATE = Path(sys.executable).parent / "driftgate"
WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "for",
    "with",
    "as",
    "on",
    "by",
    "this",
    "be",
    "are",
    "from",
    "at",
    "or",
    "which",
    "their",
    "an",
    "its",
    "can",
    "has",
    "may",
    "more",
    "will",
    "system",
    "process",
    "method",
    "account",
    "order",
    "delivery",
    "payment",
    "refund",
    "model",
    "answer",
    "question",
    "customer",
    "service",
    "price",
    "part",
    "engine",
    "water",
    "energy",
    "school",
    "history",
    "language",
    "music",
    "city",
    "travel",
    "hotel",
    "train",
    "ticket",
    "weather",
    "garden",
    "recipe",
    "doctor",
    "patient",
    "market",
    "contract",
    "tax",
    "budget",
    "report",
    "project",
    "design",
    "network",
    "server",
    "memory",
    "signal",
    "window",
    "number",
    "table",
    "function",
    "value",
    "error",
    "change",
    "growth",
    "result",
    "example",
    "reason",
    "problem",
    "solution",
    "step",
    "option",
    "version",
    "note",
]


def main() -> None:
    """Run all parts and print the table."""
    arguments = _arguments()
    use_one_thread()  # as the monitor does
    with tempfile.TemporaryDirectory() as folder:
        recorded = Path(folder) / "exchanges.jsonl"
        write_exchanges(recorded, arguments.exchanges)
        rows = [
            ("fold, CPU an exchange", *fold_cost()),
            ("verdict", *verdict_cost()),
            ("state a bucket", *bucket_size()),
        ]
        rows += whole_path(Path(folder), recorded, arguments.rounds)
        if arguments.down_minutes:
            rows += monitor_down(Path(folder), recorded, arguments.down_minutes)
    print(f"\n{os.cpu_count()} cores, {arguments.rounds} rounds, {arguments.exchanges} exchanges a round\n")
    print("| figure | asked | measured |\n|---|--:|--:|")
    for name, asked, measured in rows:
        print(f"| {name} | {asked} | {measured} |")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exchanges", type=int, default=12_000, help="exchanges a round (default 12000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--down-minutes", type=float, default=10.0, help="minutes of load without monitor (default 10)"
    )
    return parser.parse_args()


def write_exchanges(path: Path, count: int) -> None:
    """Write generated exchanges, all different, with answers of 1 kB."""
    with path.open("w") as file:
        for exchange in generated(count):
            file.write(
                json.dumps({"id": exchange.id, "prompt": exchange.prompt, "response": exchange.response})
                + "\n"
            )


def generated(count: int) -> Iterator[Exchange]:
    """Yield exchanges of made-up sentences from the topics' own words."""
    rng = random.Random(7)
    for i in range(count):
        topic = rng.sample(WORDS, 30)
        prompt = " ".join(rng.choices(topic, k=40)).capitalize() + f" {i}?"
        response = ". ".join(" ".join(rng.choices(topic, k=12)).capitalize() for _ in range(20))[:1000]
        yield Exchange(id=f"g{i}", time=60.0 * (i // 600), prompt=prompt, response=response)


def _reference() -> tuple[object, object]:
    scorer = LocalScorer(SHIPPED)
    scored = score_all(list(generated(4000)), scorer)
    baseline = build_baseline(
        scored, route="default", scorer=scorer.identity, settings=BaselineConfig(), created=0.0
    )
    return baseline, scored


def fold_cost() -> tuple[str, str]:
    """Measure CPU time of folding 1 kB exchanges in the monitor's batches."""
    baseline, scored = _reference()
    spent = []
    for _ in range(5):
        start = time.process_time()
        for at in range(0, len(scored.exchanges), 500):
            fold(baseline, scored.take(np.arange(at, min(at + 500, len(scored.exchanges)))))
        spent.append((time.process_time() - start) / len(scored.exchanges) * 1e6)
    return "≤ 100 µs", f"{statistics.median(spent):.0f} µs"


def verdict_cost() -> tuple[str, str]:
    """Measure one verdict on windows of a thousand and of about a million exchanges."""
    baseline, scored = _reference()
    detector = Detector(baseline, 1.0)
    part = next(iter(fold(baseline, scored.take(np.arange(500))).values()))
    shown = []
    for doublings in (1, 11):
        window: Bucket = part
        for _ in range(doublings):
            window = window.merge(window)
        evidence = detector.advance(detector.start(), window, minutes=1.0, now=0.0)
        spent = []
        for _ in range(30):
            start = time.perf_counter()
            evidence = detector.advance(evidence, part, minutes=1.0, now=0.0)
            judge(baseline, window, detector.findings(evidence), arm="control", settings=Detection(), now=0.0)
            spent.append((time.perf_counter() - start) * 1e3)
        shown.append(f"{statistics.median(spent):.1f} ms at {window.n:,}")
    return "≤ 50 ms", ", ".join(shown)


def bucket_size() -> tuple[str, str]:
    """Measure the stored size of full minute buckets."""
    baseline, scored = _reference()
    sizes = [len(bucket.to_bytes()) for bucket in fold(baseline, scored).values()]
    return "≤ 20 kB", f"{statistics.median(sizes) / 1000:.1f} kB"


def whole_path(folder: Path, recorded: Path, rounds: int) -> list[tuple[str, str, str]]:
    """Send everything through the running whole, several times; count what was answered and scored a second."""
    answered, scored, count = [], [], sum(1 for _ in recorded.open())
    with _standin(recorded) as model, _up(folder / "state", model) as ports:
        idle = _worker_rss()
        _replay(ports, recorded, limit=3000)  # makes the baseline
        _wait_until_scored(ports)
        for _ in range(rounds):
            before, start = _scored(ports), time.perf_counter()
            answered.append(_replay(ports, recorded))
            _wait_until_scored(ports, before + count)
            scored.append(count / (time.perf_counter() - start))
        busy = _worker_rss()
    return [
        ("exchanges a second, answered to the client", "-", f"{statistics.median(answered):,.0f}"),
        (
            "exchanges a second, scored by embedded Triton and folded",
            "≥ 1,500",
            f"{statistics.median(scored):,.0f}",
        ),
        ("proxy worker, memory idle", "≤ 80 MB", f"{idle:.0f} MB"),
        ("proxy worker, memory after the load", "-", f"{busy:.0f} MB"),
    ]


def monitor_down(folder: Path, recorded: Path, minutes: float) -> list[tuple[str, str, str]]:
    """Keep 500 requests a second going without a monitor; watch the proxy's memory."""
    with _standin(recorded) as model, _proxy(folder / "alone", model) as ports:
        _replay(ports, recorded, rate=500, limit=500 * 20)
        seen = [_worker_rss()]
        end = time.monotonic() + 60 * minutes
        while time.monotonic() < end:
            _replay(ports, recorded, rate=500, limit=500 * 10)
            seen.append(_worker_rss())
    growth = float(np.polyfit(np.arange(len(seen)), seen, 1)[0]) * (len(seen) - 1)
    return [
        (
            f"the same, {minutes:g} min at 500 a second without monitor",
            "flat",
            f"{seen[0]:.0f} → {seen[-1]:.0f} MB, trend {growth:+.1f} MB",
        ),
    ]


Ports = dict[str, int]


@contextmanager
def _standin(recorded: Path) -> Iterator[str]:
    port = _free_port()
    command = [DRIFTGATE, "standin", str(recorded), "--listen", f"127.0.0.1:{port}"]
    with _running(command, f"http://127.0.0.1:{port}/v1/models"):
        yield f"http://127.0.0.1:{port}/v1"


@contextmanager
def _up(state: Path, upstream: str) -> Iterator[Ports]:
    with _configured("up", state, upstream) as ports:
        yield ports


@contextmanager
def _proxy(state: Path, upstream: str) -> Iterator[Ports]:
    with _configured("proxy", state, upstream) as ports:
        yield ports


@contextmanager
def _configured(command: str, state: Path, upstream: str) -> Iterator[Ports]:
    state.mkdir()
    ports = {name: _free_port() for name in ("proxy", "admin", "monitor", "http", "grpc", "metrics")}
    config = state / "driftgate.yaml"
    config.write_text(
        f"state_dir: {state}\nproxy: {{listen: '127.0.0.1:{ports['proxy']}', upstream: '{upstream}'}}\n"
        f"admin: {{listen: '127.0.0.1:{ports['admin']}'}}\nmonitor: {{listen: '127.0.0.1:{ports['monitor']}'}}\n"
        f"scoring: {{http_port: {ports['http']}, grpc_port: {ports['grpc']}, metrics_port: {ports['metrics']}}}\n"
        "baseline: {size: 2000}\n"
    )
    ready = f"http://127.0.0.1:{ports['monitor' if command == 'up' else 'admin']}/-/readyz"
    with _running([DRIFTGATE, command, "--config", str(config)], ready):
        yield ports


@contextmanager
def _running(command: list[object], ready: str) -> Iterator[None]:
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(ready)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - a loopback address made here
                return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within a minute")


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _replay(ports: Ports, recorded: Path, *, rate: float | None = None, limit: int | None = None) -> float:
    """Send, and return the answers a second."""
    command = [DRIFTGATE, "replay", recorded, "--to", f"http://127.0.0.1:{ports['proxy']}/v1", "--json"]
    command += ["--rate", rate] if rate else []
    command += ["--limit", limit] if limit else []
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["per_second"])


def _scored(ports: Ports) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{ports['monitor']}/-/status", timeout=10) as answer:
        return int(json.load(answer)["scored"])


def _wait_until_scored(ports: Ports, count: int = 3000) -> None:
    while _scored(ports) < count:
        time.sleep(0.05)


def _worker_rss() -> float:
    """Return the resident memory of the largest proxy worker that this program has started, in MB."""
    sizes = []
    for entry in Path("/proc").iterdir():
        try:
            if b"proxy.worker" in (entry / "cmdline").read_bytes() and _is_mine(int(entry.name)):
                pages = int((entry / "statm").read_text().split()[1])
                sizes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        except (OSError, ValueError):
            continue
    return max(sizes, default=float("nan"))


def _is_mine(process: int) -> bool:
    while process > 1 and process != os.getpid():
        stat = Path(f"/proc/{process}/stat").read_text()
        process = int(stat.rpartition(")")[2].split()[1])
    return process == os.getpid()


if __name__ == "__main__":
    main()
