"""Peers on the same embeddings, windows and streams: as shipped, and at our false-alarm rate.

Law: every peer sees what we see: principal axes of the same embeddings (32 of prompts, 32 of responses, fitted on the
baseline), the same rewards, the same clusters. Window rules get 1,000 exchanges of the baseline and windows of 500 (in a
finite world its whole baseline and windows of 200, no question twice in one); stream rules get every exchange. Re-thresholded: the line is moved, on unchanged traffic of tune seeds, to one alarm in 30
days at ten exchanges a minute, and then stays; false alarms are counted on test seeds. For windows the line is the mean
and 3.05 standard deviations of the statistic (one of 864 windows, were it normal; 3.31, one of 2,160, for short ones), or
its maximum where that is more. The
window in which a change begins is changed in part; the following ones are drawn from those measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from benchmarks.detection.drifts import RATE, horizon_of
from benchmarks.detection.figures import Delays, Rate
from benchmarks.detection.pools import Data
from benchmarks.detection.streams import Random, Rows
from benchmarks.detection.worlds import Change, World, worlds

WINDOW, FINITE_WINDOW, REFERENCE = 500, 200, 1000
EXCHANGES_A_DAY = 24 * 60 * RATE
_AXES, _CLUSTERS = 32, 32
# Halves of fewer rows than this would differ from each other by more than a window shows.
_SPLIT = 4000
# Changes that peers are asked for, by world; their titles are those of `worlds`.
CASES: dict[str, tuple[str, ...]] = {
    "topics": tuple(f"novel topic, {share}%" for share in (5, 10, 20, 40)),
    "one model": ("reward -0.2 sd at fixed prompts, 100%", "reward -0.5 sd at fixed prompts, 100%"),
    "gpt4_0314": tuple(f"weaker model: GPT-4 0314 to GPT-3.5 0301, {share}%" for share in (25, 100)),
    "gpt-3.5-turbo-1106": ("same model, verbose, 100%", "same model, concise, 100%"),
    "phi-2-sft": tuple(f"stronger model: Phi-2 SFT to DPO, {share}%" for share in (25, 100)),
}

PACKAGES = ("Evidently", "NannyML", "Frouros", "Alibi-Detect", "River")

Arrays = dict[str, NDArray[Any]]


# Runs of a change that windows are drawn for.
RUNS = 10
# One thread, no chatter, and no telling anybody that they are used.
_QUIET = {
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
}


class Sizes(NamedTuple):
    """Windows of unchanged traffic a world, for tuning and for testing each; days and runs of streams."""

    windows: int = 200
    days: float = 30.0
    runs: int = 10


class Row(NamedTuple):
    """A peer: false alarms in 30 days on test traffic, and its delay for each change."""

    name: str
    false: Rate
    delays: dict[str, Delays]


class Eyes(NamedTuple):
    """How a world looks to peers: axes (n, d), rewards (n,), clusters (n, k), distance to the nearest centroid (n,).

    `far`: the distance that one in a hundred prompts of the history exceeds.
    """

    x: NDArray[np.float64]
    reward: NDArray[np.float64]
    clusters: NDArray[np.int64]
    distance: NDArray[np.float64]
    far: float


def look(world: World) -> Eyes:
    """See a world's pool with axes and clusters of its history."""
    scored, axes, clusters, distance = world.pool.scored, [], [], np.zeros(world.pool.size)
    for vectors in (scored.prompt, scored.response):
        if not vectors.any():
            continue
        history = vectors[np.unique(world.history)]
        axes.append(PCA(_AXES, random_state=0).fit(history).transform(vectors))
        kmeans = KMeans(_CLUSTERS, n_init=1, random_state=0).fit(history)
        clusters.append(kmeans.predict(vectors))
        if len(clusters) == 1:
            distance = kmeans.transform(vectors).min(axis=1)
    return Eyes(
        np.hstack(axes).astype(np.float64),
        scored.reward.astype(np.float64),
        np.column_stack(clusters).astype(np.int64),
        np.asarray(distance, dtype=np.float64),
        float(np.quantile(distance[world.history], 0.99)),
    )


