"""`driftgate replay` and `driftgate standin`: recorded exchanges as traffic, and as a model."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.commands.app import app
from monitor.commands.http import get
from monitor.commands.offline import read_file
from monitor.commands.render_replay import show_replay
from monitor.commands.terminal import note, progress
from monitor.contract.command import CommandFault, Settings, with_flags
from monitor.contract.config import split_address

if TYPE_CHECKING:
    from monitor.contract import Exchange
    from monitor.contract.config import Config
    from monitor.traffic.audit import Counts, Line
    from monitor.traffic.openai_shapes import Answers
    from monitor.traffic.replay import Plan, Sent

_REPLAY_ENDS = (
    "Exit status: 0 when every request was answered with a status below 400 (and, with --verify, all counts match), "
    "1 when not, 2 when the file or the configuration is wrong."
)
_STANDIN_ENDS = (
    "Exit status: 0 after SIGINT or SIGTERM, 2 when the file cannot be used or the address is taken."
)

_FILE = typer.Argument(metavar="FILE", help="Exchanges as JSON Lines, .gz works.")


@app.command("replay", epilog=_REPLAY_ENDS, short_help="Send recorded prompts through a proxy.")
@with_flags("--listen", "--admin", "--monitor")
def replay(
    settings: Settings,
    file: Annotated[Path, _FILE],
    *,
    to: Annotated[
        str, typer.Option(metavar="URL", help="Base URL to send to [default: the configured proxy].")
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option(metavar="R", min=0.001, help="Requests a second [default: as fast as it goes]."),
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", min=1, max=4096, help="Requests at once.")] = 32,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Send the first N exchanges only.")
    ] = None,
    stream_every: Annotated[
        int, typer.Option(metavar="N", min=0, help="Ask for a stream every N requests.")
    ] = 0,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare the counts of every stage afterwards.")
    ] = False,
    wait: Annotated[
        float, typer.Option(metavar="S", min=0, help="Seconds that --verify waits for scoring.")
    ] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> int:
    """Send the prompts of recorded exchanges through a proxy, as chat completions.

    The model's answers are new ones, unless the proxy's upstream is `driftgate standin FILE`, which answers with the
    recorded responses. With --verify the counts of client, proxy and monitor are compared, to the exchange.
    """
    from monitor.traffic.replay import Plan

    config = settings.load()
    exchanges = read_file(file)[:limit]
    plan = Plan(
        to or f"http{'s' * bool(config.proxy.tls.cert)}://{config.proxy.listen}/v1",
        rate,
        concurrency,
        stream_every,
    )
    if not plan.to.startswith(("http://", "https://")):
        raise CommandFault(f"--to: got {to!r}; expected a base URL such as http://127.0.0.1:8080/v1")
    before = _counts(config).proxy.received if verify else None
    sent = _send(exchanges, plan, quiet=as_json)
    lines = _audit(config, sent, before, wait) if before is not None else ()
    show_replay(sent, lines, as_json=as_json)
    return 0 if not sent.failures and not sent.refused and all(line.fits for line in lines) else 1


def _send(exchanges: list[Exchange], plan: Plan, *, quiet: bool) -> Sent:
    from monitor.traffic.replay import replay as send_all

    with progress("replaying", len(exchanges), quiet=quiet) as advance:
        sent = asyncio.run(send_all(exchanges, plan, lambda so_far: advance(so_far.requests)))
    if not sent.statuses:
        kinds = ", ".join(sent.failures)
        raise CommandFault(f"{plan.to} answered none of {sent.requests} requests ({kinds})", status=1)
    return sent


def _counts(config: Config) -> Counts:
    """Ask proxy and monitor for their counts. Raises CommandFault."""
    from monitor.traffic.audit import read_counts

    bodies = [
        get(f"http://{config.admin.listen}/-/status", config.admin.token),
        get(f"http://{config.monitor.listen}/-/status"),
    ]
    try:
        return read_counts(*bodies)
    except ValueError as error:
        raise CommandFault(f"--verify: {error}") from None


def _audit(config: Config, sent: Sent, before: int, wait_s: float) -> tuple[Line, ...]:
    """Wait until nothing is on its way any more, then compare."""
    from monitor.traffic.audit import audit

    deadline = time.monotonic() + wait_s
    counts = _counts(config)
    while not counts.settled and time.monotonic() < deadline:
        time.sleep(0.5)
        counts = _counts(config)
    return audit(sent, before, counts)


@app.command("standin", epilog=_STANDIN_ENDS, short_help="Answer with recorded responses.")
def standin(
    file: Annotated[Path, _FILE],
    *,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where to listen.")] = "127.0.0.1:8090",
) -> int:
    """Serve a stand-in for a model that answers each prompt with its recorded response.

    It speaks OpenAI's chat completions (streams too), completions, embeddings and models, and labels what it says:
    `system_fingerprint` is fp_stand_in. A prompt that was recorded several times gets its responses in turn.
    Use it as upstream: `driftgate up --upstream http://127.0.0.1:8090/v1`.
    """
    from monitor.traffic.recorded import recorded_answers

    try:
        host, port = split_address(listen)
    except ValueError as error:
        raise CommandFault(f"--listen: {error}") from None
    answers, known = recorded_answers(read_file(file))
    if not known:
        raise CommandFault(f"{file}: no exchange has a response to answer with")
    return asyncio.run(_serve(answers, known, host, port))


async def _serve(answers: Answers, known: int, host: str, port: int) -> int:
    from monitor.traffic.standin import StandIn

    server, stop = StandIn(answers), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        base_url = await server.start(host, port)
    except OSError as error:
        raise CommandFault(f"--listen: cannot listen on {host}:{port} ({error.strerror})") from None
    sys.stdout.write(f"stand-in with {known} recorded responses on {base_url}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop()
    note(f"stand-in answered {server.answered} of {server.received} requests")
    return 0
