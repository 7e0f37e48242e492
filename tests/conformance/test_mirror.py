"""The mirror: everything is accounted for, once, and costs little."""

from __future__ import annotations

import pytest

from tests.conformance.site import Site
from tests.conformance.wire import ANSWER, response, until

JSON = b"content-type: application/json"
MB = 1024 * 1024


@pytest.mark.ours("reads our counters")
def test_f47_every_request_is_accounted_for(site: Site) -> None:
    """Law: received = mirrored + dropped by reason + pending, whatever was asked; pending is 0 where the bus works."""

    def settled():
        mirror = site.settled()["mirror"]
        return mirror if site.mode == "hung" or not mirror["pending"] else None

    before = until(settled)
    site.upstream.start(response(ANSWER, JSON))
    for _ in range(10):
        site.post(site.chat())
    site.post(site.chat(), b"Drift-Mirror: ?0")
    site.ask(site.head(b"GET", b"/models"))
    site.post(site.chat(padding="x" * 2 * MB))
    site.upstream.start(lambda _, wire: wire.reset())
    site.post(site.chat())
    mirror = until(settled)
    assert mirror["received"] == mirror["mirrored"] + sum(mirror["dropped"].values()) + mirror["pending"]
    assert mirror["received"] - before["received"] == 14
    dropped = {reason: n - before["dropped"].get(reason, 0) for reason, n in mirror["dropped"].items()}
    if site.mode == "off":
        assert dropped["mirror_off"] == 14
    else:
        assert (dropped["opted_out"], dropped["endpoint"]) == (1, 1)
    if site.mode == "on":
        assert dropped["too_large"] == 1
        assert mirror["mirrored"] - before["mirrored"] == 11


@pytest.mark.ours("reads our bus")
@pytest.mark.modes("on")
def test_f48_each_exchange_is_delivered_once(site: Site) -> None:
    """A hundred exchanges are on the bus once each; batches are not sent again with the next."""
    site.upstream.start(response(ANSWER, JSON))
    wire = site.connect()
    ids = []
    for _ in range(100):
        wire.send(site.posting(site.chat()))
        ids.append(wire.message().values(b"drift-exchange")[0].strip(b'"').decode())
    until(lambda: site.exchanges().keys() >= set(ids))
    assert len(set(ids)) == 100
    assert [site.served.count(each) for each in ids] == [1] * 100


@pytest.mark.ours("reads our memory and files")
@pytest.mark.modes("on")
def test_f50_the_sink_is_reached_by_one_connection(site: Site) -> None:
    """Many batches go through the same open file; a body is not kept for a request that is not mirrored."""
    site.upstream.start(response(ANSWER, JSON))
    site.exchange(site.post(site.chat()))
    bus = [name for name in site.files() if name.endswith("bus.sqlite")]
    for _ in range(5):
        site.exchange(site.post(site.chat()))
    assert [name for name in site.files() if name.endswith("bus.sqlite")] == bus
    before = site.rss_mb()
    for _ in range(4):
        assert site.post(site.chat(padding="x" * 4 * MB), b"Drift-Mirror: ?0").status == 200
    assert site.rss_mb() - before < 24
    until(lambda: site.status()["mirror"]["queue"]["bytes"] == 0)


@pytest.mark.ours("about rollouts")
def test_f52_shadow_requests_are_whole_and_uncounted(site: Site) -> None:
    """A shadow keeps the Host and the body, whatever its size, and is nobody's traffic."""
    pytest.skip("this proxy sends no shadow requests yet")
