"""Prometheus metrics, collected from the scoreboards of all workers when scraped. Admin listener only.

Law: names carry their unit, counters end in `_total`, a label has few values. Nothing is kept between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.contract import Tier, Verdict
from proxy.scoreboard import LATENCY_EDGES, Counters, read_scoreboards
from proxy.status import Surroundings

# name -> (help, counter)
_PLAIN = {
    "driftgate_requests": ("Requests taken in.", "received"),
    "driftgate_mirror_exchanges": ("Exchanges committed to the bus.", "mirrored"),
    "driftgate_mirror_partial": ("Mirrored exchanges whose response was cut short.", "partial"),
    "driftgate_mirror_malformed": ("Mirrored exchanges whose text could not be read.", "malformed"),
    "driftgate_mirror_bus_retries": ("Attempts to write to the bus that failed.", "bus_retries"),
}
# name -> (help, counter prefix, label)
_LABELLED = {
    "driftgate_responses": ("Responses by status class.", "status", "class"),
    "driftgate_faults": ("Faults of the proxy's own making, by code.", "fault", "code"),
    "driftgate_clients_left": ("Clients that left before the end, by phase.", "left", "phase"),
    "driftgate_mirror_dropped": ("Exchanges that will never reach the bus, by reason.", "dropped", "reason"),
}
_HISTOGRAMS = {
    "driftgate_response_head_seconds": ("Time from a request to its response's head.", "head"),
    "driftgate_response_seconds": ("Time from a request to its response's end.", "duration"),
}
# name -> (help, signal, field)
_SIGNALS = {
    "driftgate_response_js": (
        "Response divergence from the baseline, base 2, 0 to 1.",
        "response_js",
        "value",
    ),
    "driftgate_new_clusters_ratio": ("Share of prompts in new clusters.", "new_clusters", "value"),
    "driftgate_reward_change_ratio": ("Relative change of the mean reward.", "reward", "effect"),
}


class ProxyCollector(Collector):
    """Reads the scoreboards and the verdicts."""

    def __init__(self, view: Surroundings) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        total, workers, _ = read_scoreboards(self._view.directory)
        yield from _counters(total)
        yield from _histograms(total)
        yield from self._gauges(total, workers)
        yield from _verdicts(self._view.verdicts.current(self._view.now()))

    def _gauges(self, total: Counters, workers: int) -> Iterator[Metric]:
        in_flight = total["received"] - total["ended"]
        yield GaugeMetricFamily("driftgate_requests_in_flight", "Requests being served.", in_flight)
        yield GaugeMetricFamily("driftgate_workers", "Worker processes alive.", workers)
        for name, text, value in (
            (
                "driftgate_mirror_queue_exchanges",
                "Exchanges that wait for the bus.",
                total["queue_exchanges"],
            ),
            ("driftgate_mirror_queue_bytes", "Bytes held by captures.", total["queue_bytes"]),
        ):
            yield GaugeMetricFamily(name, text, value)


def _counters(total: Counters) -> Iterator[Metric]:
    for name, (text, counter) in _PLAIN.items():
        yield CounterMetricFamily(name, text, total[counter])
    for name, (text, prefix, label) in _LABELLED.items():
        family = CounterMetricFamily(name, text, labels=[label])
        for value, count in total.under(prefix).items():
            family.add_metric([value], count)
        yield family


def _histograms(total: Counters) -> Iterator[Metric]:
    edges = [*(str(edge) for edge in LATENCY_EDGES), "+Inf"]
    for name, (text, prefix) in _HISTOGRAMS.items():
        buckets, count = [], 0
        for i, edge in enumerate(edges):
            count += total[f"{prefix}.{i}"]
            buckets.append((edge, float(count)))
        yield HistogramMetricFamily(name, text, buckets=buckets, sum_value=total[f"{prefix}.sum_us"] / 1e6)


def _verdicts(verdicts: list[Verdict]) -> Iterator[Metric]:
    tiers = GaugeMetricFamily("driftgate_tier", "1 for the tier that holds.", labels=["route", "arm", "tier"])
    for verdict in verdicts:
        for tier in Tier:
            tiers.add_metric([verdict.route, verdict.arm, tier.value], float(tier is verdict.tier))
    yield tiers
    for name, (text, signal, field) in _SIGNALS.items():
        family = GaugeMetricFamily(name, text, labels=["route", "arm"])
        for verdict in verdicts:
            found = verdict.signals.get(signal)
            value = getattr(found, field) if found else None
            if value is not None:
                family.add_metric([verdict.route, verdict.arm], value)
        yield family


def metrics_route(view: Surroundings) -> Route:
    """Make the route `/metrics`."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ProxyCollector(view))

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type})

    return Route("/metrics", metrics)
