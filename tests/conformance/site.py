"""The proxy under test, as its clients and (where it is ours) its operators see it."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
from tests.conformance.upstream import Upstream
from tests.conformance.wire import Message, Wire, until
from tests.proxy.processes import RunningProxy

# Our proxy gives an upstream up after so much silence.
READ_S = 2.5


class Asking(NamedTuple):
    """What every request to this proxy needs: its Host, what others demand as headers, and a model they serve."""

    host: bytes = b"proxy.example"
    headers: tuple[bytes, ...] = ()
    model: bytes = b"m"


class Site:
    """One configuration of a proxy with the upstream behind it. `mode`: off, on, hung or foreign."""

    def __init__(
        self,
        mode: str,
        address: tuple[str, int],
        prefix: bytes,
        upstream: Upstream,
        *,
        asking: Asking,
        process: RunningProxy | None = None,
        transport: str | None = None,
    ) -> None:
        self.mode = mode
        # Our proxy's client for upstreams; None: the configured default.
        self.transport = transport
        self.address = address
        self.prefix = prefix
        self.upstream = upstream
        self.asking = asking
        self.process = process
        self._wires: list[Wire] = []
        self._bus: SqliteBus | None = None
        self._seen: dict[str, Exchange] = {}
        # How often each exchange was served by the bus.
        self.served: list[str] = []

    @property
    def ours(self) -> bool:
        """Whether this is our own proxy."""
        return self.process is not None

    @property
    def mirrored(self) -> bool:
        """Whether exchanges reach a bus that the test can read."""
        return self.mode == "on"

    def connect(self) -> Wire:
        """Open a connection; it ends with the test."""
        self._wires.append(Wire(socket.create_connection(self.address, timeout=5)))
        return self._wires[-1]

    def hang_up(self) -> None:
        """Close every connection that a test has opened."""
        for wire in self._wires:
            wire.close()
        self._wires.clear()

    def chat(self, **fields: object) -> bytes:
        """Write a chat completion request, with a space where encoders would not leave one."""
        model = json.dumps(self.asking.model.decode())
        more = "".join(f", {json.dumps(key)}: {json.dumps(value)}" for key, value in fields.items())
        return f'{{"model": {model}, "messages": [{{"role": "user", "content": "hi"}}]{more}}}'.encode()

    def head(self, method: bytes, path: bytes, *headers: bytes) -> bytes:
        """Write a request's head; `path` follows the base URL."""
        line = method + b" " + self.prefix + path + b" HTTP/1.1"
        rows = (line, b"host: " + self.asking.host, *self.asking.headers, *headers)
        return b"\r\n".join((*rows, b"", b""))

    def posting(self, body: bytes, *headers: bytes, path: bytes = b"/chat/completions") -> bytes:
        """Write a POST of a JSON body."""
        rows = (b"content-type: application/json", b"content-length: %d" % len(body))
        return self.head(b"POST", path, *rows, *headers) + body

    def post(self, body: bytes, *headers: bytes, path: bytes = b"/chat/completions") -> Message:
        """POST a JSON body on a connection of its own."""
        return self.ask(self.posting(body, *headers, path=path))

    def ask(self, request: bytes) -> Message:
        """Send raw bytes on a connection of its own and read the answer to its end."""
        wire = self.connect()
        try:
            wire.send(request)
            return wire.message(bodyless=request.startswith(b"HEAD "))
        finally:
            wire.close()

    def status(self) -> dict:
        """Return our proxy's `/-/status`."""
        return self._process.status()

    def settled(self) -> dict:
        """Wait until no request is in flight and return our proxy's `/-/status`."""

        def idle():
            status = self.status()
            return None if status["requests"]["in_flight"] else status

        return until(idle)

    @property
    def _process(self) -> RunningProxy:
        if self.process is None:
            pytest.fail("this case needs our own proxy: mark it `ours`")
        return self.process

    def worker(self) -> int:
        """Return the process id of our proxy's worker."""
        return self._process.workers()[0]

    def rss_mb(self) -> float:
        """Return the resident memory of our proxy's worker."""
        rows = Path(f"/proc/{self.worker()}/status").read_text().splitlines()
        return next(int(row.split()[1]) / 1024 for row in rows if row.startswith("VmRSS"))

    def threads(self) -> int:
        """Count the threads of our proxy's worker."""
        return len(list(Path(f"/proc/{self.worker()}/task").iterdir()))

    def files(self) -> list[str]:
        """List what our proxy's worker has open."""
        links = list(Path(f"/proc/{self.worker()}/fd").iterdir())
        return [str(link.readlink()) for link in links if link.is_symlink()]

    def exchange(self, got: Message) -> Exchange:
        """Return the mirrored exchange of a response, by its `Drift-Exchange`."""
        wanted = got.values(b"drift-exchange")[0].strip(b'"').decode()
        return until(lambda: self.exchanges().get(wanted))

    def exchanges(self) -> dict[str, Exchange]:
        """Return everything that has been on the bus so far."""
        if self._bus is None:
            self._bus = SqliteBus(self._process.directory / "state" / "bus.sqlite")
        for batch in self._bus.fetch("conformance", 1000, time.time()):
            self.served += [exchange.id for exchange in batch.exchanges]
            self._seen |= {exchange.id: exchange for exchange in batch.exchanges}
            self._bus.ack([batch.id])
        return self._seen

    def close(self) -> None:
        """Leave the bus."""
        if self._bus is not None:
            self._bus.close()
