"""A scripted model, the real proxy before it, and the clients' programs, each started once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.clients.programs import Client, Program
from tests.clients.upstream import Upstream
from tests.proxy.processes import RunningProxy

Bases = dict[str, str]


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    """Serve the scripted model."""
    served = Upstream()
    served.start()
    yield served
    served.stop()


@pytest.fixture(scope="session")
def proxy(shared_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """Run the proxy, mirror on, before the model."""
    config = {"proxy": {"upstream": f"http://127.0.0.1:{shared_upstream.port}/v1"}}
    with RunningProxy(tmp_path_factory.mktemp("clients"), config) as running:
        yield running


@pytest.fixture(scope="session")
def bases(shared_upstream: Upstream, proxy: RunningProxy) -> Bases:
    """Return the base URL of each way to the model."""
    return {"direct": f"http://127.0.0.1:{shared_upstream.port}/v1", "proxy": f"{proxy.base}/v1"}


@pytest.fixture
def upstream(shared_upstream: Upstream) -> Upstream:
    """Return the model, its memory empty."""
    shared_upstream.forget()
    return shared_upstream


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Client], Program]]:
    """Return a function that starts a client's program once; a client that is not installed skips the test."""
    started: dict[str, Program] = {}

    def get(client: Client) -> Program:
        if reason := client.missing():
            pytest.skip(reason)
        if client.name not in started:
            started[client.name] = Program(client, tmp_path_factory.mktemp("program") / "stderr")
        return started[client.name]

    yield get
    for running in started.values():
        running.close()
