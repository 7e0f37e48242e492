"""TLS on both sides: upstreams are verified, certificates are shown, replaced by SIGHUP, and refused with one line."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.proxy.certificates import Authority, Pair, authority
from tests.proxy.conftest import Model
from tests.proxy.processes import RunningProxy
from tests.proxy.test_reload import change

CHAT = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]})
Secure = Callable[..., str]


class QuietModelServer(ThreadingHTTPServer):
    """A server whose refused handshakes are nobody's error."""

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def secure() -> Iterator[Secure]:
    """Return a function that serves the model over TLS, asking for clients' certificates where an authority is given."""
    servers: list[ThreadingHTTPServer] = []

    def start(pair: Pair, clients_of: Authority | None = None) -> str:
        server = QuietModelServer(("127.0.0.1", 0), Model)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*pair)
        if clients_of is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(clients_of.file)
        # The handshake belongs to the connection's thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"https://127.0.0.1:{server.server_address[1]}/v1"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def post(
    proxy: RunningProxy, context: ssl.SSLContext | None = None, body: str = CHAT
) -> tuple[int, str, bytes]:
    """Send a chat request; return status, `Drift-Error` and body."""
    address = urlsplit(proxy.base).netloc
    if context is None:
        connection = http.client.HTTPConnection(address, timeout=10)
    else:
        connection = http.client.HTTPSConnection(address, timeout=10, context=context)
    try:
        connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.getheader("drift-error") or "", answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("transport", ["http1", "aiohttp", "httpx"])
def test_upstreams_are_verified_and_shown_our_certificate(
    tmp_path: Path, secure: Secure, transport: str
) -> None:
    """Unknown authority, wrong name, no client certificate: refused. A reload brings what was missing."""
    ours, theirs = authority(tmp_path), authority(tmp_path, "clients")
    good = secure(ours.issue("good"))
    misnamed = secure(ours.issue("misnamed", "DNS:elsewhere.example"))
    strict = secure(ours.issue("strict"), clients_of=theirs)
    client = theirs.issue("client")
    routes = [
        {"name": name, "match": name, "variant": {"upstream": url}}
        for name, url in (("good", good), ("misnamed", misnamed), ("strict", strict))
    ]
    with RunningProxy(tmp_path, {"proxy": {"transport": transport}, "routes": routes}) as proxy:

        def asked(name: str) -> tuple[int, str]:
            return post(proxy, body=json.dumps({"model": name, "messages": []}))[:2]

        assert [asked(name) for name in ("good", "misnamed", "strict")] == [(502, "upstream_tls")] * 3
        change(proxy, proxy={"tls": {"ca_file": ours.file}})
        proxy.wait_for(lambda: asked("good") == (200, ""))
        assert asked("misnamed") == (502, "upstream_tls")
        # With TLS 1.3 a server refuses a certificate after the handshake, by closing.
        assert asked("strict")[0] == 502, proxy.log_path.read_text()
        change(
            proxy,
            proxy={"tls": {"ca_file": ours.file, "client_cert": client.cert, "client_key": client.key}},
        )
        proxy.wait_for(lambda: asked("strict") == (200, ""))
        assert asked("misnamed") == (502, "upstream_tls")


def peer_of(proxy: RunningProxy, context: ssl.SSLContext) -> int:
    """Return the serial number of the certificate that a new client is shown."""
    host, port = urlsplit(proxy.base).netloc.split(":")
    with (
        socket.create_connection((host, int(port)), 5) as raw,
        context.wrap_socket(raw, server_hostname=host) as tls,
    ):
        found: Any = tls.getpeercert()
        return int(found["serialNumber"], 16)


class Breaking(Model):
    """A model whose streams break off."""

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        self._chunk(b"data: {}\n\n")
        self.close_connection = True


def test_clients_speak_https_and_a_reload_replaces_the_certificate(
    tmp_path: Path, serve: Callable[[type[BaseHTTPRequestHandler]], str]
) -> None:
    """Whole, streamed and broken answers; open connections live on under the old certificate; plain HTTP is refused."""
    ours = authority(tmp_path)
    first, second = ours.issue("first"), ours.issue("second")
    trusting = ssl.create_default_context(cafile=ours.file)
    config = {"proxy": {"upstream": serve(Breaking) + "/v1", "tls": first._asdict()}}
    with RunningProxy(tmp_path, config) as proxy:
        proxy.wait_for(lambda: proxy.status()["workers"]["alive"] == 1)
        assert post(proxy, trusting)[:2] == (200, "")
        with pytest.raises(http.client.IncompleteRead):
            post(proxy, trusting, json.dumps({"model": "m", "messages": [], "stream": True}))
        with pytest.raises(ssl.SSLCertVerificationError):
            post(proxy, ssl.create_default_context())
        with pytest.raises((OSError, http.client.HTTPException)):
            post(proxy)
        kept = http.client.HTTPSConnection(urlsplit(proxy.base).netloc, timeout=10, context=trusting)
        kept.connect()
        before, socket_before = peer_of(proxy, trusting), kept.sock
        change(proxy, proxy={"tls": second._asdict()})
        proxy.wait_for(lambda: peer_of(proxy, trusting) != before)
        kept.request("GET", "/v1/models")
        assert kept.getresponse().read()
        assert kept.sock is socket_before
        kept.close()
        # To plain HTTP only a restart leads.
        change(proxy, proxy={"tls": {}})
        (line,) = proxy.wait_for(lambda: proxy.logged("configuration needs a restart"))
        assert line["of_proxy"] == ["proxy.tls.cert", "proxy.tls.key"]
        assert post(proxy, trusting)[0] == 200
        assert proxy.stop() == 0


def test_certificates_that_cannot_be_used_are_one_line(tmp_path: Path) -> None:
    """At a start with status 2, without asking for a passphrase; on a reload the old ones stay."""
    ours = authority(tmp_path)
    pair, other = ours.issue("own"), ours.issue("other")
    locked = tmp_path / "locked.key"
    lock = [
        "openssl",
        "pkcs8",
        "-topk8",
        "-in",
        pair.key,
        "-out",
        str(locked),
        "-passout",
        "pass:open-sesame",
    ]
    subprocess.run(lock, check=True, capture_output=True)
    wrong = [
        ({"ca_file": str(tmp_path / "none.pem")}, "proxy.tls.ca_file: got"),
        ({"ca_file": pair.key}, "proxy.tls.ca_file: got"),
        ({"cert": pair.cert, "key": other.key}, "proxy.tls.cert: got"),
        ({"client_cert": pair.cert, "client_key": str(locked)}, "without a passphrase"),
        ({"key": pair.key}, "proxy.tls.key: got"),
    ]
    path = tmp_path / "wrong.yaml"
    for tls, why in wrong:
        path.write_text(json.dumps({"state_dir": str(tmp_path / "s"), "proxy": {"tls": tls}}))
        command = [sys.executable, "-m", "proxy", "proxy", "--config", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 2, tls
        assert why in done.stderr
        assert len(done.stderr.splitlines()) == 1
    with RunningProxy(tmp_path, {"proxy": {"tls": pair._asdict()}}) as proxy:
        Path(pair.cert).write_text("no certificate")
        proxy.process.send_signal(signal.SIGHUP)
        (line,) = proxy.wait_for(lambda: proxy.logged("configuration refused, the old one stays"))
        assert "proxy.tls.cert" in line["reason"]
        assert peer_of(proxy, ssl.create_default_context(cafile=ours.file))
