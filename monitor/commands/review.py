"""`driftgate review list|show|resolve`: what a person should look at, and what they say of it.

Law of this file: it asks the running monitor over HTTP; the queue has no other door.
"""

from __future__ import annotations

import getpass
from typing import Annotated, Any

import msgspec
import typer

from monitor.commands.app import app
from monitor.commands.document import print_document
from monitor.commands.http import ask
from monitor.commands.offline import JsonOption
from monitor.contract.command import CommandFault, Settings, with_flags

_ENDS = "Exit status: 0 when done, 2 when there is no such item or the monitor refuses, 3 when it does not answer."
_OUTCOMES = ("ok", "bad", "unsure")
_STATES = ("open", "resolved", "all")
_SHOWN_CHARS = 60

reviews = typer.Typer(no_args_is_help=True, rich_markup_mode=None, epilog=_ENDS)
app.add_typer(
    reviews,
    name="review",
    help="List, show and judge what waits for a person.",
    short_help="Judge what waits for a person.",
)

UrlOption = Annotated[str, typer.Option("--url", metavar="URL", help="The monitor [default: as configured].")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="As `review list` shows it.")]


def _base(settings: Settings, url: str) -> tuple[str, Any]:
    config = settings.load()
    return (url or f"http://{config.monitor.listen}").rstrip("/"), config.monitor.token


@reviews.command("list", epilog=_ENDS, short_help="What waits, the most unusual first.")
@with_flags("--monitor")
def list_items(
    settings: Settings,
    *,
    state: Annotated[str, typer.Option(metavar="STATE", help="open, resolved or all.")] = "open",
    route: Annotated[str, typer.Option(metavar="NAME", help="Of this route only.")] = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="At most so many.")] = 50,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> int:
    """List minor verdicts and the exchanges drawn for review, and what the judged ones say of all exchanges."""
    from urllib.parse import urlencode

    if state not in _STATES:
        raise CommandFault(f"--state: got {state!r}; expected one of: {', '.join(_STATES)}")
    base, token = _base(settings, url)
    query = urlencode({"state": state, "route": route, "limit": limit})
    document = _decoded(ask(f"{base}/-/review?{query}", token))
    if as_json:
        print_document(document)
    else:
        _show_list(document)
    return 0


@reviews.command("show", epilog=_ENDS, short_help="One item with its texts.")
@with_flags("--monitor")
def show(settings: Settings, item_id: IdArgument, *, url: UrlOption = "", as_json: JsonOption = False) -> int:
    """Show one item: why it waits, prompt and answer, and what was said of it."""
    base, token = _base(settings, url)
    document = _decoded(ask(f"{base}/-/review/{_quoted(item_id)}", token))
    if as_json:
        print_document(document)
    else:
        _show_item(document["item"])
    return 0


@reviews.command("resolve", epilog=_ENDS, short_help="Judge one item.")
@with_flags("--monitor")
def resolve(
    settings: Settings,
    item_id: IdArgument,
    outcome: Annotated[str, typer.Argument(metavar="OUTCOME", help="ok, bad or unsure.")],
    *,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why.")] = "",
    by: Annotated[str, typer.Option(metavar="NAME", help="Who judges [default: your user name].")] = "",
    feedback: Annotated[bool, typer.Option("--feedback", help="Count it as a label, too.")] = False,
    url: UrlOption = "",
    as_json: JsonOption = False,
) -> int:
    """Say of one item whether it is fine; a second judgement replaces the first."""
    if outcome not in _OUTCOMES:
        raise CommandFault(f"OUTCOME: got {outcome!r}; expected one of: {', '.join(_OUTCOMES)}")
    base, token = _base(settings, url)
    said = {"outcome": outcome, "note": note, "by": by or getpass.getuser(), "feedback": feedback}
    document = _decoded(ask(f"{base}/-/review/{_quoted(item_id)}", token, msgspec.json.encode(said)))
    if as_json:
        print_document(document)
    else:
        item = document["item"]
        typer.echo(f"{item['id']}: {item['outcome']}, judged by {item['by']}")
    return 0


def _quoted(item_id: str) -> str:
    from urllib.parse import quote

    return quote(item_id, safe="")


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise CommandFault(f"the answer is none of the monitor's ({error})", 3) from None


def _show_list(document: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from monitor.commands.render import moment, probability, terminal

    console = terminal()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("id", "when", "route", "p", "why", "prompt", "judged"):
        table.add_column(column, overflow="fold")
    for item in document["items"]:
        judged = f"{item['outcome']} by {item['by']}" if item["outcome"] else ""
        table.add_row(
            item["id"],
            moment(item["time"]),
            escape(f"{item['route']}/{item['arm']}"),
            probability(item["p_value"]),
            escape((item["reasons"] or ["minor verdict"])[0]),
            escape(_short(item["prompt"])),
            escape(judged),
        )
    console.print(table if document["items"] else "nothing waits")
    for quality in document["quality"]:
        console.print(
            f"{quality['route']}/{quality['arm']}: {quality['share']:.1%} of all exchanges are bad"
            f" ({quality['low']:.1%} to {quality['high']:.1%}), from {quality['reviewed']} judged"
        )


def _show_item(item: dict[str, Any]) -> None:
    from rich.markup import escape

    from monitor.commands.render import moment, number, probability, terminal

    console = terminal()
    console.print(f"[bold]{item['id']}[/]  {item['kind']} of {escape(item['route'])}/{escape(item['arm'])}")
    console.print(f"  {moment(item['time'])}  {escape(item['exchange'] or '')}", style="dim")
    for reason in item["reasons"]:
        console.print(f"  · {escape(reason)}")
    if item["p_value"] is not None:
        stands = f", stands for {number(item['times'])} exchanges" if item["times"] else ""
        console.print(f"  as unusual as this are {probability(item['p_value'])} of the baseline{stands}")
    for name in ("prompt", "response"):
        if item[name]:
            console.print(f"\n[dim]{name}[/]\n{escape(item[name])}")
    if item["outcome"]:
        note = f": {escape(item['note'])}" if item["note"] else ""
        console.print(f"\n{item['outcome']}, {escape(item['by'])}, {moment(item['resolved_at'])}{note}")


def _short(text: str) -> str:
    line = " ".join(text[: 4 * _SHOWN_CHARS].split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"
