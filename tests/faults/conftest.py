"""Proxies whose counts are checked to the exchange when a fault is over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conformance.conftest import configuration
from tests.conformance.site import Asking, Site
from tests.conformance.upstream import Upstream
from tests.conformance.wire import ANSWER, response
from tests.faults.counting import Counted
from tests.proxy.processes import RunningProxy

JSON = b"content-type: application/json"
Starting = Callable[..., Site]


@contextmanager
def running(folder: Path, upstream: Upstream, files: str = "", **sections: Any) -> Iterator[Site]:
    """Run a proxy of one's own; sections of its configuration may be changed key by key, and `ulimit` of its files."""
    document = configuration("on", upstream.port)
    for name, keys in sections.items():
        document[name] = {**document.get(name, {}), **keys} if isinstance(keys, dict) else keys
    with RunningProxy(folder, document, files=files) as process:
        parts = urlsplit(process.base)
        address = (parts.hostname or "", parts.port or 0)
        site = Site("on", address, b"/v1", upstream, asking=Asking(), process=process)
        yield site
        site.hang_up()
        site.close()


@pytest.fixture(scope="session")
def upstream() -> Iterator[Upstream]:
    """Listen as the upstream that all proxies of this folder share."""
    served = Upstream()
    yield served
    served.shut()


@pytest.fixture(scope="session")
def shared(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the proxy that faults of upstreams and of clients share."""
    with running(tmp_path_factory.mktemp("shared"), upstream) as site:
        yield site


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    """Give that proxy for a test; the upstream answers well until it is told otherwise."""
    shared.upstream.start(response(ANSWER, JSON))
    yield shared
    shared.hang_up()
    shared.upstream.finish()


@pytest.fixture
def counted(site: Site) -> Iterator[Counted]:
    """Give the counts from here on; after the test they must match."""
    counted = Counted(site)
    yield counted
    counted.check()


@pytest.fixture
def start(upstream: Upstream, tmp_path: Path) -> Iterator[Starting]:
    """Start proxies of one's own, in `tmp_path`; they end with the test."""
    with ExitStack() as stack:

        def starting(folder: Path = tmp_path, **sections: Any) -> Site:
            upstream.start(response(ANSWER, JSON))
            site: AbstractContextManager[Site] = running(folder, upstream, **sections)
            return stack.enter_context(site)

        yield starting
    upstream.finish()
