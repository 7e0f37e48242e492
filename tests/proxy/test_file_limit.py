"""File descriptors: how they are shared out, what lacks of them are told apart, and what is said of a lack."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from proxy.file_limit import FileWatch, Room, file_limit, lacks_files, raise_file_limit, room_within
from proxy.scoreboard import Scoreboard
from tests.proxy.conftest import Start
from tests.proxy.wire import Asked, answer, post, read_message


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """Leave this process no descriptor beyond those that it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_limit_is_shared_out() -> None:
    """Two descriptors a client and something kept, whatever the limit; the last ones are not for words."""
    assert room_within(1024) == Room(clients=448, descriptors=992)
    assert room_within(1_048_576).clients > 500_000
    for limit in (70, 256, 1024, 4096, 20_000, 1_048_576):
        room = room_within(limit)
        assert 0 < 2 * room.clients < room.descriptors < limit


def test_the_limit_is_raised_as_far_as_it_may() -> None:
    """The soft limit becomes the hard one; what was before is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard < 512:
        pytest.skip("the hard limit here has no end, or is too low to be lowered for a moment")
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard - 1, hard))
        assert raise_file_limit() == (hard - 1, hard)
        assert raise_file_limit() == (hard, hard)
        assert file_limit() == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_a_lack_of_files_is() -> None:
    """This process's or the system's, also where it is the cause of another error; nothing else."""
    outer = ConnectionError("no connection")
    outer.__cause__ = OSError(errno.EMFILE, "too many open files")
    assert lacks_files(outer)
    assert lacks_files(OSError(errno.ENFILE, "of the system"))
    assert not lacks_files(ConnectionRefusedError(errno.ECONNREFUSED, "refused"))
    assert not lacks_files(None)


def test_a_lack_is_counted_each_second_and_said_now_and_then(tmp_path: Path) -> None:
    """Every look that finds no descriptor counts; the log has one line in ten seconds, and none without a reason."""
    board = Scoreboard(tmp_path, "p")
    watch = FileWatch(board, 100)
    with capture_logs() as lines:
        watch.look(0.0)
        assert not lines
        board.add("fault.too_many_connections", 5)
        with no_more_files():
            watch.look(1.0)
            watch.look(2.0)
        board.add("fault.too_many_connections", 2)
        for second in range(3, 30):
            watch.look(float(second))
    said = [(line["refused"], line["seconds_without"], line["limit"]) for line in lines]
    assert said == [(5, 1, 100), (2, 1, 100)]
    assert board.counters()["out_of_files"] == 2
    board.close()


@pytest.mark.parametrize("transport", ["http1", "aiohttp", "httpx"])
async def test_no_file_for_a_connection_to_the_upstream(stand: Start, transport: str) -> None:
    """It is our lack and not the upstream's refusal; with files again the same proxy serves on."""

    async def upstream(reader: object, writer: object) -> None:
        await read_message(reader)  # type: ignore[arg-type]
        writer.write(answer(b"{}"))  # type: ignore[attr-defined]

    async def ask() -> Asked:
        reader, writer = await running.connect()
        try:
            # Served once the server has the connection.
            writer.write(b"GET /-/livez HTTP/1.1\r\nhost: p\r\n\r\n")
            await read_message(reader)
            with no_more_files() if lacking else contextlib.nullcontext():
                writer.write(post(b"{}"))
                return await read_message(reader)
        finally:
            writer.close()

    async with stand(upstream, proxy__transport=transport) as running:
        lacking = True
        got = await ask()
        assert got.line.startswith(b"HTTP/1.1 503 ")
        assert got.values(b"drift-error") == [b"too_many_connections"]
        assert running.counters()["fault.too_many_connections"] == 1
        lacking = False
        assert (await ask()).body == b"{}"
