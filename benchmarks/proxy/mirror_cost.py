"""What the mirror's single steps cost, in processor time an exchange, as a Markdown table.

    .venv/bin/python benchmarks/proxy/mirror_cost.py

Law: the same request and answer as in `speed.py`, captured 200 times, which is one batch; each step runs over the whole
batch, in turns with the others, and nothing else runs in this process. The lowest of the rounds is what a step costs
with everything in the caches; the median tells what the machine made of it. Between the forwarding of others'
requests the same steps cost more. Publishing includes SQLite's checkpoints, so its mean is printed, too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from speed import BODY
from upstream import ANSWER

from monitor.bus.sqlite import SqliteBus
from monitor.contract import encode_exchanges
from monitor.contract.config import Mirror as MirrorConfig
from proxy.assemble import Assembler
from proxy.capture import Capture
from proxy.endpoints import ENDPOINTS
from proxy.mirror import BATCH, Clock, Mirror
from proxy.redact import READY, Redactor
from proxy.scoreboard import Scoreboard

LIMIT = 2**24
ASKED = json.dumps(BODY).encode()


HEADERS = [
    (b"host", b"127.0.0.1"),
    (b"content-type", b"application/json"),
    (b"authorization", b"Bearer sk-bench"),
    (b"content-length", b"%d" % len(ASKED)),
]


def capture_batch(mirror: Mirror) -> list[Capture]:
    """Capture a batch, as forwarding does; every body is an object of its own."""
    clock = mirror.clock.monotonic
    for _ in range(BATCH):
        now = time.time()
        capture = mirror.begin(mirror.new_id(now), now, clock(), "chat.completions", HEADERS)
        if capture is None:
            raise RuntimeError("the mirror does not capture")
        capture.route, capture.arm, capture.variant = "default", "control", "default"
        capture.keep_request(ASKED[:1] + ASKED[1:])
        capture.status, capture.content_type = 200, b"application/json"
        capture.keep_response(ANSWER[:1] + ANSWER[1:], clock)
        mirror.offer(capture, clock())
    batch = list(mirror.queue)
    mirror.queue.clear()
    mirror.budget.freed = mirror.budget.taken
    return batch


def steps(folder: Path) -> list[tuple[str, Callable[[], object]]]:
    """Name the steps; each works on a whole batch."""
    board = Scoreboard(folder, "bench")
    mirror = Mirror(MirrorConfig(), board, b"salt", Clock())
    batch = capture_batch(mirror)
    endpoint = ENDPOINTS["chat.completions"]
    redact = Redactor(tuple(READY), {})
    assemble = Assembler(redact, b"salt", LIMIT)
    exchanges = [assemble(capture) for capture in batch]
    texts = [f"{exchange.prompt}\n{exchange.response}" for exchange in exchanges]
    bus = SqliteBus(folder / "bus.sqlite")
    return [
        ("capturing, headers and an id included", lambda: capture_batch(mirror)),
        ("reading the request", lambda: [endpoint.read_request(capture.request[0]) for capture in batch]),
        ("reading the answer", lambda: [endpoint.read_answer(capture.response[0]) for capture in batch]),
        ("asking whether there is anything to redact", lambda: [redact.may_change(text) for text in texts]),
        ("assembling: these three, and making the exchange", lambda: [assemble(c) for c in batch]),
        ("encoding the batch", lambda: encode_exchanges(exchanges)),
        ("publishing: this, and committing it", lambda: bus.publish("p", exchanges, time.time())),
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        found = steps(Path(folder))
        costs: dict[str, list[float]] = {name: [] for name, _ in found}
        for _ in range(rounds):
            for name, step in found:
                before = time.process_time_ns()
                step()
                costs[name].append((time.process_time_ns() - before) / 1e3 / BATCH)
    print("| CPU µs an exchange | lowest | median | mean |\n|---|--:|--:|--:|")
    for name, taken in costs.items():
        print(
            f"| {name} | {min(taken):.2f} | {statistics.median(taken):.2f} | {statistics.mean(taken):.2f} |"
        )


if __name__ == "__main__":
    main()
