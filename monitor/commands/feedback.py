"""`driftgate feedback import`: what people said of exchanges, from a file into the monitor's store."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from monitor.commands.app import app
from monitor.commands.document import print_document
from monitor.commands.offline import JsonOption, faults
from monitor.commands.terminal import note
from monitor.contract.command import CommandFault, Settings, with_flags

_ENDS = (
    "Exit status: 0 when the file was taken; 2 when the file, the state or the configuration cannot be used."
)
feedback = typer.Typer(no_args_is_help=True, rich_markup_mode=None, epilog=_ENDS)
app.add_typer(feedback, name="feedback", help="What people say of exchanges.", short_help="What people say.")

_SHOWN = 5


@feedback.command("import", epilog=_ENDS, short_help="Take feedback from a file.")
@with_flags("--state")
def import_file(
    settings: Settings,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSON Lines or CSV with a header (.gz works).")
    ],
    *,
    as_json: JsonOption = False,
) -> int:
    """Take feedback from a file: exchange (or id), label or score; optional annotator, gold, time, route, item, reward.

    A line that cannot be used is reported and skipped. What was taken before is not taken twice: one annotator's
    judgement of one exchange stands as first given. The monitor may be running; it judges labels as they come.
    """
    config = settings.load()
    from monitor.offline.feedback_file import FeedbackFileError, read_feedback_file
    from monitor.service.feedback import Unwelcome, check_route
    from monitor.store import open_store

    routes = tuple(route.name for route in config.routes)
    try:
        found, skipped = read_feedback_file(file)
        for given in found:
            check_route(given, routes, f"{file}: ")
    except (FeedbackFileError, Unwelcome) as error:
        raise CommandFault(str(error)) from None
    with faults(), closing(open_store(config.store_path)) as store:
        taken = store.feedback.add(found, time.time(), routes[0] if len(routes) == 1 else "")
    if as_json:
        print_document({**taken._asdict(), "skipped": [row._asdict() for row in skipped]})
        return 0
    for row in skipped[:_SHOWN]:
        note(f"{file}: line {row.line}: {row.reason}")
    if len(skipped) > _SHOWN:
        note(f"{file}: and {len(skipped) - _SHOWN} more lines skipped")
    sys.stdout.write(
        f"{taken.accepted} accepted, {taken.repeated} known already, {taken.unmatched} of exchanges not seen (yet), "
        f"{len(skipped)} lines skipped\n"
    )
    return 0
