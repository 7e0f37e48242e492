"""Pools of scored exchanges that streams are drawn from.

Law: a pool is a value, read from DATA and scored once. Embeddings and rewards are kept in a folder outside the
repository, under a hash of the scorer and the texts, so that nothing old is ever taken for new. Without DATA nothing
is measured, and that is said.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from monitor.contract import Exchange
from monitor.offline.scoring import score_all
from monitor.scorer.local import LocalScorer
from monitor.scorer.open import SHIPPED
from monitor.sketch.features import Features, extract
from monitor.sketch.scored import Scored

Rows = NDArray[np.intp]
Row = dict[str, Any]
# Topics that a pool without labels is cut into.
TOPICS = 24


class Pool(NamedTuple):
    """Exchanges with scores, their features, and the topic int (n,) of each prompt."""

    scored: Scored
    features: Features
    topic: Rows

    @property
    def size(self) -> int:
        """Exchanges in it."""
        return len(self.topic)


class Data:
    """The folder of public data, and a scorer that remembers what it has scored."""

    def __init__(self, folder: Path, cache: Path) -> None:
        """Open it. Ends the program where there is nothing."""
        if not (folder / "scenarios.jsonl").exists():
            sys.exit(f"{folder}: no scenarios.jsonl here; nothing was measured")
        self.folder, self.cache = folder, cache
        self._scen = _module(folder / "scen.py")
        self._scorer = LocalScorer(SHIPPED)
        self._pools: dict[tuple[str, ...], Pool] = {}
        self.identity = self._scorer.identity
        lines = (folder / "scenarios.jsonl").read_text(encoding="utf-8").splitlines()
        self.scenarios: list[Row] = [json.loads(line) for line in lines]

    def scenario(self, name: str) -> Row:
        """Return a scenario by name. Raises KeyError."""
        found = {scenario["name"]: scenario for scenario in self.scenarios}
        return found[name]

    def side(self, scenario: Row, side: str) -> list[Exchange]:
        """Return one side (`A`, `B`) of a scenario, shuffled; empty where it has no texts."""
        found = exchanges_of(self._scen.select(scenario, side), side)
        random.Random(side).shuffle(found)
        return found

    def rows(self, table: str, chosen: Callable[[Row], bool]) -> list[Row]:
        """Return the rows of a table for which `chosen` is true."""
        return [row for row in self._scen.table(table) if chosen(row)]

    def scored(self, exchanges: Sequence[Exchange]) -> Scored:
        """Score exchanges, or fetch their scores."""
        texts = msgspec.json.encode([(e.prompt, e.response) for e in exchanges])
        digest = hashlib.blake2b(self.identity.encode() + texts, digest_size=12).hexdigest()
        path = self.cache / f"{digest}.npz"
        if path.exists():
            with np.load(path) as kept:
                return Scored(exchanges, kept["prompt"], kept["response"], kept["reward"], {})
        scored = score_all(exchanges, self._scorer)
        if not scored.errors:
            self.cache.mkdir(parents=True, exist_ok=True)
            whole = path.with_suffix(f".{os.getpid()}.npz")
            np.savez(whole, prompt=scored.prompt, response=scored.response, reward=scored.reward)
            whole.replace(path)  # others may read it at any time
        return scored

    def pool(self, rows: Sequence[Row], label: str | None = None) -> Pool:
        """Score rows; topics are the values of the field `label`, or clusters of the prompts. Made once."""
        key = (str(label), *(row["id"] for row in rows))
        if key not in self._pools:
            scored = self.scored(exchanges_of(rows, "p"))
            names = [str(row.get(label or "")) for row in rows if isinstance(row.get("prompt"), str)]
            topic = np.unique(names, return_inverse=True)[1].astype(np.intp) if label else None
            self._pools[key] = as_pool(scored, topic)
        return self._pools[key]


def as_pool(scored: Scored, topic: Rows | None = None) -> Pool:
    """Make a pool; without topics, prompts are cut into `TOPICS` clusters."""
    if topic is None:
        topic = KMeans(TOPICS, n_init=1, random_state=0).fit_predict(scored.prompt).astype(np.intp)
    return Pool(scored, extract(scored), topic)


def exchanges_of(rows: Sequence[Row], prefix: str) -> list[Exchange]:
    """Return the rows that carry a prompt as exchanges without a time."""
    return [
        Exchange(
            id=f"{prefix}{i}",
            time=0.0,
            prompt=row["prompt"],
            response=row["response"] if isinstance(row.get("response"), str) else None,
        )
        for i, row in enumerate(rows)
        if isinstance(row.get("prompt"), str)
    ]


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("scen", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
