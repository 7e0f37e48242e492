"""What the offline commands share: reading files, the scorer, and how their faults end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.terminal import note
from monitor.contract import Exchange
from monitor.contract.command import CommandFault
from monitor.contract.config import Config, split_address

if TYPE_CHECKING:
    from monitor.scorer import Scorer

TritonOption = Annotated[
    str,
    typer.Option(
        "--triton", metavar="HOST:PORT", help="Score with this Triton (gRPC) [default: in this process]."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


@contextmanager
def faults() -> Iterator[None]:
    """Turn what can be expected to go wrong into one line and exit status 2."""
    from monitor.baseline import BaselineError
    from monitor.bus import BusError
    from monitor.offline.exchange_file import ExchangeFileError
    from monitor.scorer import ScorerUnavailable
    from monitor.scorer.local import RepositoryFault
    from monitor.store import StoreError

    expected = (BaselineError, BusError, ExchangeFileError, RepositoryFault, ScorerUnavailable, StoreError)
    try:
        yield
    except expected as error:
        raise CommandFault(str(error)) from None


@contextmanager
def offline_scorer(config: Config, triton: str) -> Iterator[Scorer]:
    """Open a scorer in this process, or at the address of a Triton."""
    from monitor.scorer.local import LocalScorer
    from monitor.scorer.open import model_repository
    from monitor.scorer.triton import TritonScorer
    from monitor.threads import use_one_thread

    use_one_thread()
    scorer: Scorer
    if triton:
        try:
            split_address(triton)
        except ValueError as error:
            raise CommandFault(f"--triton: {error}") from None
        scorer = TritonScorer(triton, config.scoring.deadline_s, config.scoring.batch)
    else:
        scorer = LocalScorer(model_repository(config))
    try:
        yield scorer
    finally:
        scorer.close()


def read_file(file: Path) -> list[Exchange]:
    """Read a file of exchanges and tell what was skipped. Raises CommandFault."""
    from monitor.offline.exchange_file import ExchangeFileError, read_exchanges

    try:
        exchanges, report = read_exchanges(file)
    except ExchangeFileError as error:
        raise CommandFault(str(error)) from None
    if report.first_skipped is not None:
        note(f"{file}: {report.in_words}")
    return exchanges
