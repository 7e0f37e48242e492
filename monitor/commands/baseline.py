"""`driftgate baseline create|list|show|use`: what each route is compared with.

Law of this file: it works on the state directory itself, whether the monitor runs or not; a running monitor takes a
new choice over with its next evaluation.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.commands.app import app
from monitor.commands.document import print_document
from monitor.commands.offline import JsonOption, TritonOption, faults, offline_scorer
from monitor.commands.terminal import note
from monitor.contract.command import CommandFault, Settings, with_flags
from monitor.contract.config import Config

if TYPE_CHECKING:
    from monitor.baseline import Baseline
    from monitor.service.learning import Source
    from monitor.store import Listed, Store

_ENDS = "Exit status: 0 when done, 2 when file, state or configuration do not allow it."
_SHOWN_CLUSTERS = 12

baselines = typer.Typer(no_args_is_help=True, rich_markup_mode=None, epilog=_ENDS)
app.add_typer(
    baselines,
    name="baseline",
    help="Create, list, show and choose baselines.",
    short_help="Manage baselines.",
)

RouteOption = Annotated[
    str, typer.Option("--route", metavar="NAME", help="The route [default: every one, or the only one].")
]


@contextmanager
def _store(config: Config) -> Iterator[Store]:
    from monitor.store import open_store

    with closing(open_store(config.store_path)) as store:
        yield store


def _routes(config: Config, wanted: str) -> list[str]:
    """Return the routes that are meant. Raises CommandFault when there is no such one."""
    names = [route.name for route in config.routes]
    if wanted and wanted not in names:
        raise CommandFault(f"--route: got {wanted!r}; expected one of: {', '.join(names)}")
    return [wanted] if wanted else names


@baselines.command("create", epilog=_ENDS, short_help="From a file, or from what the bus still holds.")
@with_flags("--state")
def create(
    settings: Settings,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Exchanges as JSON Lines, .gz works.")
    ] = None,
    *,
    route: RouteOption = "",
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Start of a period, ISO 8601 or epoch seconds.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Its end [default: now].")] = "",
    triton: TritonOption = "",
    as_json: JsonOption = False,
) -> int:
    """Make a baseline and compare the route with it from now on.

    From a file of exchanges, or without one from the exchanges that the bus still holds (`bus.retention_hours`),
    `baseline.size` of them, evenly spread over the period. What was the baseline before is kept: see `baseline use`.
    """
    config = settings.load()
    period = (_moment("--since", since, 0.0), _moment("--until", until, time.time()))
    if file is not None and (since or until):
        raise CommandFault("--since and --until choose from the bus; expected either them or a FILE")
    made = []
    with faults():
        from monitor.service.learning import create as make

        sources = _sources(config, file, _routes(config, route), period)
        with offline_scorer(config, triton) as scorer, _store(config) as store:
            for source in sources:
                baseline = make(store, scorer, source, config.baseline, time.time())
                made.append(_listed(store, baseline.route, baseline.id))
    _show_list(made, as_json=as_json)
    return 0


def _sources(
    config: Config, file: Path | None, routes: list[str], period: tuple[float, float]
) -> list[Source]:
    from monitor.bus.open import open_bus
    from monitor.service.learning import file_sources, period_source

    if file is not None:
        sources = file_sources(file, routes, note)
        if not sources:
            raise CommandFault(f"{file}: has no exchange of route {' or '.join(routes)}")
        return sources
    if len(routes) > 1:
        raise CommandFault(f"--route: expected one of: {', '.join(routes)}")
    with closing(open_bus(config)) as bus:
        try:
            return [period_source(bus, routes[0], period, config.baseline.size)]
        except ValueError as error:
            raise CommandFault(str(error)) from None


def _moment(flag: str, text: str, default: float) -> float:
    """Read epoch seconds or ISO 8601 (local time where no zone is given)."""
    from datetime import datetime

    if not text:
        return default
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise CommandFault(
            f"{flag}: got {text!r}; expected a time such as 2026-01-31T08:00 or 1769846400"
        ) from None


@baselines.command("list", epilog=_ENDS, short_help="All baselines, the newest last.")
@with_flags("--state")
def list_all(settings: Settings, *, as_json: JsonOption = False) -> int:
    """List all baselines; the one that a route is compared with now is marked."""
    with faults(), _store(settings.load()) as store:
        _show_list(store.baselines.listed(), as_json=as_json)
    return 0


@baselines.command("show", epilog=_ENDS, short_help="What a baseline holds.")
@with_flags("--state")
def show(
    settings: Settings,
    baseline_id: Annotated[str, typer.Argument(metavar="ID", help="As `baseline list` shows it.")],
    *,
    route: RouteOption = "",
    as_json: JsonOption = False,
) -> int:
    """Show what a baseline was made of, its clusters of prompts and responses with their words, and its limits."""
    config = settings.load()
    with faults(), _store(config) as store:
        row = _find(store, baseline_id, route)
        try:
            baseline = store.baselines.get(row.route, row.id)
        except ValueError as error:
            raise CommandFault(f"baseline {baseline_id} cannot be read: {error}") from None
    zone = {"time_zone": baseline.seasonality.zone}
    document = {**row._asdict(), **zone, "notes": baseline.notes, **_clusters(baseline)}
    if as_json:
        print_document({"baseline": document})
    else:
        _show_one(document)
    return 0


@baselines.command("use", epilog=_ENDS, short_help="Choose what a route is compared with.")
@with_flags("--state")
def use(
    settings: Settings,
    baseline_id: Annotated[str, typer.Argument(metavar="ID", help="As `baseline list` shows it.")],
    *,
    route: RouteOption = "",
) -> int:
    """Compare a route with this baseline from now on; the evidence gathered against another one starts anew."""
    with faults(), _store(settings.load()) as store:
        row = _find(store, baseline_id, route)
        store.baselines.use(row.route, row.id)
    sys.stdout.write(f"{row.route} is compared with {row.id} now\n")
    return 0


def _find(store: Store, baseline_id: str, route: str) -> Listed:
    """Find a baseline by its id. Raises CommandFault where there is none, or one of several routes."""
    found = [row for row in store.baselines.listed() if row.id == baseline_id and route in ("", row.route)]
    if len(found) == 1:
        return found[0]
    if found:
        raise CommandFault(
            f"{baseline_id} is a baseline of {', '.join(row.route for row in found)}; expected --route"
        )
    known = ", ".join(sorted({row.id for row in store.baselines.listed()})) or "none"
    raise CommandFault(
        f"got the id {baseline_id!r}{f' of route {route!r}' if route else ''}; known ids: {known}"
    )


def _listed(store: Store, route: str, baseline_id: str) -> Listed:
    return next(row for row in store.baselines.listed() if (row.route, row.id) == (route, baseline_id))


def _clusters(baseline: Baseline) -> dict[str, Any]:
    """Return share and words of the clusters, the largest first."""
    found = {}
    for name, side in (("prompt", baseline.prompt), ("response", baseline.response)):
        counts = baseline.reference.read(f"{name}_clusters")
        total = max(1.0, float(counts.sum()))
        shares = [(float(count) / total, i) for i, count in enumerate(counts)]
        found[f"{name}_clusters"] = [
            {"cluster": i, "share": share, "terms": side.terms[i] if i < len(side.terms) else ()}
            for share, i in sorted(shares, reverse=True)
        ]
    return found


def _show_list(rows: list[Listed], *, as_json: bool) -> None:
    if as_json:
        print_document({"baselines": [row._asdict() for row in rows]})
        return
    from rich.table import Table

    from monitor.commands.render import moment, terminal

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "id", "route", "exchanges", "made", "from", "scored by"):
        table.add_column(column, justify="right" if column == "exchanges" else "left", overflow="fold")
    for row in rows:
        mark = "[green]●[/]" if row.active else ""
        table.add_row(mark, row.id, row.route, str(row.size), moment(row.created), row.origin, row.scorer)
    terminal().print(table if rows else "no baseline yet")


def _show_one(document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from monitor.commands.render import bar, moment, terminal

    console = terminal()
    state = "compared with now" if document["active"] else "not in use"
    console.print(f"[bold]{document['id']}[/]  {document['route']}, {state}")
    console.print(
        f"  {document['size']} exchanges from {escape(document['origin'])}, {moment(document['created'])}"
    )
    console.print(f"  scored by {escape(document['scorer'])}")
    hours = {"none": "hours are not told apart", "": "made by an older version"}
    kind = document["seasonality"]
    said = hours.get(kind, f"compared by {kind.replace('_', ' ')}, {document['time_zone']}")
    console.print(f"  {said}: {document['seasonality_why']}" if kind else f"  {said}")
    for remark in document["notes"]:
        console.print(f"  note: {escape(remark)}", style="dim")
    for name in ("prompt_clusters", "response_clusters"):
        rows = document[name]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column(f"  {name.replace('_', ' ')}", justify="right")
        table.add_column("share")
        table.add_column("in words")
        largest = max([1e-9, *(row["share"] for row in rows)])
        for row in rows[:_SHOWN_CLUSTERS]:
            share = f"{bar(row['share'] / largest)} {row['share']:.1%}"
            table.add_row(f"{row['cluster']}", share, escape(", ".join(row["terms"])))
        if len(rows) > _SHOWN_CLUSTERS:
            table.add_row("", f"and {len(rows) - _SHOWN_CLUSTERS} more", "(--json shows all)")
        console.print(table)
