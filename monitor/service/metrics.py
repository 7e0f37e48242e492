"""The status as Prometheus metrics: pure, from one `Status`."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.contract import Tier, Verdict
from monitor.service.canaries import CanaryStatus
from monitor.service.status import Learning, Status, StatusReader

# Counters of the bus, in exchanges, that only grow.
_BUS_COUNTERS = ("published", "acknowledged", "expired", "damaged")


class Metrics(Collector):
    """The status as Prometheus metrics."""

    def __init__(self, reader: StatusReader) -> None:
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of this moment."""
        status = self._reader.status()
        yield from _exchange_metrics(status)
        yield GaugeMetricFamily(
            "driftgate_monitor_lag_seconds", "Age of the oldest unscored exchange", status.lag_s
        )
        yield GaugeMetricFamily(
            "driftgate_monitor_troubled", "1 while no progress is made", bool(status.trouble)
        )
        yield CounterMetricFamily("driftgate_monitor_faults", "Errors nobody foresaw", status.faults)
        if status.evaluation_s is not None:
            help_text = "How long the last evaluation took"
            yield GaugeMetricFamily("driftgate_monitor_evaluation_seconds", help_text, status.evaluation_s)
        yield from _learning_metrics(status.learning)
        yield from _verdict_metrics(status.verdicts)
        yield from _label_metrics(status)
        yield from _canary_metrics(status.canaries)


def _exchange_metrics(status: Status) -> Iterator[Metric]:
    scored = CounterMetricFamily("driftgate_monitor_scored", "Exchanges scored", labels=["route", "arm"])
    skipped = CounterMetricFamily(
        "driftgate_monitor_skipped", "Exchanges not scored, by reason", labels=["route", "arm", "reason"]
    )
    for count in status.counts:
        scored.add_metric([count.route, count.arm], count.scored)
        for reason, value in count.skipped.items():
            skipped.add_metric([count.route, count.arm, reason], value)
    yield scored
    yield skipped
    for name in _BUS_COUNTERS:
        yield CounterMetricFamily(f"driftgate_bus_{name}", f"Exchanges {name} on the bus", status.bus[name])
    help_text = "Exchanges that producers dropped and the monitor should have seen"
    yield CounterMetricFamily("driftgate_bus_dropped", help_text, status.bus["dropped"])
    help_text = "Part of the window's exchanges that were lost before they could be scored"
    yield GaugeMetricFamily("driftgate_monitor_lost_ratio", help_text, status.losses.share)
    yield GaugeMetricFamily("driftgate_bus_waiting", "Exchanges waiting on the bus", status.bus["waiting"])
    yield GaugeMetricFamily("driftgate_bus_waiting_bytes", "Bytes of them", status.bus["waiting_bytes"])


def _learning_metrics(routes: list[Learning]) -> Iterator[Metric]:
    """Yield what routes without a baseline have, and what they need: exchanges and seconds of traffic."""
    keys, help_text = ["route", "part"], "While a baseline is learnt, by part (have, need): "
    exchanges = GaugeMetricFamily(
        "driftgate_learning_exchanges", f"{help_text}exchanges learnt from", labels=keys
    )
    seconds = GaugeMetricFamily("driftgate_learning_seconds", f"{help_text}seconds covered", labels=keys)
    for row in routes:
        for metric, have, need in (
            (exchanges, row.have, row.need),
            (seconds, 3600.0 * row.hours, 3600.0 * row.need_hours),
        ):
            metric.add_metric([row.route, "have"], have)
            metric.add_metric([row.route, "need"], need)
    yield exchanges
    yield seconds


def _verdict_metrics(verdicts: list[Verdict]) -> Iterator[Metric]:
    keys = ["route", "arm"]
    tiers = GaugeMetricFamily(
        "driftgate_tier", "1 for the present tier, 0 for the others", labels=[*keys, "tier"]
    )
    drifted = GaugeMetricFamily("driftgate_drifted", "1 while there is evidence of drift", labels=keys)
    times = GaugeMetricFamily("driftgate_verdict_timestamp_seconds", "When the verdict was made", labels=keys)
    values = GaugeMetricFamily("driftgate_signal", "Value of a signal, in its unit", labels=[*keys, "signal"])
    for verdict in verdicts:
        key = [verdict.route, verdict.arm]
        for tier in Tier:
            tiers.add_metric([*key, tier.value], float(tier == verdict.tier))
        drifted.add_metric(key, float(verdict.drifted))
        times.add_metric(key, verdict.time)
        for name, signal in verdict.signals.items():
            values.add_metric([*key, name], signal.value)
    yield from (tiers, drifted, times, values)


def _label_metrics(status: Status) -> Iterator[Metric]:
    """Yield what labels show, never by annotator: there may be any number of them."""
    taken = CounterMetricFamily("driftgate_feedback", "Feedback taken", labels=["route", "result"])
    for count in status.feedback:
        taken.add_metric([count.route, "accepted"], count.accepted)
        taken.add_metric([count.route, "repeated"], count.repeated)
    yield taken
    help_text = "Feedback whose route is not known, because its exchange has not been scored"
    yield GaugeMetricFamily("driftgate_feedback_unmatched", help_text, status.unmatched_feedback)
    tiers = GaugeMetricFamily(
        "driftgate_labels_tier", "1 for the present tier of a route's labels", labels=["route", "tier"]
    )
    drifted = GaugeMetricFamily(
        "driftgate_labels_drifted", "1 while there is evidence that labels changed", labels=["route"]
    )
    values = GaugeMetricFamily(
        "driftgate_labels_signal", "Value of a signal of labels", labels=["route", "signal"]
    )
    for verdict in status.verdicts:
        if verdict.labels is None:
            continue
        for tier in Tier:
            tiers.add_metric([verdict.route, tier.value], float(tier == verdict.labels.tier))
        drifted.add_metric([verdict.route], float(verdict.labels.drifted))
        for name, signal in verdict.labels.signals.items():
            values.add_metric([verdict.route, name], signal.value)
    yield from (tiers, drifted, values)


def _canary_metrics(models: list[CanaryStatus]) -> Iterator[Metric]:
    """Yield what canaries cost, and how far the last answers of each model have moved."""
    keys = ["model", "route"]
    for name, help_text in (
        ("asked", "Canaries sent"),
        ("answered", "Canaries answered"),
        ("failed", "Canaries without an answer that counts"),
    ):
        counter = CounterMetricFamily(f"driftgate_canaries_{name}", help_text, labels=keys)
        for row in models:
            counter.add_metric([row.model, row.route], getattr(row, name))
        yield counter
    alarmed = GaugeMetricFamily(
        "driftgate_canaries_alarmed", "1 while the model answers its canaries differently", labels=keys
    )
    help_text = "Largest mean shift of the last answers, in standard deviations of the reference"
    shift = GaugeMetricFamily("driftgate_canaries_shift", help_text, labels=keys)
    help_text = "Part of the last answers in words never said before"
    different = GaugeMetricFamily("driftgate_canaries_different_ratio", help_text, labels=keys)
    for row in models:
        alarmed.add_metric([row.model, row.route], float(row.alarmed_since is not None))
        if row.shift is not None and row.different is not None:
            shift.add_metric([row.model, row.route], row.shift)
            different.add_metric([row.model, row.route], row.different)
    yield from (alarmed, shift, different)
