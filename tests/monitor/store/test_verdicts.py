"""The last verdict of each arm and the history of changes."""

from __future__ import annotations

from monitor.contract import Tier, Verdict


def verdict(tier: Tier, time: float, *, drifted: bool = False) -> Verdict:
    """Make a verdict of the default route."""
    return Verdict(route="default", arm="control", tier=tier, time=time, drifted=drifted)


def test_history_has_a_row_for_each_change(store):
    """Only a change of tier or of `drifted` is history; the last verdict is always the newest."""
    said = [
        verdict(Tier.OK, 1.0),
        verdict(Tier.OK, 2.0),
        verdict(Tier.OK, 3.0, drifted=True),
        verdict(Tier.MINOR, 4.0, drifted=True),
        verdict(Tier.MINOR, 5.0, drifted=True),
    ]
    assert [store.verdicts.save(v) for v in said] == [True, False, True, True, False]
    assert store.verdicts.last("default", "control") == said[-1]
    assert [v.time for v in store.verdicts.history("default")] == [4.0, 3.0, 1.0]
    assert [v.time for v in store.verdicts.history("default", since=2.0, limit=1)] == [4.0]
    store.verdicts.forget(3.5)
    assert [v.time for v in store.verdicts.history("default")] == [4.0]


def test_what_another_version_wrote_is_as_good_as_none(store):
    """A verdict that cannot be read does not stop the next one."""
    store.verdicts.save(verdict(Tier.OK, 1.0))
    store.database.execute("UPDATE arms SET verdict = x'00'")
    assert store.verdicts.last("default", "control") is None
    assert store.verdicts.save(verdict(Tier.OK, 2.0))
