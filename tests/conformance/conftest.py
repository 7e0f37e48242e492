"""Options, the proxies under test and the table of results.

Law: one proxy process for each configuration serves all cases. With `--base-url` the one under test runs already,
and cases about our mirror, our headers or our processes are skipped there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from monitor.bus.sqlite import SqliteBus
from tests.conformance import table
from tests.conformance.site import READ_S, Asking, Site
from tests.conformance.upstream import Upstream
from tests.conformance.wire import response
from tests.proxy.processes import RunningProxy

MODES = ("off", "on", "hung")
OPTIONS = {
    "--base-url": "another proxy's base URL, such as http://127.0.0.1:9000/v1",
    "--upstream-port": "port of 127.0.0.1 where that proxy looks for its upstream",
    "--model": "model name to ask for",
    "--conformance-table": "file for a Markdown table of results; columns of earlier runs stay in it",
    "--conformance-name": "that proxy's column in the table",
    "--transport": "our proxy's client for upstreams (proxy.transport); the configured default otherwise",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options; they exist only where this folder is named on the command line."""
    group = parser.getgroup("conformance")
    for name, text in OPTIONS.items():
        group.addoption(name, default=None, help=text)
    group.addoption("--request-header", action="append", help="`Name: value` that every request carries")


def pytest_configure(config: pytest.Config) -> None:
    """Describe our marks."""
    config.addinivalue_line("markers", "ours(reason): about our own proxy only")
    config.addinivalue_line("markers", "modes(*names): configurations in which the case can be seen")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every case in each configuration."""
    if "site" in metafunc.fixturenames:
        modes = ("foreign",) if metafunc.config.getoption("base_url", None) else MODES
        metafunc.parametrize("site", modes, indirect=True, scope="session")


@pytest.fixture(scope="session")
def upstream(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Listen as the upstream that all proxies under test share."""
    served = Upstream(int(request.config.getoption("upstream_port", None) or 0))
    yield served
    served.shut()


@pytest.fixture(scope="session")
def site(
    request: pytest.FixtureRequest, upstream: Upstream, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Run the proxy under test, in the configuration of this round."""
    mode = request.param
    if mode == "foreign":
        yield _foreign(request.config, upstream)
        return
    directory = tmp_path_factory.mktemp(mode)
    (directory / "state").mkdir()
    lock = hang(directory / "state" / "bus.sqlite") if mode == "hung" else None
    transport = request.config.getoption("transport", None)
    with RunningProxy(directory, configuration(mode, upstream.port, transport)) as process:
        parts = urlsplit(process.base)
        address = (parts.hostname or "", parts.port or 0)
        running = Site(mode, address, b"/v1", upstream, asking=Asking(), process=process, transport=transport)
        yield running
        running.close()
        if lock is not None:
            lock.close()


def _foreign(config: pytest.Config, upstream: Upstream) -> Site:
    parts = urlsplit(config.getoption("base_url"))
    headers = tuple(text.encode() for text in config.getoption("request_header") or ())
    asking = Asking(parts.netloc.encode(), headers, (config.getoption("model") or "m").encode())
    address = (parts.hostname or "", parts.port or 80)
    return Site("foreign", address, parts.path.rstrip("/").encode(), upstream, asking=asking)


def configuration(mode: str, upstream_port: int, transport: str | None = None) -> dict:
    """Return our proxy's configuration for a mode."""
    mirror = {"enabled": mode != "off", "flush_s": 0.05, "max_body_bytes": 1_000_000}
    if mode == "hung":
        mirror["queue_bytes"] = 8_000_000
    proxy = {
        "upstream": f"http://127.0.0.1:{upstream_port}/v1",
        "timeouts": {"read_s": READ_S},
        "drain_s": 3.0,
    }
    if transport:
        proxy["transport"] = transport
    return {"mirror": mirror, "proxy": proxy}


def hang(path: Path) -> sqlite3.Connection:
    """Make a bus and lock it so that nobody else can read or write; closing the connection frees it."""
    SqliteBus(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    return connection


@pytest.fixture(autouse=True)
def play(request: pytest.FixtureRequest) -> Iterator[None]:
    """Skip where the case cannot be seen; begin and end the upstream's play."""
    if "site" not in request.fixturenames:
        yield
        return
    running = request.getfixturevalue("site")
    ours, modes = request.node.get_closest_marker("ours"), request.node.get_closest_marker("modes")
    if ours and not running.ours:
        pytest.skip(f"about our own proxy: {ours.args[0]}")
    if modes and running.ours and running.mode not in modes.args:
        pytest.skip(f"to be seen with the mirror {' or '.join(modes.args)} only")
    running.upstream.start(response(b"{}"))
    yield
    running.hang_up()
    running.upstream.finish()


class Results:
    """Collects results and writes the table at the end."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._table: table.Table = {}
        self._columns: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the result of a test, or of its set-up where that failed or skipped it."""
        found = table.case_of(report.nodeid)
        if found is None or (report.when != "call" and report.passed):
            return
        case, mode = found
        column = self._name if mode == "foreign" else f"mirror {mode}"
        if column not in self._columns:
            self._columns.append(column)
        result = {"passed": "pass", "failed": "fail", "skipped": "skip"}[report.outcome]
        table.add(self._table, case, column, "xfail" if hasattr(report, "wasxfail") else result)

    def pytest_terminal_summary(self) -> None:
        """Write the table, beside the columns of earlier runs."""
        before: table.Table = {}
        columns: list[str] = []
        with contextlib.suppress(FileNotFoundError):
            before, columns = table.read(self._path.read_text())
        for case, row in self._table.items():
            before[case] = before.get(case, {}) | row
        columns += [column for column in self._columns if column not in columns]
        self._path.write_text(table.write(before, columns))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Collect for a table where one is wanted."""
    path = session.config.getoption("conformance_table", None)
    if path:
        name = session.config.getoption("conformance_name") or "proxy"
        session.config.pluginmanager.register(Results(Path(path), name))
