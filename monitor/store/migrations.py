"""The tables of the monitor's database, as the steps that made them.

Law of this file: a step that has been released is never changed; a new one is added below it. Each runs in one
transaction with its record (sqlite-utils' migrations), so a file is at some step, never between two.
"""

from __future__ import annotations

import sqlite_utils
from sqlite_utils.migrations import Migrations


class NamedMigrations(Migrations):
    """Migrations that can tell their names, to recognise a file of a newer version."""

    def names(self) -> set[str]:
        """Return the names of all steps."""
        return {migration.name for migration in self._migrations}


MIGRATIONS = NamedMigrations("driftgate.monitor")


@MIGRATIONS()
def tables_of_the_first_version(db: sqlite_utils.Database) -> None:
    """Sketches, what was read, who is judged, baselines and what they are learnt from, verdicts, counters."""
    # Sketches of one (route, arm) over `span` minutes (1, 60 or 1440) from the epoch minute `start` on.
    db.table("buckets").create(
        {"route": str, "arm": str, "baseline": str, "span": int, "start": int, "state": bytes},
        not_null={"route", "arm", "baseline", "span", "start", "state"},
    ).create_index(["route", "arm", "baseline", "span", "start"], unique=True)
    # Batches of a bus whose exchanges are in this file.
    db.table("folded").create({"bus": str, "batch": int, "at": float}, pk=("bus", "batch"))
    # Each (route, arm) seen: its sequential evidence, what was folded since the last step, the last verdict.
    db.table("arms").create(
        {
            "route": str,
            "arm": str,
            "baseline": str,
            "evidence": bytes,
            "pending": bytes,
            "stepped_at": float,
            "seen_at": float,
            "verdict": bytes,
        },
        pk=("route", "arm"),
        not_null={"route", "arm", "seen_at"},
    )
    db.table("baselines").create(
        {
            "id": str,
            "route": str,
            "scorer": str,
            "origin": str,
            "created": float,
            "size": int,
            "active": int,
            "state": bytes,
        },
        pk=("id", "route"),
    )
    # Scored exchanges of a route that has no baseline yet; `scored` counts those a baseline learns from.
    db.table("lessons").create(
        {"id": int, "route": str, "scorer": str, "scored": int, "body": bytes}, pk="id"
    ).create_index(["route", "id"])
    # One row for every change of a verdict's tier or of `drifted`.
    db.table("verdicts").create(
        {"id": int, "route": str, "arm": str, "time": float, "tier": str, "drifted": int, "verdict": bytes},
        pk="id",
    ).create_index(["route", "arm", "time"])
    db.table("counters").create(
        {"route": str, "arm": str, "name": str, "value": int}, pk=("route", "arm", "name")
    )
    # Work that one of several workers does at a time, and when it was last taken up.
    db.table("turns").create({"name": str, "at": float}, pk="name")


@MIGRATIONS()
def anchors_of_baselines(db: sqlite_utils.Database) -> None:
    """Keep exchanges that are scored again now and then, with what the last look found."""
    db.table("anchors").create(
        {"route": str, "baseline": str, "body": bytes, "look": bytes},
        pk=("route", "baseline"),
        not_null={"route", "baseline", "body"},
    )


@MIGRATIONS()
def courses_of_canaries(db: sqlite_utils.Database) -> None:
    """Keep how far the canaries of each model have come, and what they cost."""
    db.table("canaries").create({"model": str, "body": bytes}, pk="model", not_null={"model", "body"})


