"""The exposition: what Prometheus reads, in both of its formats, with the laws that its readers count on."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text
from starlette.applications import Starlette

from monitor.contract import Signal, Tier, Verdict
from monitor.contract.config import load_config
from proxy.metrics import metrics_route
from proxy.scoreboard import Scoreboard
from proxy.slots import ADDED, FIRST, LATENCY_EDGES, LOOP, OFFSET, UPSTREAM, WHOLE, Histogram
from proxy.status import Surroundings
from proxy.verdicts import VerdictBoard

TEXT, OPENMETRICS = "text/plain; version=1.0.0", "application/openmetrics-text; version=1.0.0"
READ = {TEXT: read_text, OPENMETRICS: read_openmetrics}
SECONDS = (0.001, 0.2, 0.2, 700.0)
UNITS = ("seconds", "bytes", "ratio")


def count(board: Scoreboard) -> None:
    """Count a little of everything, for two routes and for none."""
    for name, n in {"received": 9, "ended": 7, "partial.truncated": 2, "left.upload": 1}.items():
        board.add(name, n)
    board.put("queue_bytes", 4096)
    board.observe(LOOP, 0.003)
    board.observe(ADDED, 0.00007)
    for route in ("support", "sales"):
        board.slots[board.row(route) + OFFSET["status.2xx"]] += 4
        for histogram in (UPSTREAM, FIRST, WHOLE):
            for seconds in SECONDS:
                observe(board, board.row(route), histogram, seconds)
    board.slots[board.row("") + OFFSET["status.4xx"]] += 3


def observe(board: Scoreboard, row: int, histogram: Histogram, seconds: float) -> None:
    """Add to a route's histogram."""
    bucket = next((i for i, edge in enumerate(histogram.edges) if seconds <= edge), len(histogram.edges))
    board.slots[row + OFFSET[histogram.slots[bucket]]] += 1
    board.slots[row + OFFSET[histogram.slots[-1]]] += int(seconds * 1e6)


async def scrape(directory: Path, accept: str) -> str:
    """Return the exposition of a directory's boards and of one verdict."""
    signals = {
        name: Signal(value=0.1, tier=Tier.OK, effect=0.1)
        for name in ("response_js", "new_clusters", "reward")
    }
    verdicts = VerdictBoard([("support", "control")], 60.0)
    verdicts.replace([Verdict(route="support", arm="control", tier=Tier.OK, time=1.0, signals=signals)])
    config = load_config(None, {"routes": [{"name": "support", "match": "s*"}, {"name": "quiet"}]})
    view = Surroundings(config, "1.2.3", directory, verdicts, lambda: True, lambda: 2.0)
    page = httpx.ASGITransport(app=Starlette(routes=[metrics_route(view)]))
    async with httpx.AsyncClient(transport=page, base_url="http://admin") as client:
        answer = await client.get("/metrics", headers={"accept": accept})
    assert answer.headers["content-type"].startswith(accept.partition(";")[0])
    return answer.text


@pytest.fixture(params=list(READ))
async def families(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Metric]:
    """Return what a parser of either format reads of a scrape, by name."""
    board = Scoreboard(tmp_path, "a")
    count(board)
    text = await scrape(tmp_path, request.param)
    board.close()
    found = list(READ[request.param](text))
    assert len({family.name for family in found}) == len(found)
    return {family.name: family for family in found}


def samples(family: Metric, suffix: str = "") -> dict[tuple[str, ...], float]:
    """Return a family's samples by the values of their labels, in the order of the labels' names."""
    return {
        tuple(value for _, value in sorted(s.labels.items())): s.value
        for s in family.samples
        if s.name == family.name + suffix
    }


async def test_every_family_says_what_it_is(families: dict[str, Metric]) -> None:
    """Type and help are there; what has a unit is named after it, counters end in `_total`, gauges do not."""
    assert len(families) > 20
    for name, family in families.items():
        assert name.startswith("driftgate_")
        assert family.documentation.endswith(".")
        assert family.type in {"counter", "gauge", "histogram"}, name
        assert family.samples, name
        for sample in family.samples:
            assert (sample.name == name + "_total") == (family.type == "counter")
        for unit in UNITS:
            assert family.unit in ("", unit) or not name.endswith(unit)
        if family.unit:
            assert name.endswith("_" + family.unit)


async def test_units_are_told_in_openmetrics(tmp_path: Path) -> None:
    """Every family that is named after a unit has its UNIT line."""
    text = await scrape(tmp_path, OPENMETRICS)
    told = {tuple(line.split()[2:]) for line in text.splitlines() if line.startswith("# UNIT")}
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert told == {(name, name.rpartition("_")[2]) for name in named if name.endswith(UNITS)}
    assert text.endswith("# EOF\n")


async def test_buckets_are_cumulative(families: dict[str, Metric]) -> None:
    """Counts grow with the edge, the last one is all of them, and the sum is in seconds."""
    histograms = [family for family in families.values() if family.type == "histogram"]
    assert len(histograms) == 5
    for family in histograms:
        series: dict[str, list[tuple[float, float]]] = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                edge = float(sample.labels["le"])
                series.setdefault(sample.labels.get("route", ""), []).append((edge, sample.value))
        for route, buckets in series.items():
            labels = (route,) if "route" in family.samples[0].labels else ()
            assert buckets == sorted(buckets)
            assert buckets[-1] == (float("inf"), samples(family, "_count")[labels])
            assert all(low < high for (low, _), (high, _) in pairwise(buckets))
    first = families["driftgate_time_to_first_token_seconds"]
    assert samples(first, "_sum")[("support",)] == pytest.approx(sum(SECONDS))
    assert samples(first, "_count")[("sales",)] == len(SECONDS)
    fifth = LATENCY_EDGES.index(0.25)
    assert [s.value for s in first.samples if s.labels.get("route") == "support"][fifth - 1 : fifth + 1] == [
        1,
        3,
    ]


async def test_what_was_counted_is_told(families: dict[str, Metric]) -> None:
    """By route and class, with routes that are only configured, and requests that no route took."""
    told = samples(families["driftgate_responses"], "_total")
    assert told["2xx", "support"] == told["2xx", "sales"] == 4
    assert told["4xx", ""] == 3
    assert told["5xx", "quiet"] == 0
    assert samples(families["driftgate_requests_in_flight"])[()] == 2
    assert samples(families["driftgate_clients_left"], "_total")[("upload",)] == 1
    assert samples(families["driftgate_mirror_partial"], "_total")[("truncated",)] == 2
    assert samples(families["driftgate_mirror_queue_bytes"])[()] == 4096
    assert samples(families["driftgate_added_latency_seconds"], "_sum")[()] == pytest.approx(0.00007)
    assert samples(families["driftgate_build_info"]) == {("1.2.3",): 1.0}
