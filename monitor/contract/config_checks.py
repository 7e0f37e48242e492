"""What is well typed in a configuration but cannot work.

Law of this file: pure; each check returns complaints `key: got value; expected …`, one a problem, most basic first.
Limits of single numbers are one table; only what relates several keys is code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import reduce
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from monitor.contract.config_errors import shown

if TYPE_CHECKING:
    from monitor.contract.config import Config


class _Limit(NamedTuple):
    """Both ends are allowed values, but a `low` of `above 0` is not."""

    key: str
    low: float
    high: float
    right: str


_MORE = math.inf
# The smallest positive double: `above 0`.
_ABOVE_0 = math.ulp(0.0)
_POSITIVE_S = "a positive number of seconds"

LIMITS = (
    _Limit("proxy.workers", 1, 256, "between 1 and 256 processes"),
    _Limit("proxy.timeouts.connect_s", _ABOVE_0, _MORE, _POSITIVE_S),
    _Limit("proxy.timeouts.read_s", _ABOVE_0, _MORE, _POSITIVE_S),
    _Limit("proxy.limits.body_bytes", 1, _MORE, "a positive number of bytes"),
    _Limit("proxy.limits.head_bytes", 1024, 1 << 20, "between 1024 and 1048576 bytes (1 MiB)"),
    _Limit("proxy.limits.header_count", 1, 10_000, "between 1 and 10000 headers"),
    _Limit("proxy.limits.target_bytes", 64, 1 << 20, "between 64 and 1048576 bytes (1 MiB)"),
    _Limit("proxy.limits.head_s", _ABOVE_0, _MORE, _POSITIVE_S),
    _Limit("proxy.lame_duck_s", 0, _MORE, "0 seconds or more"),
    _Limit("proxy.drain_s", 0, _MORE, "0 seconds or more"),
    _Limit("proxy.traces.sample", 0, 1, "a share between 0 and 1"),
    _Limit("proxy.traces.queue", 1, 1 << 20, "between 1 and 1048576 spans"),
    _Limit("mirror.sample", 0, 1, "a share between 0 and 1"),
    _Limit("mirror.queue_bytes", 1, _MORE, "a positive number of bytes"),
    _Limit("mirror.max_body_bytes", 1, _MORE, "a positive number of bytes"),
    _Limit("mirror.flush_s", _ABOVE_0, 60, "above 0 and at most 60 seconds"),
    _Limit("bus.retention_hours", _ABOVE_0, _MORE, "a positive number of hours"),
    _Limit("bus.retention_bytes", 1 << 20, _MORE, "1048576 bytes (1 MiB) or more"),
    _Limit("scoring.batch", 1, 4096, "between 1 and 4096 exchanges"),
    _Limit("scoring.recheck_every_s", 1, 7 * 86400, "between 1 second and 7 days"),
    _Limit("scoring.deadline_s", _ABOVE_0, _MORE, _POSITIVE_S),
    _Limit("scoring.http_port", 1, 65535, "a port between 1 and 65535"),
    _Limit("scoring.grpc_port", 1, 65535, "a port between 1 and 65535"),
    _Limit("scoring.metrics_port", 1, 65535, "a port between 1 and 65535"),
    _Limit("monitor.evaluate_every_s", _ABOVE_0, 60, "above 0 and at most 60 seconds"),
    _Limit("monitor.blind_after_s", _ABOVE_0, _MORE, _POSITIVE_S),
    _Limit("monitor.retention_days", _ABOVE_0, _MORE, "a positive number of days"),
    _Limit("baseline.size", 100, _MORE, "100 exchanges or more"),
    _Limit("baseline.span_hours", 0, 24 * 366, "null, or between 0 and 8784 hours"),
    _Limit("baseline.clusters", 2, 256, "between 2 and 256 clusters"),
    _Limit("baseline.seed", 0, 2**32 - 1, "between 0 and 4294967295"),
    _Limit("review.per_hour", 0, 1000, "between 0 and 1000 exchanges an hour"),
    _Limit("review.retention_days", _ABOVE_0, _MORE, "a positive number of days"),
    _Limit("detection.false_alarms_per_month", _ABOVE_0, 1000, "above 0 and at most 1000"),
    _Limit("detection.label_false_alarms_per_month", _ABOVE_0, 1000, "above 0 and at most 1000"),
    _Limit("detection.window_hours", _ABOVE_0, 24 * 31, "above 0 and at most 744 hours"),
    _Limit("detection.min_window", 10, _MORE, "10 exchanges or more"),
    _Limit("detection.reward_error", 0, _MORE, "0 or more, in reward units"),
    _Limit("canaries.per_hour", 0, 3600, "between 0 and 3600 requests an hour"),
    _Limit("canaries.rounds", 2, 100, "between 2 and 100 answers"),
    _Limit("canaries.max_per_day", 1, _MORE, "1 request or more"),
    _Limit("canaries.max_tokens", 0, _MORE, "0 or more tokens"),
    _Limit("canaries.temperature", 0, 2, "between 0 and 2"),
    _Limit("canaries.timeout_s", _ABOVE_0, _MORE, _POSITIVE_S),
    _Limit("detection.thresholds.effect_minor", _ABOVE_0, _MORE, "above 0 standard deviations"),
    _Limit("detection.thresholds.points_critical", _ABOVE_0, 1, "a share above 0 and at most 1"),
)


def complaints(config: Config) -> Iterator[str]:
    """Say what cannot work, most basic first."""
    yield from _numbers(config)
    yield from _addresses(config)
    yield from _upstreams(config)
    yield from _tls(config)
    yield from _time_zone(config)
    yield from _scoring(config)
    yield from _thresholds(config)
    yield from _routes(config)
    yield from _patterns(config)
    yield from _canaries(config)


def _numbers(config: Config) -> Iterator[str]:
    for limit in LIMITS:
        value = reduce(getattr, limit.key.split("."), config)
        if value is None:
            continue
        assert isinstance(value, (int, float))  # noqa: S101 a wrong table is a programming error
        if not limit.low <= value <= limit.high or math.isinf(value):
            yield f"{limit.key}: got {value!r}; expected {limit.right}"


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT`. Raises ValueError when it is not that."""
    host, colon, port = address.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    wrong_host = not bare or "/" in bare or any(c.isspace() for c in bare) or (":" in bare and bare == host)
    if not colon or wrong_host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"got {address!r}; expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080")
    return bare, int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    host, _ = split_address(address)
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None


