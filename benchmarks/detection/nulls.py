"""False alarms: streams in which nothing changes, looked at every minute.

Law: baseline and stream come out of one generator, so whatever pattern the traffic has, the baseline had it too. After
an alarm the evidence starts anew, and every alarm counts. *Raised* counts those whose verdict has a tier that people
are told of (`minor`, `critical`). A rate of one in 30 days is what the configuration promises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from benchmarks.detection.figures import Rate, table
from benchmarks.detection.live import SIZE, Alarm, Sight, alarms, learn, verdict_at
from benchmarks.detection.pools import Data, Pool
from benchmarks.detection.seeds import Seeds
from benchmarks.detection.streams import (
    DAY,
    Generator,
    Random,
    Span,
    Stream,
    busy_user,
    hour_of_week,
    iid,
    lossy,
    sessions,
)
from monitor.baseline.stretches import kept_stretches, stretch_length
from monitor.contract import Tier


class Null(NamedTuple):
    """A kind of unchanged traffic: from which pool, at which rate, learnt from how many days (None: `SIZE`).

    `size`: exchanges learnt where it is not a matter of days. `live`: of these days as many exchanges are kept, and as evenly, as the running monitor keeps of them.
    """

    name: str
    pool: str
    generator: Generator
    rate: float
    learn_days: float | None = None
    fresh: bool = False
    loss: bool = False
    live: bool = False
    size: int = SIZE

    @property
    def title(self) -> str:
        """Its name with its pool and rate."""
        return f"{self.name} ({self.pool}, {self.rate:g} a minute)"


class Counted(NamedTuple):
    """What a null raised over all its seeds; `families` counts alarms by the family that held most evidence."""

    null: Null
    alarms: Rate
    raised: int
    families: Counter[str]


# Here the baseline did not have what the traffic has: no nulls in the strict sense.
UNLEARNT = ("only a working day learnt live", "only 17 hours learnt")
NULLS: tuple[Null, ...] = (
    Null("independent exchanges", "tulu", iid, 10.0),
    Null("independent, texts the baseline never saw", "tulu", iid, 10.0, fresh=True),
    Null("independent prompts the baseline never saw", "clinc", iid, 10.0, fresh=True),
    Null("independent, unseen, a baseline of 400", "tulu", iid, 10.0, fresh=True, size=400),
    Null("independent, unseen, a baseline of 400", "clinc", iid, 10.0, fresh=True, size=400),
    Null("hours of the week, two weeks learnt", "tulu", hour_of_week, 1.0, learn_days=14.0),
    Null("hours of the week, two weeks learnt", "clinc", hour_of_week, 1.0, learn_days=14.0),
    Null("hours of the week, seven days learnt live", "tulu", hour_of_week, 10.0, learn_days=7.0, live=True),
    Null(f"hours of the week, {UNLEARNT[0]}", "tulu", hour_of_week, 10.0, learn_days=1.0, live=True),
    Null(f"hours of the week, {UNLEARNT[1]}", "tulu", hour_of_week, 10.0),
    Null("sessions that stay on a topic", "tulu", sessions, 10.0),
    Null("sessions that stay on a topic", "clinc", sessions, 10.0),
    Null(
        "sessions that stay on a topic, a day learnt live", "tulu", sessions, 40.0, learn_days=1.0, live=True
    ),
    Null("one user sends a tenth, in spells", "tulu", busy_user, 10.0),
    Null("5 % of the mirror lost, after learning", "tulu", iid, 10.0, loss=True),
    Null("low traffic", "tulu", iid, 1.0),
    Null("low traffic", "tulu", iid, 0.1),
)


def pools(data: Data) -> dict[str, Pool]:
    """Return the pools by name: one model's 16 answers to 805 prompts; prompts of ten domains without answers."""
    return {
        "tulu": data.pool(data.rows("bon_tulu16", lambda _: True)),
        "clinc": data.pool(data.rows("prompts_clinc", lambda row: row["topic"] != "oos"), label="topic"),
    }


class Task(NamedTuple):
    """A null, one of its seeds, and the days of its stream."""

    null: Null
    seed: int
    days: float


