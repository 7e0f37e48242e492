"""Prometheus metrics, collected from the scoreboards of all workers when scraped. Admin listener only.

Law: names carry their unit, counters end in `_total`, a label has few values. Nothing is kept between scrapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from monitor.contract import Tier, Verdict
from proxy.scoreboard import Counters, read_scoreboards
from proxy.slots import ADDED, FIRST, LOOP, STATUS_CLASSES, UPSTREAM, WHOLE, Histogram
from proxy.status import Surroundings

# name -> (help, counter)
_PLAIN = {
    "driftgate_requests": ("Requests taken in.", "received"),
    "driftgate_mirror_exchanges": ("Exchanges committed to the bus.", "mirrored"),
    "driftgate_mirror_malformed": ("Mirrored exchanges whose text could not be read.", "malformed"),
    "driftgate_out_of_files_seconds": ("Seconds without a file descriptor left.", "out_of_files"),
    "driftgate_mirror_bus_retries": ("Attempts to write to the bus that failed.", "bus_retries"),
}
# name -> (help, counter prefix, label)
_LABELLED = {
    "driftgate_faults": ("Faults of the proxy's own making, by code.", "fault", "code"),
    "driftgate_clients_left": ("Clients that left before the end, by phase.", "left", "phase"),
    "driftgate_connections_closed": (
        "Clients' connections closed because nothing came.",
        "closed",
        "reason",
    ),
    "driftgate_mirror_dropped": ("Exchanges that will never reach the bus, by reason.", "dropped", "reason"),
    "driftgate_spans": ("Spans of traces, by what became of them.", "spans", "outcome"),
    "driftgate_mirror_partial": ("Mirrored exchanges that are not whole, by reason.", "partial", "reason"),
}
# name -> (help, histogram), of all routes together
_SHARED = {
    "driftgate_added_latency_seconds": ("What the proxy took for itself up to a response's head.", ADDED),
    "driftgate_loop_delay_seconds": ("How late a worker's event loop was, once a second.", LOOP),
}
# name -> (help, histogram), route by route
_BY_ROUTE = {
    "driftgate_upstream_latency_seconds": ("From asking the upstream to its response's head.", UPSTREAM),
    "driftgate_time_to_first_token_seconds": ("From a request to its event stream's first part.", FIRST),
    "driftgate_response_seconds": ("From a request to its response's end.", WHOLE),
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
        for name, (text, histogram) in _SHARED.items():
            family = HistogramMetricFamily(name, text, unit="seconds")
            _fill(family, [], histogram, total)
            yield family
        # Those of the configuration from the start: a series that begins at its first event hides that event.
        configured = {route.name for route in self._view.config.routes}
        yield from _by_route({route: total.of(route) for route in sorted({*total.routes, *configured})})
        yield from self._gauges(total, workers)
        yield from _verdicts(self._view.verdicts.current(self._view.now()))

    def _gauges(self, total: Counters, workers: int) -> Iterator[Metric]:
        in_flight = total["received"] - total["ended"]
        yield GaugeMetricFamily("driftgate_requests_in_flight", "Requests being served.", in_flight)
        yield GaugeMetricFamily("driftgate_workers", "Worker processes alive.", workers)
        build = GaugeMetricFamily("driftgate_build_info", "1, labelled with the version.", labels=["version"])
        build.add_metric([self._view.version], 1)
        yield build
        waiting = total["queue_exchanges"]
        yield GaugeMetricFamily(
            "driftgate_mirror_queue_exchanges", "Exchanges that wait for the bus.", waiting
        )
        held = total["queue_bytes"]
        yield GaugeMetricFamily("driftgate_mirror_queue_bytes", "Bytes held by captures.", held, unit="bytes")


def _counters(total: Counters) -> Iterator[Metric]:
    for name, (text, counter) in _PLAIN.items():
        unit = "seconds" if name.endswith("_seconds") else ""
        yield CounterMetricFamily(name, text, total[counter], unit=unit)
    for name, (text, prefix, label) in _LABELLED.items():
        family = CounterMetricFamily(name, text, labels=[label])
        for value, count in total.under(prefix).items():
            family.add_metric([value], count)
        yield family


def _by_route(rows: Mapping[str, Counters]) -> Iterator[Metric]:
    responses = CounterMetricFamily(
        "driftgate_responses", "Responses by route and status class.", labels=["route", "class"]
    )
    for route, counters in rows.items():
        for kind in STATUS_CLASSES:
            responses.add_metric([route, kind], counters[f"status.{kind}"])
    yield responses
    for name, (text, histogram) in _BY_ROUTE.items():
        family = HistogramMetricFamily(name, text, labels=["route"], unit="seconds")
        for route, counters in rows.items():
            _fill(family, [route], histogram, counters)
        yield family


def _fill(
    family: HistogramMetricFamily, labels: Sequence[str], histogram: Histogram, counters: Counters
) -> None:
    *slots, total = histogram.slots
    counts = accumulate(counters[slot] for slot in slots)
    edges = [*(str(edge) for edge in histogram.edges), "+Inf"]
    buckets = [(edge, float(count)) for edge, count in zip(edges, counts, strict=True)]
    family.add_metric(labels, buckets, counters[total] / 1e6)


def _verdicts(verdicts: list[Verdict]) -> Iterator[Metric]:
    tiers = GaugeMetricFamily("driftgate_tier", "1 for the tier that holds.", labels=["route", "arm", "tier"])
    for verdict in verdicts:
        for tier in Tier:
            tiers.add_metric([verdict.route, verdict.arm, tier.value], float(tier is verdict.tier))
    yield tiers
    for name, (text, signal, field) in _SIGNALS.items():
        unit = "ratio" if name.endswith("_ratio") else ""
        family = GaugeMetricFamily(name, text, labels=["route", "arm"], unit=unit)
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
