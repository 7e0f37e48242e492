"""How the loop is."""

from __future__ import annotations

from monitor.service.health import Health


def test_trouble_is_news_once():
    """The same reason again is no news; recovery is, once; one step's recovery is not another's."""
    health = Health(started_at=0.0)
    assert health.troubled("work", "scorer down", 1.0)
    assert not health.troubled("work", "scorer down", 2.0)
    assert health.troubled("judging", "disk full", 3.0)
    assert health.trouble == "scorer down; disk full"
    assert health.recovered("work")
    assert not health.recovered("work")
    assert (health.trouble, health.troubled_since) == ("disk full", 1.0)
    assert health.recovered("judging")
    assert (health.trouble, health.troubled_since) == ("", None)