@MIGRATIONS()
def reviews_by_people(db: sqlite_utils.Database) -> None:
    """Keep what waits for a person's judgement, what was judged, and the hours it was drawn from."""
    # `sampled`: 1 while it is one of its hour's largest priorities (see `monitor/review/sampling.py`).
    db.table("reviews").create(
        {
            "id": str,
            "kind": str,
            "state": str,
            "route": str,
            "arm": str,
            "time": float,
            "hour": int,
            "sampled": int,
            "exchange": str,
            "weight": float,
            "priority": float,
            "p_value": float,
            "reward": float,
            "reasons": str,
            "model": str,
            "prompt": str,
            "response": str,
            "outcome": str,
            "note": str,
            "reviewer": str,
            "resolved_at": float,
        },
        pk="id",
        not_null={"kind", "state", "route", "arm", "time", "hour", "sampled", "reasons", "note", "reviewer"},
        defaults={"note": "", "reviewer": ""},
    ).create_index(["state", "time"]).create_index(["route", "arm", "hour"])
    # Of every (route, arm) and epoch hour: the exchanges that were drawn from, and the priority the kept ones exceed.
    db.table("review_hours").create(
        {"route": str, "arm": str, "hour": int, "seen": int, "threshold": float},
        pk=("route", "arm", "hour"),
        not_null={"seen", "threshold"},
    )


@MIGRATIONS()
def seasonality_of_baselines(db: sqlite_utils.Database) -> None:
    """Keep whether a baseline tells hours apart, and why."""
    db.table("baselines").add_column("seasonality", str)
    db.table("baselines").add_column("seasonality_why", str)


@MIGRATIONS()
def feedback_and_labels(db: sqlite_utils.Database) -> None:
    """Keep what people say of exchanges, what it tells of the people, and the rewards it is compared with."""
    # `state`: 0 parked (no route known yet), 1 to be folded, 2 folded.
    db.table("feedback").create(
        {
            "id": int,
            "exchange": str,
            "annotator": str,
            "route": str,
            "item": str,
            "label": str,
            "gold": str,
            "time": float,
            "received": float,
            "reward": float,
            "state": int,
        },
        pk="id",
        not_null={"exchange", "annotator", "route", "item", "label", "time", "received", "state"},
    ).create_index(["exchange", "annotator"], unique=True).create_index(["state", "time"]).create_index(
        ["route", "item"]
    )
    # Comparisons that labels made, as `monitor/labels/judgement.py` defines them.
    db.table("label_events").create(
        {
            "route": str,
            "time": float,
            "annotator": str,
            "kind": str,
            "stratum": str,
            "label": str,
            "wrong": int,
            "partner": str,
            "echo": int,
        }
    ).create_index(["route", "time"])
    # Coincidences of the items first labelled on a day (days since the epoch), in blocks of different items.
    db.table("label_blocks").create(
        {"route": str, "day": int, "block": int, "state": bytes}, pk=("route", "day", "block")
    )
    # Evidence about a route's labels, and the last verdict on them.
    db.table("label_panels").create({"route": str, "state": bytes, "verdict": bytes}, pk="route")
    # One row for every change of the tier, the cause or `drifted` of a route's labels.
    db.table("label_verdicts").create(
        {"id": int, "route": str, "time": float, "verdict": bytes}, pk="id"
    ).create_index(["route", "time"])
    db.table("label_counters").create({"route": str, "name": str, "value": int}, pk=("route", "name"))
    # The newest scored exchanges, for feedback to find its route and reward.
    db.table("rewards").create(
        {"id": int, "exchange": str, "route": str, "reward": float}, pk="id", not_null={"exchange", "route"}
    ).create_index(["exchange"], unique=True)


@MIGRATIONS()
def times_of_lessons(db: sqlite_utils.Database) -> None:
    """Keep when lessons are from, and the numbers of those that are stretches of equal length."""
    db.table("lessons").add_column("since", float)
    db.table("lessons").add_column("until", float)
    db.table("lessons").add_column("stretch", int)


@MIGRATIONS()
def heads_of_lessons(db: sqlite_utils.Database) -> None:
    """Tell how far learning has come without reading the bodies of lessons, which lie before their times."""
    db.table("lessons").create_index(["route", "stretch", "scored", "since", "until"])
