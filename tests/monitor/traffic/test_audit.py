"""Counts that do not fit together are found, at the stage where they do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from monitor.traffic.audit import audit, read_counts
from monitor.traffic.replay import Sent

PROXY: dict[str, Any] = {
    "version": "x",
    "mirror": {
        "received": 110,
        "mirrored": 97,
        "pending": 0,
        "dropped": {"sampled_out": 10, "queue_full": 3},
        "partial": 0,
    },
}
MONITOR: dict[str, Any] = {
    "scored": 90,
    "skipped": {"incomplete": 4, "no_text": 1},
    "bus": {
        "published": 97,
        "acknowledged": 95,
        "expired": 0,
        "damaged": 0,
        "waiting": 2,
        "oldest_waiting": None,
    },
}


def changed(document: dict[str, Any], key: str, value: int) -> dict[str, Any]:
    """Return a document with one number changed, by dotted key."""
    head, _, rest = key.partition(".")
    return {**document, head: changed(document[head], rest, value) if rest else value}


def fits(proxy: dict[str, Any], monitor: dict[str, Any], sent: Sent) -> list[bool]:
    """Which of the four comparisons fit."""
    counts = read_counts(json.dumps(proxy).encode(), json.dumps(monitor).encode())
    return [line.fits for line in audit(sent, 10, counts)]


SENT = Sent(requests=100, statuses={200: 98, 404: 2}, failures={}, seconds=1.0)


def test_counts_that_fit():
    """At every stage, exchanges from before included."""
    assert fits(PROXY, MONITOR, SENT) == [True, True, True, True]


@pytest.mark.parametrize(
    ("side", "key", "value", "stage"),
    [
        ("sent", "", 0, 0),
        ("proxy", "mirror.received", 111, 1),
        ("proxy", "mirror.dropped.queue_full", 2, 2),
        ("proxy", "mirror.pending", 1, 2),
        ("monitor", "scored", 91, 3),
        ("monitor", "skipped.no_text", 0, 3),
        ("monitor", "bus.waiting", 3, 3),
        ("monitor", "bus.expired", 1, 3),
        ("monitor", "bus.damaged", 1, 3),
    ],
)
def test_a_count_that_is_one_off_is_found(side: str, key: str, value: int, stage: int):
    """In the comparison where it belongs."""
    proxy = changed(PROXY, key, value) if side == "proxy" else PROXY
    monitor = changed(MONITOR, key, value) if side == "monitor" else MONITOR
    sent = SENT._replace(statuses={200: 99}) if side == "sent" else SENT
    assert not fits(proxy, monitor, sent)[stage]


def test_it_waits_while_anything_is_on_its_way():
    """Settled means neither pending in the proxy nor waiting on the bus."""

    def settled(pending: int, waiting: int) -> bool:
        proxy, monitor = changed(PROXY, "mirror.pending", pending), changed(MONITOR, "bus.waiting", waiting)
        return read_counts(json.dumps(proxy).encode(), json.dumps(monitor).encode()).settled

    assert settled(0, 0)
    assert not settled(1, 0)
    assert not settled(0, 1)


def test_a_status_without_counts_is_named():
    """For instance another service on that port."""
    with pytest.raises(
        ValueError, match=r"/-/status does not hold the counts: Object missing required field `mirror`"
    ):
        read_counts(b"{}", b"{}")


@pytest.mark.parametrize(
    ("received", "said"),
    [
        (110, ""),
        (111, "other clients used the proxy meanwhile"),
        (106, "4 failed before the proxy took them in"),
    ],
)
def test_what_the_proxy_took_in_is_explained(received: int, said: str):
    """Fewer than were sent failed on their way; more are somebody else's."""
    counts = read_counts(
        json.dumps(changed(PROXY, "mirror.received", received)).encode(), json.dumps(MONITOR).encode()
    )
    assert audit(SENT, 10, counts)[1].detail == said