def _addresses(config: Config) -> Iterator[str]:
    listens = {
        "proxy.listen": config.proxy.listen,
        "admin.listen": config.admin.listen,
        "monitor.listen": config.monitor.listen,
    }
    for key, address in listens.items():
        try:
            split_address(address)
        except ValueError as error:
            yield f"{key}: {error}"
            return
    guarded = {"admin": (config.admin.listen, config.admin.token)}
    guarded["monitor"] = (config.monitor.listen, config.monitor.token)
    for key, (address, token) in guarded.items():
        if not is_loopback(address) and not token:
            yield (
                f"{key}.listen: got {address!r} without {key}.token; "
                "expected a token (env:NAME) beside it, or an address on 127.0.0.1"
            )
    taken: dict[int, str] = {}
    for key, address in listens.items():
        _, port = split_address(address)
        if port and port in taken:
            yield f"{key}: got {address!r}; port {port} is {taken[port]}'s already, expected another one"
        taken[port] = key


def _upstreams(config: Config) -> Iterator[str]:
    urls = {"proxy.upstream": config.proxy.upstream}
    for i, route in enumerate(config.routes):
        if route.variant.upstream:
            urls[f"routes[{i}].variant.upstream"] = route.variant.upstream
    for key, url in urls.items():
        if wrong := _base_url_fault(url, "`variant.api_key`"):
            yield f"{key}: got {wrong}; expected a base URL such as https://api.openai.com/v1"
    traces = config.proxy.traces.endpoint
    if traces and (wrong := _base_url_fault(traces, "`proxy.traces.authorization`")):
        yield f"proxy.traces.endpoint: got {wrong}; expected a URL such as http://127.0.0.1:4318/v1/traces"