def count(null: Null, days: float, seeds: int, run: Seeds, tick: Callable[[], None]) -> Counted:
    """Run a null over its seeds."""
    events, raised, families = 0, 0, Counter[str]()
    for found in run.over(alarms_of, [Task(null, seed, days) for seed in range(seeds)]):
        events += len(found)
        raised += sum(tier in {Tier.MINOR, Tier.CRITICAL} for tier, _ in found)
        families.update(family for _, family in found)
        tick()
    return Counted(null, Rate(events, days * seeds), raised, families)


def alarms_of(data: Data, task: Task) -> list[tuple[Tier, str]]:
    """Return the tier of each alarm of a seed, and the family that held most of its evidence."""
    pool = pools(data)[task.null.pool]
    history, stream = drawn(task.null, pool, task.days, np.random.default_rng([1, task.seed]))
    sight = Sight(learn(pool, history, data.identity), pool)
    return [
        (verdict_at(sight, stream, alarm).tier, _richest(alarm))
        for alarm in alarms(sight, stream, again=True)
    ]


def _richest(alarm: Alarm) -> str:
    """Return the family that holds most of the evidence."""
    families = sorted({process.family for process in alarm.detector.processes})
    wealth = [alarm.detector.family_wealth(alarm.evidence, frozenset({family})) for family in families]
    return families[int(np.argmax(wealth))]


def drawn(null: Null, pool: Pool, days: float, rng: Random) -> tuple[Stream, Stream]:
    """Return what the baseline learns from and the stream that follows it, out of one generator."""
    if null.fresh:
        mine = rng.permutation(pool.size)
        size = min(null.size, pool.size // 2)
        span = Span(null.rate, 5 * DAY, days)
        times = 5 * DAY - np.arange(size, 0, -1, dtype=np.float64) * 60.0 / null.rate
        history = Stream(times, mine[:size])
        stream = null.generator(rng, pool.topic[mine[size:]], span)
        return history, stream._replace(rows=mine[size:][stream.rows])
    learnt = null.learn_days or 1.3 * SIZE / null.rate / (24 * 60)
    whole = null.generator(rng, pool.topic, Span(null.rate, 5 * DAY, learnt + days))
    cut = 5 * DAY + null.learn_days * DAY if null.learn_days else whole.times[SIZE]
    stream = whole.after(cut).until(cut + days * DAY)
    history = whole.until(cut)
    return spread(history) if null.live else history, lossy(stream, rng) if null.loss else stream


def spread(history: Stream) -> Stream:
    """Keep of a stretch of traffic what the running monitor would learn from."""
    length = stretch_length(SIZE)
    whole, rest = divmod(len(history.rows), length)
    kept = kept_stretches(dict.fromkeys(range(whole), length), SIZE - rest)
    return history.take(np.isin(np.arange(len(history.rows)) // length, [*kept, whole]))


def packed(counted: Counted) -> list[Any]:
    """Return what was counted in the form of JSON."""
    return [counted.alarms.events, counted.alarms.days, counted.raised, dict(counted.families)]


def unpacked(found: dict[str, list[Any]]) -> list[Counted]:
    """Return what was counted again, by the title of its null, in the order of `NULLS`."""
    return [
        Counted(null, Rate(events, days), raised, Counter(families))
        for null in NULLS
        if null.title in found
        for events, days, raised, families in [found[null.title]]
    ]


def write(counted: list[Counted]) -> str:
    """Return the table of false alarms."""
    head = ("nothing changes", "pool", "a minute", "days", "alarms", "in 30 days, 95 % interval", "raised")
    rows = [
        (
            c.null.name,
            c.null.pool,
            f"{c.null.rate:g}",
            f"{c.alarms.days:g}",
            f"{c.alarms.events}{_by_family(c.families)}",
            c.alarms,
            c.raised,
        )
        for c in counted
    ]
    return table(head, rows)


def _by_family(families: Counter[str]) -> str:
    found = ", ".join(f"{name} {n}" for name, n in families.most_common())
    return f" ({found})" if found else ""
