"""`driftgate calibrate`: budgets and thresholds from a team's own history."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.app import app
from monitor.commands.document import print_document
from monitor.commands.offline import JsonOption, TritonOption, faults, offline_scorer, read_file
from monitor.commands.terminal import note, progress
from monitor.contract.command import CommandFault, Settings, with_flags
from monitor.contract.config import BaselineConfig, Config, Detection

if TYPE_CHECKING:
    from monitor.contract import Exchange
    from monitor.offline.calibrate import Calibration
    from monitor.scorer import Scorer
    from monitor.sketch.scored import Scored

_ENDS = (
    "Exit status: 0 when there is a calibration, whatever it says; 2 when history, state or configuration cannot be "
    "used, or there is too little history."
)


@app.command("calibrate", epilog=_ENDS, short_help="Thresholds and budgets from your own history.")
@with_flags("--state")
def calibrate(
    settings: Settings,
    history: Annotated[
        Path | None,
        typer.Argument(
            metavar="[HISTORY]", help="Exchanges (JSON Lines, .gz works) [default: what the bus holds]."
        ),
    ] = None,
    *,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="N", min=1e-6, max=1000, help="False alarms a month to allow [default: as configured]."
        ),
    ] = None,
    route: Annotated[
        str, typer.Option(metavar="NAME", help="The route to calibrate [default: the busiest].")
    ] = "",
    resamples: Annotated[
        int, typer.Option(metavar="N", min=1, max=1000, help="Baselines and streams to draw.")
    ] = 12,
    per_minute: Annotated[
        float,
        typer.Option(
            metavar="N", min=0.01, help="Exchanges a minute where HISTORY carries no times [default: 10]."
        ),
    ] = 10.0,
    triton: TritonOption = "",
    as_json: JsonOption = False,
) -> int:
    """Propose thresholds and a false-alarm budget, and show the alarms that each would have raised.

    The history is taken to be free of drift. Half of its days (or shorter blocks) become a baseline and the others a
    stream, again and again, which the live detector looks at every minute. The YAML at the end can be pasted into the
    configuration.
    """
    import msgspec

    config = settings.load()
    detection = config.detection
    if budget is not None:
        detection = msgspec.structs.replace(detection, false_alarms_per_month=budget)
    exchanges = _one_route(_history(config, history, route), route)
    with faults():
        ordered = _in_order(exchanges, per_minute)
        with offline_scorer(config, triton) as scorer:
            scored, identity = _score(ordered, scorer, quiet=as_json), scorer.identity
        calibrating = config.baseline, detection
        found = _calibrated(scored, identity, calibrating, resamples, quiet=as_json)
    _show(found, as_json=as_json)
    return 0


def _calibrated(
    scored: Scored, scorer: str, settings: tuple[BaselineConfig, Detection], resamples: int, *, quiet: bool
) -> Calibration:
    from monitor.offline.blocks import HistoryTooShort
    from monitor.offline.calibrate import calibrate as run

    learning, detection = settings
    try:
        with progress("replaying", resamples, quiet=quiet) as advance:
            return run(
                scored,
                scorer=scorer,
                learning=learning,
                detection=detection,
                resamples=resamples,
                progress=advance,
            )
    except HistoryTooShort as error:
        raise CommandFault(str(error)) from None


def _in_order(exchanges: list[Exchange], per_minute: float) -> list[Exchange]:
    """Put a history into the order of its times, or give it times where it has none. Raises CommandFault."""
    from monitor.offline.backtest import timed

    untimed = sum(exchange.time == 0.0 for exchange in exchanges)
    if untimed == len(exchanges):
        note(f"the history carries no times; taken as {per_minute:g} exchanges a minute (--per-minute)")
    elif untimed:
        raise CommandFault(f"{untimed} of {len(exchanges)} exchanges have no time; expected all or none")
    return timed(exchanges, per_minute)


def _show(found: Calibration, *, as_json: bool) -> None:
    if as_json:
        print_document(found)
        return
    from monitor.commands.render_calibration import show_calibration

    show_calibration(found)


def _history(config: Config, file: Path | None, route: str) -> list[Exchange]:
    """Read the history from a file, or from what the bus still holds. Raises CommandFault."""
    if file is not None:
        return read_file(file)
    with faults():
        from monitor.bus.open import open_bus

        with closing(open_bus(config)) as bus:
            held = [exchange for batch in bus.kept(0.0, 1e12) for exchange in batch]
    if not held:
        raise CommandFault(
            f"{config.bus_path}: holds no exchange; expected a HISTORY file, or a monitor that has seen traffic"
        )
    if route and all(exchange.route != route for exchange in held):
        raise CommandFault(f"{config.bus_path}: holds no exchange of route {route!r}")
    return held


def _one_route(exchanges: list[Exchange], wanted: str) -> list[Exchange]:
    """Keep the control arm of one route, and say what is left out. Raises CommandFault."""
    from collections import Counter

    control = [exchange for exchange in exchanges if exchange.arm == "control"]
    routes = Counter(exchange.route for exchange in control)
    if not routes:
        raise CommandFault("the history has no exchange of the control arm")
    name = wanted or routes.most_common(1)[0][0]
    kept = [exchange for exchange in control if exchange.route == name]
    if not kept:
        raise CommandFault(f"--route: got {name!r}; expected one of: {', '.join(sorted(routes))}")
    if len(kept) < len(exchanges):
        note(f"calibrating route {name!r}: {len(kept)} of {len(exchanges)} exchanges")
    return kept


def _score(exchanges: list[Exchange], scorer: Scorer, *, quiet: bool) -> Scored:
    from monitor.offline.scoring import score_all

    with progress("scoring", len(exchanges), quiet=quiet) as advance:
        return score_all(exchanges, scorer, lambda done, _total: advance(done))