def _base_url_fault(url: str, secret_key: str) -> str:
    """Say what is not a plain URL, without repeating a password (which belongs elsewhere); empty when all is well."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return shown(url)
    if parts.username or parts.password:
        return f"a URL with a user or password in it (give it as {secret_key})"
    plain = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
    return "" if plain and not any(c.isspace() or not c.isprintable() for c in url) else shown(url)


def _tls(config: Config) -> Iterator[str]:
    tls = config.proxy.tls
    for name, key, cert in (("client_", tls.client_key, tls.client_cert), ("", tls.key, tls.cert)):
        if key and not cert:
            yield f"proxy.tls.{name}key: got {key!r} without {name}cert; expected the certificate beside its key"


def _time_zone(config: Config) -> Iterator[str]:
    name = config.baseline.time_zone
    try:
        known = name == "UTC" or bool(ZoneInfo(name))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        known = False
    if not known:
        yield f"baseline.time_zone: got {name!r}; expected a time zone such as Europe/Berlin, or UTC"


def _scoring(config: Config) -> Iterator[str]:
    scoring = config.scoring
    if scoring.url:
        try:
            split_address(scoring.url)
        except ValueError:
            yield f"scoring.url: got {scoring.url!r}; expected the gRPC address as HOST:PORT such as triton:8001"
        if scoring.kind == "local":
            yield f"scoring.url: got {scoring.url!r} with scoring.kind local; expected one of the two"
    if scoring.kind == "local" or scoring.url:
        return
    ports = {
        "http_port": scoring.http_port,
        "grpc_port": scoring.grpc_port,
        "metrics_port": scoring.metrics_port,
    }
    if len(set(ports.values())) < len(ports):
        given = ", ".join(f"{key} {port}" for key, port in ports.items())
        yield f"scoring.http_port: got {given}; expected three different ports"


def _thresholds(config: Config) -> Iterator[str]:
    thresholds = config.detection.thresholds
    for name in ("js", "new_clusters", "reward"):
        minor, critical = getattr(thresholds, f"{name}_minor"), getattr(thresholds, f"{name}_critical")
        if not 0 < minor <= critical <= 1:
            yield (
                f"detection.thresholds.{name}_minor: got {minor!r} with {name}_critical {critical!r}; "
                "expected 0 < minor <= critical <= 1"
            )


def _routes(config: Config) -> Iterator[str]:
    if not config.routes:
        yield "routes: got an empty list; expected at least one route (leave the key out for a catch-all)"
    names = [route.name for route in config.routes]
    for i, (name, route) in enumerate(zip(names, config.routes, strict=True)):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
            yield f"routes[{i}].name: got {name!r}; expected 1 to 64 letters, digits, `_`, `-` or `.`"
        if name in names[:i]:
            yield f"routes[{i}].name: got {name!r}, the name of routes[{names.index(name)}]; expected another name"
        if not route.match:
            yield f"routes[{i}].match: got ''; expected a pattern such as support-* (`*` matches everything)"
        if route.variant.provider == "litellm" and not route.variant.model:
            yield f"routes[{i}].variant.model: got ''; expected the provider's model name (provider is litellm)"


def _patterns(config: Config) -> Iterator[str]:
    for name, pattern in config.mirror.redact_patterns.items():
        key = f"mirror.redact_patterns.{name}"
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            yield f"{key}: got {pattern!r}; expected a regular expression in Python's syntax ({error})"
            continue
        if compiled.match(""):
            yield f"{key}: got {pattern!r}; expected a pattern that does not match empty text"


def _canaries(config: Config) -> Iterator[str]:
    asked = config.canaries
    if asked.prompts and asked.file:
        yield f"canaries.file: got {asked.file!r} beside canaries.prompts; expected one of them"
    if not asked.per_hour:
        return
    if not asked.prompts and not asked.file:
        yield "canaries.prompts: got none; expected prompts, or canaries.file (canaries.per_hour is above 0)"
    if not asked.models:
        yield "canaries.models: got none; expected the names of models to ask (canaries.per_hour is above 0)"
    if asked.to and urlsplit(asked.to).scheme not in {"http", "https"}:
        yield f"canaries.to: got {shown(asked.to)}; expected a base URL such as http://127.0.0.1:8080/v1"
    if config.proxy.tls.cert and not asked.to:
        yield "canaries.to: got ''; expected the proxy's https URL (proxy.tls.cert is set)"
