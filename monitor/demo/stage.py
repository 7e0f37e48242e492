"""The stage: playing one act, watching verdicts, showing a response, adding up at the end.

Law of this file: whatever is shown was just read from the running processes over HTTP.
"""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import aiohttp
import msgspec
from rich.table import Table

from monitor.commands.render import verdict_details
from monitor.contract import Verdict
from monitor.demo.acts import SUPPORT, Act, Verdicts
from monitor.demo.processes import Running
from monitor.demo.traffic import World
from monitor.demo.view import Now, View
from monitor.traffic.audit import Counts, audit, read_counts
from monitor.traffic.replay import Sender, Sent

_POLL_S = 0.25
_SETTLE_S = 20.0
# The proxy reads verdicts once a second.
_HEADER_WITHIN_S = 5.0
_SHOWN_HEADERS = ("content-type", "drift-status", "drift-exchange")


class DemoFailed(RuntimeError):
    """The demo did not see what it should; the message says what."""


class Played(NamedTuple):
    """An act and how it ended."""

    act: Act
    seconds: float
    exchanges: int
    verdicts: Verdicts


class _Drift(msgspec.Struct):
    verdicts: list[Verdict] = []


class Stage:
    """Plays acts on running processes."""

    def __init__(self, running: Running, view: View, session: aiohttp.ClientSession) -> None:
        self._running = running
        self._view = view
        self._session = session
        self._seen: dict[str, tuple[object, ...]] = {}
        self._asked = 0

    async def play(self, act: Act, world: World, out: Sender) -> Played:
        """Play an act until everything expected has come. Raises DemoFailed when it does not come in time."""
        self._view.act(act.title)
        world.enter(act)
        began, sent_before = time.monotonic(), out.so_far().requests
        while True:
            seconds = time.monotonic() - began
            verdicts = await self._verdicts()
            sent = out.so_far()
            self._show(act, seconds, sent, verdicts)
            if act.over(verdicts) and seconds >= act.at_least_s:
                await self._show_response(world, verdicts)
                for route in act.explained:
                    self._view.say(*verdict_details(verdicts[route]))
                return Played(act, seconds, sent.requests - sent_before, verdicts)
            if seconds > act.within_s:
                raise DemoFailed(_missed(act, verdicts, sent))
            if self._running.ended:
                raise DemoFailed("driftgate ended in the middle of the demo")
            await asyncio.sleep(_POLL_S)

    def _show(self, act: Act, seconds: float, sent: Sent, verdicts: Verdicts) -> None:
        for route, verdict in sorted(verdicts.items()):
            what = (verdict.tier, verdict.drifted, verdict.direction, verdict.cause)
            if self._seen.get(route) != what:
                self._seen[route] = what
                self._view.verdict_changed(verdict)
        failed = sent.requests - sent.answered
        self._view.update(Now(act.within_s - seconds, sent.requests, failed, sent.per_second, verdicts))

    async def _verdicts(self) -> Verdicts:
        body = await self._get(f"http://{self._running.addresses.admin}/-/drift")
        return {verdict.route: verdict for verdict in msgspec.json.decode(body, type=_Drift).verdicts}

    async def _get(self, url: str) -> bytes:
        try:
            async with self._session.get(url) as response:
                return await response.read()
        except aiohttp.ClientError as error:
            raise DemoFailed(f"{url} does not answer ({error})") from None

    async def _show_response(self, world: World, verdicts: Verdicts) -> None:
        """Ask as a customer until the response carries the verdict just seen, and show its head."""
        deadline = time.monotonic() + _HEADER_WITHIN_S
        while True:
            head, status = await self._response_head(world)
            if status.startswith(verdicts[SUPPORT].tier) or time.monotonic() > deadline:
                self._view.response_head(head)
                return
            await asyncio.sleep(_POLL_S)

    async def _response_head(self, world: World) -> tuple[str, str]:
        """Ask once; return the head of the response as text, and its `Drift-Status`."""
        self._asked += 1
        body = {"model": f"{SUPPORT}-ft", "messages": [{"role": "user", "content": world.ask(SUPPORT)}]}
        url = f"{self._running.addresses.base_url}/chat/completions"
        async with self._session.post(url, json=body) as response:
            await response.read()
        headers = response.headers
        shown = [
            f"{name.title()}: {value}" for name, value in headers.items() if name.lower() in _SHOWN_HEADERS
        ]
        return "\n".join([f"HTTP/1.1 {response.status} {response.reason}", *shown]), headers.get(
            "drift-status", ""
        )

    async def add_up(self, played: list[Played], sent: Sent) -> None:
        """Show what was seen, and that no exchange went missing. Raises DemoFailed when one did."""
        counts = await self._settled_counts()
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in ("after", "exchanges", "verdicts", "what happened"):
            table.add_column(column)
        for each in played:
            tiers = ", ".join(f"{route} {verdict.tier}" for route, verdict in sorted(each.verdicts.items()))
            table.add_row(f"{each.seconds:.0f} s", str(each.exchanges), tiers, each.act.title)
        self._view.act("What you saw")
        self._view.say(table, "")
        # Beside the customers' requests the proxy received those whose responses were shown.
        asked = sent._replace(
            requests=sent.requests + self._asked, statuses={200: sent.answered + self._asked}
        )
        wrong = []
        for line in audit(asked, 0, counts):
            self._view.say(f"  {line.stage}: {line.left} = {line.right}   {line.detail}")
            wrong += [] if line.fits else [f"{line.stage}: {line.left} is not {line.right}"]
        if wrong or sent.failures or sent.refused:
            raise DemoFailed("; ".join(wrong) or f"requests failed: {sent.failures or sent.statuses}")

    async def _settled_counts(self) -> Counts:
        """Wait until every exchange has been scored."""
        deadline = time.monotonic() + _SETTLE_S
        while True:
            addresses = self._running.addresses
            bodies = [await self._get(f"http://{at}/-/status") for at in (addresses.admin, addresses.monitor)]
            counts = read_counts(*bodies)
            if counts.settled or time.monotonic() > deadline:
                return counts
            await asyncio.sleep(_POLL_S)


def _missed(act: Act, verdicts: Verdicts, sent: Sent) -> str:
    missing = "; ".join(expected.in_words() for expected in act.expected if not expected.met(verdicts))
    now = ", ".join(
        f"{route} {verdict.tier} (cause {verdict.cause}, {verdict.direction})"
        for route, verdict in sorted(verdicts.items())
    )
    return (
        f"after {act.within_s:.0f} s and {sent.requests} exchanges still missing: {missing}; "
        f"the verdicts are: {now or 'none'}; answers: {sent.statuses or sent.failures}"
    )
