"""What every test may ask for: free ports, and a real Triton server, started once for the whole run."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from monitor.scorer.open import SHIPPED
from monitor.threads import use_one_thread
from monitor.triton.plan import Installation, Ports, TritonFault, find_installation, plan
from monitor.triton.server import TritonServer


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what several folders share."""
    parser.addoption(
        "--long", action="store_true", help="run soak, scale and fault cases at full length (minutes)"
    )


@pytest.fixture
def long(request: pytest.FixtureRequest) -> bool:
    """Tell whether soak, scale and fault cases run at full length."""
    return bool(request.config.getoption("long"))


def pytest_configure() -> None:
    """Run as the monitor does: its matrices are small, and tests share the machine."""
    use_one_thread()


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """Return so many ports of 127.0.0.1 that nothing listens on."""

    def find(count: int) -> list[int]:
        probes = [socket.socket() for _ in range(count)]
        try:
            for probe in probes:
                probe.bind(("127.0.0.1", 0))
            return [int(probe.getsockname()[1]) for probe in probes]
        finally:
            for probe in probes:
                probe.close()

    return find


@pytest.fixture(scope="session")
def triton_installation() -> Installation:
    """Find the embedded Triton; skip where it cannot run."""
    try:
        return find_installation()
    except TritonFault as fault:
        pytest.skip(str(fault))


@pytest.fixture(scope="session")
def triton_url(
    triton_installation: Installation,
    free_ports: Callable[[int], list[int]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """HOST:PORT of the gRPC service of a Triton with the shipped models."""
    ports = Ports(*free_ports(3))
    server = TritonServer(
        plan(triton_installation, SHIPPED, ports, tmp_path_factory.mktemp("triton"), os.environ)
    )
    try:
        server.wait_ready()
        yield f"127.0.0.1:{ports.grpc}"
    finally:
        server.stop()
