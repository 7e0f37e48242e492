"""Exchanges scored in a second: in this process, and through the embedded Triton, for 1 kB answers.

    .venv/bin/python benchmarks/scoring.py [--seconds 3]

The answers are made of common words drawn at random, so that no data are needed; a client sends one request after
another, as the monitor does. CPU seconds an exchange are those of this process (client and, for `local`, models).
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from monitor.scorer import Scorer
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.scorer.triton import TritonScorer
from monitor.triton.plan import Ports, TritonFault, find_installation, plan
from monitor.triton.server import TritonServer

BATCHES = (16, 64, 256)
EXCHANGES = 4_096


def make_texts(count: int, chars: int, seed: int) -> list[str]:
    """Return texts of about so many characters: vocabulary words, the common ones more often, with punctuation."""
    rng = random.Random(seed)
    vocabulary = (SHIPPED / "exchange_scorer" / "1" / "weights" / "vocabulary.txt").read_text(
        encoding="utf-8"
    )
    words = [word for word in vocabulary.split("\n") if word.isascii() and word.isalpha()]
    weights = [1 / (rank + 10) for rank in range(len(words))]
    per_text = chars // 6
    texts = []
    for _ in range(count):
        drawn = rng.choices(words, weights, k=per_text)
        sentences = [
            " ".join(drawn[start : start + 12]).capitalize() + "." for start in range(0, per_text, 12)
        ]
        texts.append(" ".join(sentences)[:chars])
    return texts


def rate(
    scorer: Scorer, prompts: Sequence[str], responses: Sequence[str], batch: int, seconds: float
) -> tuple[float, float]:
    """Return exchanges a second and microseconds of this process's CPU time an exchange."""
    scorer.score(prompts[:batch], responses[:batch])
    done, at, start, cpu = 0, 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        scorer.score(prompts[at : at + batch], responses[at : at + batch])
        done, at = done + batch, (at + batch) % len(prompts)
    return done / (time.perf_counter() - start), (time.process_time() - cpu) / done * 1e6


def free_ports() -> Ports:
    """Return three ports that nothing listens on."""
    probes = [socket.socket() for _ in range(3)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return Ports(*ports)


def show(name: str, scorer: Scorer, seconds: float) -> None:
    """Print one line for each batch size."""
    prompts, responses = make_texts(EXCHANGES, 160, 0), make_texts(EXCHANGES, 1_000, 1)
    for batch in BATCHES:
        per_second, cpu = rate(scorer, prompts, responses, batch, seconds)
        print(f"{name:8s} {batch:6d} {per_second:12,.0f} {cpu:14.0f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="measuring time of each line")
    seconds = parser.parse_args().seconds
    print(f"{'scorer':8s} {'batch':>6s} {'exchanges/s':>12s} {'CPU µs here':>14s}")
    show("local", LocalScorer(SHIPPED), seconds)
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = TritonServer(plan(find_installation(), SHIPPED, free_ports(), Path(folder), os.environ))
        except TritonFault as fault:
            sys.exit(str(fault))
        try:
            server.wait_ready()
            show("triton", TritonScorer(f"127.0.0.1:{server.plan.ports.grpc}"), seconds)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