def prepare(data: Data, sizes: Sizes, only: str, tick: Callable[[], None]) -> Arrays:
    """Draw everything that the peers are given, of the worlds whose name holds `only`."""
    chosen = {name: titles for name, titles in CASES.items() if only in name}
    arrays: Arrays = {"worlds": np.array(list(chosen))}
    for name, titles in chosen.items():
        rng = np.random.default_rng([5, 0])
        world = worlds()[name](data, rng, 0)
        eyes, changes = look(world), {change.title: change for change in world.changes}
        arrays[f"{name}/kinds"] = np.array(["tune", "test", *titles])
        arrays[f"{name}/horizon"] = np.array(horizon_of(world))
        reference = world.history if world.finite else rng.choice(world.history, REFERENCE)
        _put(arrays, f"{name}/reference", eyes, reference)
        for kind, rows in _split(rng, world.before).items():
            windows = np.stack([_window(rng, world, rows) for _ in range(sizes.windows)])
            _put(arrays, f"{name}/{kind}", eyes, windows)
            count = int(sizes.days * EXCHANGES_A_DAY)
            arrays[f"{name}/series/{kind}"] = _series(eyes, rng.choice(rows, count))
        for title in titles:
            _put(arrays, f"{name}/{title}", eyes, _changed_windows(rng, world, changes[title]))
            runs = [_changed_stream(rng, world, changes[title]) for _ in range(sizes.runs)]
            arrays[f"{name}/series/{title}"] = np.stack([_series(eyes, run) for run in runs])
        tick()
    return arrays


def _split(rng: Random, before: Rows) -> dict[str, Rows]:
    """Part the unchanged rows into those to tune on and those to test on; few rows serve both, drawn anew."""
    if len(before) < _SPLIT:
        return {"tune": before, "test": before}
    tune, test = np.array_split(rng.permutation(before), 2)
    return {"tune": tune, "test": test}


def _put(arrays: Arrays, name: str, eyes: Eyes, rows: Rows) -> None:
    arrays[f"{name}/x"] = eyes.x[rows].astype(np.float32)
    arrays[f"{name}/reward"] = eyes.reward[rows]
    arrays[f"{name}/clusters"] = eyes.clusters[rows].astype(np.int16)
    arrays[f"{name}/far"] = eyes.distance[rows] > eyes.far


def _series(eyes: Eyes, rows: Rows) -> NDArray[np.float32]:
    """Return what stream rules watch (n, k): the distance of the prompt, and the reward where there is one."""
    columns = [eyes.distance[rows]]
    if np.isfinite(eyes.reward[rows]).all():
        columns.append(eyes.reward[rows])
    return np.column_stack(columns).astype(np.float32)


def _window(rng: Random, world: World, rows: Rows) -> Rows:
    """Draw a window; of a finite world no row twice."""
    return rng.choice(rows, FINITE_WINDOW if world.finite else WINDOW, replace=not world.finite)


def window_size(arrays: Arrays, world: str) -> int:
    """Return how many exchanges a window of a world holds."""
    return int(arrays[f"{world}/test/reward"].shape[1])


def _changed_windows(rng: Random, world: World, change: Change) -> Rows:
    """Return rows (3 * RUNS, n): of each run the window in which the change begins, and two after it."""
    n = FINITE_WINDOW if world.finite else WINDOW
    begins = rng.integers(0, n, RUNS)
    after = np.ones((RUNS, 3, n), dtype=bool)
    after[:, 0] = np.arange(n) >= begins[:, None]
    new = after & (rng.random(after.shape) < change.share)
    drawn = [
        np.stack([_window(rng, world, rows) for _ in range(3 * RUNS)]) for rows in (change.rows, world.before)
    ]
    rows = np.where(new, *(each.reshape(after.shape) for each in drawn))
    return np.concatenate([rows[:, 0], rows[:, 1], rows[:, 2]])


LEAD = 3000


def _changed_stream(rng: Random, world: World, change: Change) -> Rows:
    """Return the rows of a stream whose change begins after `LEAD` exchanges, up to the horizon."""
    size = LEAD + int(horizon_of(world))
    new = (np.arange(size) >= LEAD) & (rng.random(size) < change.share)
    return np.where(new, rng.choice(change.rows, size), rng.choice(world.before, size))


def ask(arrays: Arrays, interpreters: list[Path], folder: Path) -> dict[str, Any]:
    """Have the peers answer, each interpreter for what is installed beside it; return that and what others said before.

    Answers are kept in the folder under the hash of what was asked: peers take hours and do not change when ours does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    asked = folder / f"peers-{_digest(arrays)}.npz"
    save: Any = np.savez  # its annotations know no dictionary of arrays
    save(asked, **arrays)
    worker = Path(__file__).with_name("peers_worker.py")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    for number, interpreter in enumerate(interpreters):
        target = asked.with_name(f"{asked.stem}-{number}.json")
        target.unlink(missing_ok=True)
        subprocess.run(
            [str(interpreter), str(worker), str(asked), str(target)],
            env=clean | _QUIET,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    answers: dict[str, Any] = {"windows": {}, "streams": {}}
    for kept in sorted(folder.glob(f"{asked.stem}-*.json")):
        found = json.loads(kept.read_text())
        answers["windows"] |= found["windows"]
        answers["streams"] |= found["streams"]
    return answers


def _digest(arrays: Arrays) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name in sorted(arrays):
        digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()


def absent(answers: dict[str, Any]) -> list[str]:
    """Name the packages that no interpreter had."""
    found = {name.partition(",")[0] for part in answers.values() for name in part}
    return [name for name in PACKAGES if name not in found]
