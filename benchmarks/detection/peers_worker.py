"""The peers' own code on given windows and streams. Runs in an environment of theirs, which knows nothing of us.

    python peers_worker.py IN.npz OUT.json

Law: a window rule says for each window how far it drifted (a number, more is more) and whether it would alarm as
shipped; a stream rule says at which exchange it alarms first, or how often, at each of its settings. A rule whose
package is not installed here is left out of OUT, and nothing else stops it.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Answer = tuple[float, bool]
# Rules slower than about a tenth of a second a window see only the first so many of each kind.
SLOW = 30


class Side(NamedTuple):
    """n exchanges: principal axes of their embeddings (n, d), rewards (n,), clusters (n, 1 or 2)."""

    x: Floats
    reward: Floats
    clusters: NDArray[np.int64]


Rule = Callable[[Side, Sequence[Side]], list[Answer]]


def evidently_classifier(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """Evidently's domain classifier on embeddings, ROC AUC above 0.55."""
    methods = importlib.import_module("evidently.legacy.metrics.data_drift.embedding_drift_methods")
    method = methods.model(threshold=0.55)
    return [_evidently(method, reference, window) for window in windows]


def evidently_mmd(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """Evidently's maximum mean discrepancy on embeddings, above 0.015."""
    methods = importlib.import_module("evidently.legacy.metrics.data_drift.embedding_drift_methods")
    method = methods.mmd(threshold=0.015)
    return [_evidently(method, reference, window) for window in windows]


def _evidently(method: Any, reference: Side, window: Side) -> Answer:
    pandas = importlib.import_module("pandas")
    score, fired, _ = method(pandas.DataFrame(window.x), pandas.DataFrame(reference.x))
    return float(score), bool(fired)


def evidently_js(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """Evidently's Jensen-Shannon distance of clusters and of the reward, any above 0.1."""
    module = importlib.import_module("evidently.legacy.calculations.stattests.jensenshannon")
    kinds = importlib.import_module("evidently.legacy.core").ColumnType
    pandas = importlib.import_module("pandas")

    def column(name: str, before: Any, now: Any) -> float:
        kind = kinds.Numerical if name == "reward" else kinds.Categorical
        distance, _ = module._jensenshannon(pandas.Series(before), pandas.Series(now), kind, 0.1)  # noqa: SLF001 - its only form that takes a threshold
        return float(distance)

    found = []
    for window in windows:
        scores = [
            column("cluster", reference.clusters[:, j], window.clusters[:, j])
            for j in range(window.clusters.shape[1])
        ]
        if np.isfinite(window.reward).all():
            scores.append(column("reward", reference.reward, window.reward))
        found.append((max(scores), max(scores) >= 0.1))
    return found


def nannyml_classifier(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """NannyML's domain classifier (LightGBM), ROC AUC above 0.65."""
    nml = importlib.import_module("nannyml")
    pandas = importlib.import_module("pandas")
    names = [f"x{i}" for i in range(reference.x.shape[1])]
    size = len(windows[0].x)
    quiet = {"n_jobs": 1, "verbosity": -1, "n_estimators": 100, "random_state": 13}
    calculator = nml.DomainClassifierCalculator(
        feature_column_names=names, chunk_size=size, hyperparameters=quiet
    )
    few = windows[:SLOW]
    calculator.fit(pandas.DataFrame(reference.x, columns=names))
    result = calculator.calculate(pandas.DataFrame(np.vstack([w.x for w in few]), columns=names))
    table = result.filter(period="analysis").to_df()["domain_classifier_auroc"]
    return [(float(v), bool(v > 0.65)) for v in table["value"]]


def nannyml_reward(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """NannyML's mean of the reward, three standard deviations of the reference's chunks."""
    nml = importlib.import_module("nannyml")
    pandas = importlib.import_module("pandas")
    if not np.isfinite(reference.reward).all():
        return []
    calculator = nml.SummaryStatsAvgCalculator(column_names=["reward"], chunk_size=len(windows[0].x))
    many = np.random.default_rng(0).choice(reference.reward, 20 * len(windows[0].x))
    calculator.fit(pandas.DataFrame({"reward": many}))
    rewards = np.concatenate([window.reward for window in windows])
    result = calculator.calculate(pandas.DataFrame({"reward": rewards}))
    table = result.filter(period="analysis").to_df()["reward"]
    centre = float(many.mean())
    return [
        (abs(float(v) - centre), bool(alert)) for v, alert in zip(table["value"], table["alert"], strict=True)
    ]


def frouros_mmd(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """Frouros's maximum mean discrepancy, 100 permutations at 5 %."""
    data_drift = importlib.import_module("frouros.detectors.data_drift")
    callbacks = importlib.import_module("frouros.callbacks")
    found = []
    for i, window in enumerate(windows[:SLOW]):
        test = callbacks.PermutationTestDistanceBased(
            num_permutations=100, random_state=i, num_jobs=1, name="p"
        )
        detector = data_drift.MMD(callbacks=[test])
        detector.fit(X=reference.x[: len(window.x)])
        result, logs = detector.compare(X=window.x)
        found.append((float(result.distance), bool(logs["p"]["p_value"] < 0.05)))
    return found


def alibi_mmd(reference: Side, windows: Sequence[Side]) -> list[Answer]:
    """Alibi-Detect's maximum mean discrepancy, 100 permutations at 5 %."""
    detect = importlib.import_module("alibi_detect.cd")
    detector = detect.MMDDrift(reference.x.astype(np.float32), backend="tensorflow", n_permutations=100)
    found = []
    for window in windows[: 2 * SLOW]:
        data = detector.predict(window.x.astype(np.float32))["data"]
        found.append((float(data["distance"]), bool(data["is_drift"])))
    return found


RULES: dict[str, Rule] = {
    "Evidently, domain classifier 0.55": evidently_classifier,
    "Evidently, MMD 0.015": evidently_mmd,
    "Evidently, JS distance 0.1": evidently_js,
    "NannyML, domain classifier 0.65": nannyml_classifier,
    "NannyML, mean reward beyond 3 sd": nannyml_reward,
    "Frouros, MMD at 5 %": frouros_mmd,
    "Alibi-Detect, MMD at 5 %": alibi_mmd,
}
ADWIN_DELTAS = (0.002, 1e-4, 1e-6, 1e-8, 1e-10, 1e-13)
PAGE_HINKLEY = (50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)


def stream_rules() -> dict[str, list[Callable[[], Any]]]:
    """Return River's detectors at settings of rising strictness, the first one as shipped."""
    drift = importlib.import_module("river.drift")
    return {
        "River, ADWIN": [lambda d=d: drift.ADWIN(delta=d) for d in ADWIN_DELTAS],  # type: ignore[misc]
        "River, Page-Hinkley": [lambda t=t: drift.PageHinkley(threshold=t) for t in PAGE_HINKLEY],  # type: ignore[misc]
    }


def alarms(make: Callable[[], Any], series: Floats, *, first: bool) -> list[int]:
    """Return the exchanges at which a detector alarms on any column (n, k) of a stream; it starts anew after each."""
    found: set[int] = set()
    for column in series.T:
        detector = make()
        for i, value in enumerate(column.tolist()):
            detector.update(value)
            if detector.drift_detected:
                found.add(i)
                if first:
                    break
                detector = make()
    return sorted(found)


def main(source: Path, target: Path) -> None:
    """Answer every rule that is installed here."""
    warnings.simplefilter("ignore")
    data = np.load(source)
    worlds = [str(name) for name in data["worlds"]]
    out: dict[str, Any] = {"windows": {}, "streams": {}}
    for name, rule in RULES.items():
        answers = {}
        try:
            for world in worlds:
                kinds = [str(kind) for kind in data[f"{world}/kinds"]]
                reference = _side(data, f"{world}/reference")
                answers[world] = {kind: rule(reference, _windows(data, f"{world}/{kind}")) for kind in kinds}
        except ImportError:
            continue
        out["windows"][name] = answers
        print(name, file=sys.stderr, flush=True)
        target.write_text(json.dumps(out))
    try:
        rules = stream_rules()
    except ImportError:
        rules = {}
    for name, settings in rules.items():
        out["streams"][name] = {world: _on_streams(data, world, settings) for world in worlds}
        print(name, file=sys.stderr, flush=True)
    target.write_text(json.dumps(out))


def _on_streams(data: Any, world: str, settings: Sequence[Callable[[], Any]]) -> dict[str, Any]:
    """Count alarms on the unchanged streams at every setting, and find the first one of each changed stream."""
    found: dict[str, Any] = {}
    for kind in ("tune", "test"):
        series = data[f"{world}/series/{kind}"]
        found[kind] = [len(alarms(make, series, first=False)) for make in settings]
    for kind in [str(kind) for kind in data[f"{world}/kinds"]][2:]:
        runs = data[f"{world}/series/{kind}"]
        found[kind] = [[(alarms(make, run, first=True) or [-1])[0] for run in runs] for make in settings]
    return found


def _side(data: Any, name: str) -> Side:
    return Side(*(np.asarray(data[f"{name}/{part}"]) for part in Side._fields))


def _windows(data: Any, name: str) -> list[Side]:
    parts = [np.asarray(data[f"{name}/{part}"]) for part in Side._fields]
    return [Side(*(part[i] for part in parts)) for i in range(len(parts[0]))]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
