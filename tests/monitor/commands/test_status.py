"""`driftgate status` maps verdicts to exit statuses and shows the worst first."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.cli import build_app
from monitor.commands.status import worst
from monitor.contract import Cause, Direction, Progress, Shift, Signal, Tier, Verdict
from monitor.contract.command import run_app


def verdict(tier: Tier, route: str = "r", **more: Any) -> Verdict:
    """Make a verdict."""
    return Verdict(route=route, arm="control", tier=tier, time=1.0, **more)


@contextmanager
def serving(document: object, path: str = "/-/drift", tokens: list[str] | None = None) -> Iterator[str]:
    """Serve one JSON document like a proxy or a monitor would; note the tokens that are shown."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = msgspec.json.encode(document) if self.path == path else b"{"
            if tokens is not None:
                tokens.append(self.headers.get("authorization", ""))
            self.send_response(200 if self.path == path else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("tiers", "tier", "status"),
    [
        ([Tier.OK], Tier.OK, 0),
        ([Tier.IMPROVED, Tier.OK], Tier.IMPROVED, 0),
        ([Tier.LEARNING, Tier.OK], Tier.LEARNING, 0),
        ([Tier.OK, Tier.MINOR, Tier.BLIND], Tier.MINOR, 1),
        ([Tier.MINOR, Tier.CRITICAL, Tier.BLIND], Tier.CRITICAL, 2),
        ([Tier.OK, Tier.BLIND, Tier.LEARNING], Tier.BLIND, 3),
        ([], Tier.BLIND, 3),
    ],
)
def test_the_worst_verdict_decides(
    tiers: list[Tier], tier: Tier, status: int, capsys: pytest.CaptureFixture[str]
):
    """A known problem before not knowing, not knowing before ok; no verdict at all is not knowing."""
    verdicts = [verdict(each, route=f"r{i}") for i, each in enumerate(tiers)]
    assert worst(verdicts) is tier
    with serving({"verdicts": verdicts}) as url:
        assert run_app(build_app(), ["status", "--url", url, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    assert document["tier"] == tier
    assert document["source"] == f"{url}/-/drift"
    assert len(document["verdicts"]) == len(tiers)


def test_a_person_reads_the_worst_first(capsys: pytest.CaptureFixture[str]):
    """Tier and headline, then reasons, progress and counts."""
    verdicts = [
        verdict(Tier.LEARNING, route="new", progress=Progress(have=250, need=1000)),
        verdict(
            Tier.CRITICAL,
            route="support",
            drifted=True,
            direction=Direction.DEGRADED,
            cause=Cause.MODEL,
            headline="support: answers got worse [really]",
            reasons=("reward fell by 31 %",),
            n={"baseline": 1000, "window": 400},
            since=1_700_000_000.0,
            baseline="b7",
        ),
    ]
    with serving({"verdicts": verdicts}) as url:
        assert run_app(build_app(), ["status", "--url", url]) == 2
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("● critical  support/control  degraded, cause: model  since 2023-11-1")
    assert lines[1:4] == [
        "support: answers got worse [really]",
        "· reward fell by 31 %",
        "exchanges: baseline 1000, window 400, baseline id b7",
    ]
    assert "● learning  new/control" in lines
    assert any(line.endswith("250 of 1000 exchanges") for line in lines)


def test_each_process_is_shown_its_own_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The proxy's is not shown to the monitor that is asked in its stead, by whatever address it is named."""
    monkeypatch.setenv("PROXY_SECRET", "of-the-proxy")
    monkeypatch.setenv("MONITOR_SECRET", "of-the-monitor")
    seen: list[str] = []
    with serving({"verdicts": [verdict(Tier.OK)]}, tokens=seen) as url:
        config = tmp_path / "driftgate.yaml"
        config.write_text(
            "admin: {listen: '127.0.0.1:1', token: env:PROXY_SECRET}\n"
            f"monitor: {{listen: '{url.removeprefix('http://')}', token: env:MONITOR_SECRET}}\n"
        )
        for more in ([], ["--url", url], ["--url", f"{url}/-/drift"]):
            assert run_app(build_app(), ["status", "--config", str(config), *more]) == 0
    assert seen == ["Bearer of-the-monitor"] * 3
    capsys.readouterr()


def test_details_show_signals_and_what_moved(capsys: pytest.CaptureFixture[str]):
    """With the null beside each signal."""
    signal = Signal(
        value=0.31,
        tier=Tier.CRITICAL,
        null_mean=0.02,
        null_high=0.05,
        p_value=1e-15,
        effect=0.31,
        interval=(0.2, 0.4),
    )
    shift = Shift(kind="new_cluster", name="17", baseline=0.0, window=0.3, terms=("solar", "roof"))
    found = verdict(
        Tier.CRITICAL, signals={"response_js": signal}, shifts=(shift,), caveats=("few exchanges",)
    )
    with serving({"verdicts": [found]}) as url:
        assert run_app(build_app(), ["status", "--details", "--url", f"{url}/-/drift"]) == 2
    text = capsys.readouterr().out
    for expected in (
        "response_js",
        "0.02 … 0.05 by chance",
        "6.2 times",
        "[0.2, 0.4]",
        "< 1e-12",
        "solar, roof",
        "few exchanges",
    ):
        assert expected in text


@pytest.mark.parametrize("document", [[], {"verdicts": 5}, {"verdicts": [{"tier": "purple"}]}])
def test_something_else_at_that_address_is_not_ok(document: object, capsys: pytest.CaptureFixture[str]):
    """A service that answers, but not with verdicts."""
    with serving(document) as url:
        assert run_app(build_app(), ["status", "--url", url]) == 3
    assert "answers, but not with verdicts" in capsys.readouterr().err


def test_nobody_there_is_status_3(capsys: pytest.CaptureFixture[str]):
    """An error page, or no server at all."""
    with serving({}, path="/elsewhere") as url:
        assert run_app(build_app(), ["status", "--url", url]) == 3
    assert run_app(build_app(), ["status", "--url", url]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert "does not answer (Not Found)" in lines[0]
    assert "does not answer" in lines[1]
    assert len(lines) == 2


def test_the_configured_token_is_sent(tmp_path, monkeypatch):
    """An admin listener that asks for its token gets it."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["authorization"])
            body = msgspec.json.encode({"verdicts": [verdict(Tier.OK)]})
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("ADMIN_TOKEN", "sesame")
    file = tmp_path / "driftgate.yaml"
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        file.write_text(f"admin: {{listen: '127.0.0.1:{server.server_port}', token: env:ADMIN_TOKEN}}")
        assert run_app(build_app(), ["status", "--config", str(file), "--json"]) == 0
        thread.join()
    assert asked == ["Bearer sesame"]
