"""The wire itself: what it says of its peer is what the cases stand on."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conformance.wire import Wire


@pytest.fixture
def wires() -> Iterator[tuple[Wire, Wire]]:
    """Give both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = Wire(socket.create_connection(listener.getsockname()))
        other = Wire(listener.accept()[0])
    yield one, other
    one.close()
    other.close()


@pytest.mark.parametrize("end", [Wire.close, Wire.reset])
def test_a_peer_that_ended_is_gone(wires: tuple[Wire, Wire], end: Callable[[Wire], None]) -> None:
    """By FIN or RST, with words before it or without."""
    wire, peer = wires
    peer.send(b"last words")
    end(peer)
    assert wire.gone(5.0)


@pytest.mark.parametrize("says", [b"", b"words"], ids=["silent", "speaks"])
def test_a_peer_that_is_there_is_not_gone(wires: tuple[Wire, Wire], says: bytes) -> None:
    """Silence is no end, and neither are words."""
    wire, peer = wires
    peer.send(says)
    assert not wire.gone(0.1)


def test_a_peer_that_ends_meanwhile_is_gone(wires: tuple[Wire, Wire]) -> None:
    """The end is waited for."""
    wire, peer = wires
    threading.Timer(0.05, peer.close).start()
    assert wire.gone(5.0)
