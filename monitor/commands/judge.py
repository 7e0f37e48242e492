"""`driftgate compare` and `driftgate backtest`: verdicts on files, without any server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.app import app
from monitor.commands.document import print_document
from monitor.commands.offline import JsonOption, TritonOption, faults, offline_scorer, read_file
from monitor.commands.terminal import Advance, note, progress
from monitor.contract.command import CommandFault, Settings, with_flags

if TYPE_CHECKING:
    from monitor.contract import Exchange
    from monitor.scorer import Scorer
    from monitor.sketch.scored import Scored

_ENDS = "Exit status: 0 when there is a verdict, whatever it says; 2 when a file or the configuration cannot be used."

BaselineFile = Annotated[
    Path, typer.Argument(metavar="BASELINE", help="Exchanges to compare with (JSON Lines, .gz works).")
]


@app.command("compare", epilog=_ENDS, short_help="Compare two files of exchanges, once.")
@with_flags()
def compare(
    settings: Settings,
    baseline: BaselineFile,
    window: Annotated[Path, typer.Argument(metavar="WINDOW", help="Exchanges to judge.")],
    *,
    alpha: Annotated[
        float,
        typer.Option(metavar="P", min=1e-9, max=0.5, help="Probability of a false alarm, over all signals."),
    ] = 0.01,
    triton: TritonOption = "",
    as_json: JsonOption = False,
) -> int:
    """Say whether the exchanges of WINDOW differ from those of BASELINE, how badly, better or worse, and why.

    Needs about a hundred exchanges a side, and says what so few can and cannot show. Looks once: for a stream that is
    looked at again and again use `driftgate backtest`, which keeps the false alarms of all looks together in bounds.
    """
    config = settings.load()
    files = read_file(baseline), read_file(window)
    with faults():
        from monitor.offline.compare import compare as compare_scored

        with offline_scorer(config, triton) as scorer:
            known, judged = _score(files, scorer, quiet=as_json)
            verdict = compare_scored(
                known,
                judged,
                scorer=scorer.identity,
                alpha=alpha,
                learning=config.baseline,
                detection=config.detection,
                now=time.time(),
            )
    if as_json:
        print_document(verdict)
        return 0
    from monitor.commands.render import terminal, whole_verdict

    terminal().print(whole_verdict(verdict))
    return 0


@app.command("backtest", epilog=_ENDS, short_help="Run a recorded stream through the pipeline.")
@with_flags()
def backtest(
    settings: Settings,
    baseline: BaselineFile,
    stream: Annotated[Path, typer.Argument(metavar="STREAM", help="Exchanges to run through the pipeline.")],
    *,
    per_minute: Annotated[
        float,
        typer.Option(
            metavar="N", min=0.01, help="Exchanges a minute where STREAM carries no times [default: 10]."
        ),
    ] = 10.0,
    triton: TritonOption = "",
    as_json: JsonOption = False,
) -> int:
    """Run recorded exchanges through the live pipeline at full speed and show every change of the verdict.

    Answers what the monitor would have said, and when: how many alerts would last month have raised? The false-alarm
    budget is that of the configuration (`detection.false_alarms_per_month`).
    """
    config = settings.load()
    files = read_file(baseline), _in_time(read_file(stream), per_minute, stream)
    with faults():
        from monitor.baseline import build_baseline
        from monitor.offline.backtest import backtest as run_stream

        with offline_scorer(config, triton) as scorer:
            known, judged = _score(files, scorer, quiet=as_json)
            learnt = build_baseline(
                known,
                route=judged.exchanges[0].route,
                scorer=scorer.identity,
                settings=config.baseline,
                created=judged.exchanges[0].time,
            )
        with progress("judging", len(judged.exchanges), quiet=as_json) as advance:
            found = run_stream(
                learnt,
                judged,
                detection=config.detection,
                known=known,
                progress=lambda done, _total: advance(done),
            )
    if as_json:
        print_document(found)
    else:
        from monitor.commands.render_backtest import show_backtest

        show_backtest(found)
    return 0


def _in_time(exchanges: list[Exchange], per_minute: float, file: Path) -> list[Exchange]:
    """Put a stream into the order of its times, or give it times where it has none."""
    from monitor.offline.backtest import timed

    untimed = sum(exchange.time == 0.0 for exchange in exchanges)
    if untimed == len(exchanges):
        note(f"{file}: carries no times; taken as {per_minute:g} exchanges a minute (--per-minute)")
    elif untimed:
        raise CommandFault(
            f"{file}: {untimed} of {len(exchanges)} exchanges have no time; expected all or none"
        )
    return timed(exchanges, per_minute)


def _score(files: Sequence[list[Exchange]], scorer: Scorer, *, quiet: bool) -> list[Scored]:
    """Score both files under one progress bar."""
    from monitor.offline.scoring import score_all

    scored: list[Scored] = []
    with progress("scoring", sum(map(len, files)), quiet=quiet) as advance:
        for exchanges in files:
            scored.append(score_all(exchanges, scorer, partial(_advance, advance, scored)))
    return scored


def _advance(advance: Advance, before: Sequence[Scored], done: int, _total: int) -> None:
    advance(done + sum(len(scored.exchanges) for scored in before))
