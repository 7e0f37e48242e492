"""`driftgate status`: the verdicts now, with an exit status that scripts and pagers can use."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer

from monitor.commands.app import app
from monitor.commands.document import print_document
from monitor.commands.http import UNREACHABLE, get
from monitor.contract import Tier, Verdict
from monitor.contract.command import CommandFault, Settings, with_flags
from monitor.contract.config import ConfigError, Secret

EXIT_STATUS = {
    Tier.OK: 0,
    Tier.IMPROVED: 0,
    Tier.LEARNING: 0,
    Tier.MINOR: 1,
    Tier.CRITICAL: 2,
    Tier.BLIND: UNREACHABLE,
}
# What decides when routes differ: a known problem before not knowing, not knowing before ok.
_WORST_FIRST = (Tier.CRITICAL, Tier.MINOR, Tier.BLIND, Tier.LEARNING, Tier.IMPROVED, Tier.OK)

_ENDS = (
    "Exit status, of the worst verdict: 0 ok, improved or learning, 1 minor, 2 critical, 3 blind, no verdict yet, "
    "unreachable, or a wrong flag or configuration."
)


class _Answer(msgspec.Struct):
    """What `/-/drift` says."""

    verdicts: list[Verdict] = []


def worst(verdicts: list[Verdict]) -> Tier:
    """Return the tier that decides; blind where there is no verdict at all."""
    tiers = {verdict.tier for verdict in verdicts}
    return next((tier for tier in _WORST_FIRST if tier in tiers), Tier.BLIND)


@app.command(
    "status", epilog=_ENDS, short_help="Show the verdicts now.", context_settings={"obj": UNREACHABLE}
)
@with_flags("--admin", "--monitor")
def status(
    settings: Settings,
    *,
    url: Annotated[
        str, typer.Option(metavar="URL", help="Proxy's admin or monitor [default: as configured].")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    details: Annotated[bool, typer.Option("--details", help="Show signals and what moved.")] = False,
) -> int:
    """Ask the proxy, or else the monitor, for the verdicts now; the headline comes first."""
    try:
        config = settings.load()
    except ConfigError as error:
        raise CommandFault(str(error), UNREACHABLE) from None
    ours = {
        f"http://{config.admin.listen}": config.admin.token,
        f"http://{config.monitor.listen}": config.monitor.token,
    }
    asked = {url: _token_for(url, ours, config.admin.token)} if url else ours
    source, verdicts = _first_answer(asked)
    tier = worst(verdicts)
    if as_json:
        print_document({"tier": tier, "source": source, "verdicts": verdicts})
    else:
        _show(verdicts, source, details=details)
    return EXIT_STATUS[tier]


def _token_for(url: str, ours: dict[str, Secret | None], otherwise: Secret | None) -> Secret | None:
    """Return the token of the process of ours that a URL is of."""
    return next((token for address, token in ours.items() if f"{url}/".startswith(f"{address}/")), otherwise)


def _first_answer(asked: dict[str, Secret | None]) -> tuple[str, list[Verdict]]:
    """Ask one address after the other, each with its token. Raises CommandFault when none answers."""
    faults = []
    for url, token in asked.items():
        source = url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/-/drift"
        try:
            return source, msgspec.json.decode(get(source, token), type=_Answer).verdicts
        except CommandFault as fault:
            faults.append(str(fault))
        except msgspec.MsgspecError as error:
            faults.append(f"{source} answers, but not with verdicts ({error})")
    raise CommandFault("; ".join(faults), UNREACHABLE)


def _show(verdicts: list[Verdict], source: str, *, details: bool) -> None:
    from monitor.commands.render import terminal, verdict_lines, whole_verdict

    console = terminal()
    if not verdicts:
        console.print("● blind  no verdict yet: the monitor has not spoken")
    for verdict in sorted(verdicts, key=lambda verdict: _WORST_FIRST.index(verdict.tier)):
        if details:
            console.print(whole_verdict(verdict))
        else:
            console.print(*verdict_lines(verdict), sep="\n")
    console.print(f"from {source}", style="dim")
