"""The configuration: one YAML file, loaded once, frozen.

Law of this file: it is the only place that reads the environment, and only for values written `env:NAME`. Every
key is a field below, with its unit in its name or its comment; `config.example.yaml` documents each of them and a
test keeps the two equal. Anything wrong with a file ends in one `ConfigError` whose message names the file, the
key, the value and what would be right.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
import yaml


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line meant for a person."""


class Secret(str):
    """A secret string that masks itself wherever it is shown; `reveal()` gives the value."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def reveal(self) -> str:
        """Return the secret itself, for the one place that needs it."""
        return str.__str__(self)


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file; unknown keys are errors."""


class Timeouts(_Section, frozen=True, kw_only=True):
    """Limits towards the upstream, in seconds."""

    connect_s: float = 10.0
    # Longest silence between two reads from the upstream (a thinking model may be silent for minutes).
    read_s: float = 600.0


class Proxy(_Section, frozen=True, kw_only=True):
    """The process that clients talk to."""

    listen: str = "127.0.0.1:8080"
    upstream: str = "https://api.openai.com/v1"
    workers: int = 1
    # What the proxy adds to responses: `on` (Drift-Status and Drift-Exchange) or `off` (strict transparency).
    headers: Literal["on", "off"] = "on"
    # The client that talks to the upstream.
    transport: Literal["aiohttp", "httpx"] = "aiohttp"
    timeouts: Timeouts = Timeouts()
    # How long running responses may finish after SIGTERM, in seconds.
    drain_s: float = 30.0


class Admin(_Section, frozen=True, kw_only=True):
    """Status, metrics and whatever changes state; loopback unless a token guards it."""

    listen: str = "127.0.0.1:8081"
    token: Secret | None = None


class Mirror(_Section, frozen=True, kw_only=True):
    """Copying exchanges to the bus, off the hot path."""

    enabled: bool = True
    # Share of exchanges to mirror, chosen by a hash of the exchange id, in [0, 1].
    sample: float = 1.0
    # Bytes of exchanges that may wait for the writer; beyond it they are dropped and counted.
    queue_bytes: int = 64 * 1024 * 1024
    # A request or response body beyond this many bytes is not kept; the exchange is counted as dropped.
    max_body_bytes: int = 8 * 1024 * 1024
    # Exchanges are written at the latest after this many seconds.
    flush_s: float = 0.25
    # Ready-made redaction rules to run before anything is written.
    redact: tuple[Literal["email", "phone", "card", "key"], ...] = ("email", "phone", "card", "key")
    # Your own rules: name -> regular expression (Python syntax); a match becomes [name].
    redact_patterns: dict[str, str] = msgspec.field(default_factory=dict)


class Bus(_Section, frozen=True, kw_only=True):
    """Where exchanges wait for the monitor and verdicts for the proxy."""

    kind: Literal["sqlite"] = "sqlite"
    # Path of the file; empty: `bus.sqlite` in the state directory.
    path: str = ""
    # Exchanges are kept at most this long and within this many bytes; unread ones beyond are lost and counted.
    retention_hours: float = 72.0
    retention_bytes: int = 4 * 1024 * 1024 * 1024


class Variant(_Section, frozen=True, kw_only=True):
    """A named upstream and model that can serve a route."""

    name: str = "default"
    # Empty: `proxy.upstream`.
    upstream: str = ""
    # Model name to send instead of the client's; empty: unchanged.
    model: str = ""
    # `openai` forwards bytes; `litellm` translates for providers that do not speak OpenAI.
    provider: Literal["openai", "litellm"] = "openai"
    # Sent instead of the client's own authorization; None passes the client's through.
    api_key: Secret | None = None


class Route(_Section, frozen=True, kw_only=True):
    """What a client addresses: a name matched on the request's `model`."""

    name: str = "default"
    # Shell-style pattern on the request's `model`; the first route that matches serves.
    match: str = "*"
    variant: Variant = Variant()


class Scoring(_Section, frozen=True, kw_only=True):
    """Where embeddings and rewards come from."""

    kind: Literal["triton", "local"] = "triton"
    # gRPC address of a Triton server; empty: the embedded one.
    url: str = ""
    # Model repository of the embedded server and of `kind: local`; empty: the one in the distribution.
    model_repository: str = ""
    # Deadline of one scoring request, in seconds.
    deadline_s: float = 30.0
    # Exchanges in one scoring request.
    batch: int = 256
    # Ports of the embedded server.
    http_port: int = 8000
    grpc_port: int = 8001
    metrics_port: int = 8002


class Monitor(_Section, frozen=True, kw_only=True):
    """The process that judges."""

    listen: str = "127.0.0.1:8082"
    token: Secret | None = None
    # Seconds between evaluations.
    evaluate_every_s: float = 5.0
    # The verdict is `blind` once the oldest waiting exchange is older than this.
    blind_after_s: float = 300.0
    # Days that minute buckets are kept.
    retention_days: float = 35.0


class BaselineConfig(_Section, frozen=True, kw_only=True):
    """What the traffic is compared with."""

    # Exchanges to learn from when nothing else is given.
    size: int = 10_000
    # A file of exchanges to create it from instead; empty: learn from traffic.
    file: str = ""
    # Clusters of the quantisers of prompts and responses.
    clusters: int = 32
    seed: int = 0


class Thresholds(_Section, frozen=True, kw_only=True):
    """Effect sizes at which a signal with evidence becomes minor or critical.

    The defaults are the field's; see `docs/architecture.md`. JS divergence is base 2 in [0, 1], shares and relative
    reward changes are fractions, `effect` is in standard deviations of the baseline, `points` a share of exchanges.
    """

    js_minor: float = 0.18
    js_critical: float = 0.25
    new_clusters_minor: float = 0.10
    new_clusters_critical: float = 0.30
    reward_minor: float = 0.05
    reward_critical: float = 0.15
    effect_minor: float = 0.2
    points_critical: float = 0.10


class Detection(_Section, frozen=True, kw_only=True):
    """How sure a verdict must be."""

    # False alarms that a route may raise in 30 days when nothing has changed.
    false_alarms_per_month: float = 1.0
    # Hours of traffic in the window whose effect is reported.
    window_hours: float = 1.0
    # Fewest scored exchanges in a window to judge at all; below it the verdict is `blind`.
    min_window: int = 50
    thresholds: Thresholds = Thresholds()


class Config(_Section, frozen=True, kw_only=True):
    """The whole file."""

    state_dir: str = "driftgate-state"
    proxy: Proxy = Proxy()
    admin: Admin = Admin()
    mirror: Mirror = Mirror()
    bus: Bus = Bus()
    routes: tuple[Route, ...] = (Route(),)
    scoring: Scoring = Scoring()
    monitor: Monitor = Monitor()
    baseline: BaselineConfig = BaselineConfig()
    detection: Detection = Detection()
    log: Literal["console", "json"] = "console"

    @property
    def bus_path(self) -> Path:
        """The bus file, in the state directory unless configured."""
        return Path(self.bus.path) if self.bus.path else Path(self.state_dir) / "bus.sqlite"

    @property
    def store_path(self) -> Path:
        """The monitor's own database."""
        return Path(self.state_dir) / "monitor.sqlite"


def load_config(path: str | Path | None, overrides: dict[str, Any] | None = None) -> Config:
    """Load a file (None: defaults alone), lay `overrides` (dotted key -> value) over it, check, freeze.

    Raises ConfigError with a message of one line.
    """
    source = str(path) if path is not None else "command line"
    data = _read_yaml(Path(path)) if path is not None else {}
    for key, value in (overrides or {}).items():
        _set_dotted(data, key, value)
    return _convert(data, source)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a directory, expected a YAML file") from None
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); give an existing file with --config"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    try:
        data = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}" if error.problem_mark else "somewhere"
        raise ConfigError(f"{path}: is not YAML: {error.problem} in {where}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping of keys at the top, got {_shown(data)}")
    return data


def _set_dotted(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        inner = data.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # the file itself is wrong here; its own error is the better message
        data = inner
    data[last] = value


def _convert(data: dict[str, Any], source: str) -> Config:
    try:
        config = msgspec.convert(data, Config, dec_hook=_read_secret, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {_explain(str(error), data)}") from None
    for problem in _impossible(config):
        raise ConfigError(f"{source}: {problem}")
    return config


def _read_secret(expected: type, value: Any) -> Any:
    if expected is not Secret:
        raise NotImplementedError
    if not isinstance(value, str) or not value.startswith("env:"):
        raise ValueError("Expected `env:NAME` (secrets are read from the environment)")
    name = value.removeprefix("env:")
    if name not in os.environ:
        raise ValueError(f"Expected the environment variable {name} to be set")
    return Secret(os.environ[name])


_AT = re.compile(r" - at `\$?\.?(?P<key>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")


def _explain(message: str, data: dict[str, Any]) -> str:
    """Turn msgspec's message into `key: got value, expected ...`."""
    found = _AT.search(message)
    key = found["key"] if found else ""
    what = _AT.sub("", message)
    if unknown := _UNKNOWN.search(what):
        full = f"{key}.{unknown['field']}" if key else unknown["field"]
        known = _fields_at(key)
        close = difflib.get_close_matches(unknown["field"], known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(known)}"
        return f"unknown key `{full}` (value {_shown(_value_at(data, full))}); {hint}"
    value = "a secret" if key.rpartition(".")[2] in {"token", "api_key"} else _shown(_value_at(data, key))
    return f"{key or 'top level'}: got {value}; {what[0].lower()}{what[1:]}"


def _fields_at(key: str) -> list[str]:
    kind: Any = Config
    for part in key.replace("[...]", "").split("."):
        if part:
            kind = _section_of(kind, part)
    return [field.name for field in msgspec.structs.fields(kind)] if kind else []


def _section_of(kind: Any, name: str) -> Any:
    for field in msgspec.structs.fields(kind) if kind else ():
        if field.name == name:
            return next(
                (t for t in (field.type, *getattr(field.type, "__args__", ())) if _is_section(t)), None
            )
    return None


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, _Section)


def _value_at(data: Any, key: str) -> Any:
    for part in re.findall(r"[^.\[\]]+", key):
        if isinstance(data, dict):
            data = data.get(part)
        elif isinstance(data, list):
            data = data[int(part)] if part.isdigit() and int(part) < len(data) else data
    return data


def _shown(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT`. Raises ValueError when it is not that."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"expected HOST:PORT such as 127.0.0.1:8080, got {address!r}")
    return host.strip("[]"), int(port)


def _is_loopback(address: str) -> bool:
    host, _ = split_address(address)
    return host in {"localhost", "::1"} or host.startswith("127.")


def _impossible(config: Config) -> list[str]:
    """List what is well typed but cannot work, most basic first."""
    return [
        *_bad_addresses(config),
        *_bad_upstreams(config),
        *_bad_numbers(config),
        *_bad_routes(config),
        *_bad_patterns(config),
    ]


def _bad_addresses(config: Config) -> list[str]:
    problems = []
    listens = {
        "proxy.listen": config.proxy.listen,
        "admin.listen": config.admin.listen,
        "monitor.listen": config.monitor.listen,
    }
    for key, address in listens.items():
        try:
            split_address(address)
        except ValueError as error:
            return [f"{key}: {error}"]
    for key, address, token in (
        ("admin", config.admin.listen, config.admin.token),
        ("monitor", config.monitor.listen, config.monitor.token),
    ):
        if not _is_loopback(address) and not token:
            problems.append(
                f"{key}.listen: got {address!r} without {key}.token; set a token (env:NAME) or listen on 127.0.0.1"
            )
    taken: dict[str, str] = {}
    for key, address in listens.items():
        if address in taken and not address.endswith(":0"):
            problems.append(f"{key}: {address!r} is already {taken[address]}; give each its own port")
        taken[address] = key
    return problems


def _bad_upstreams(config: Config) -> list[str]:
    urls = {"proxy.upstream": config.proxy.upstream}
    urls |= {
        f"routes[{i}].variant.upstream": route.variant.upstream
        for i, route in enumerate(config.routes)
        if route.variant.upstream
    }
    return [
        f"{key}: got {url!r}; expected a base URL such as https://api.openai.com/v1"
        for key, url in urls.items()
        if not _is_base_url(url)
    ]


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"} and bool(parts.hostname) and not parts.query and not parts.fragment
    )


def _bad_numbers(config: Config) -> list[str]:
    limits: list[tuple[str, float, bool, str]] = [
        ("proxy.workers", config.proxy.workers, config.proxy.workers >= 1, "1 or more"),
        ("mirror.sample", config.mirror.sample, 0 <= config.mirror.sample <= 1, "a share between 0 and 1"),
        ("mirror.queue_bytes", config.mirror.queue_bytes, config.mirror.queue_bytes > 0, "a positive number"),
        ("mirror.flush_s", config.mirror.flush_s, config.mirror.flush_s > 0, "a positive number of seconds"),
        ("bus.retention_hours", config.bus.retention_hours, config.bus.retention_hours > 0, "a positive number"),
        ("bus.retention_bytes", config.bus.retention_bytes, config.bus.retention_bytes >= 1 << 20, "1 MiB or more"),
        ("scoring.batch", config.scoring.batch, 1 <= config.scoring.batch <= 4096, "between 1 and 4096"),
        ("scoring.deadline_s", config.scoring.deadline_s, config.scoring.deadline_s > 0, "a positive number"),
        ("monitor.evaluate_every_s", config.monitor.evaluate_every_s, 0 < config.monitor.evaluate_every_s <= 60, "between 0 and 60 s"),
        ("baseline.size", config.baseline.size, config.baseline.size >= 100, "100 exchanges or more"),
        ("baseline.clusters", config.baseline.clusters, 2 <= config.baseline.clusters <= 256, "between 2 and 256"),
        ("detection.false_alarms_per_month", config.detection.false_alarms_per_month, 0 < config.detection.false_alarms_per_month <= 1000, "between 0 and 1000"),
        ("detection.min_window", config.detection.min_window, config.detection.min_window >= 10, "10 exchanges or more"),
    ]  # fmt: skip
    problems = [f"{key}: got {value!r}; expected {right}" for key, value, fine, right in limits if not fine]
    t = config.detection.thresholds
    for name in ("js", "new_clusters", "reward"):
        minor, critical = getattr(t, f"{name}_minor"), getattr(t, f"{name}_critical")
        if not 0 < minor <= critical:
            problems.append(
                f"detection.thresholds.{name}_minor: got {minor!r}; expected above 0 and at most {name}_critical ({critical!r})"
            )
    return problems


def _bad_routes(config: Config) -> list[str]:
    if not config.routes:
        return ["routes: got an empty list; expected at least one route (leave the key out for a catch-all)"]
    names = [route.name for route in config.routes]
    problems = [
        f"routes[{i}].name: got {name!r}; expected letters, digits, `_`, `-` or `.`"
        for i, name in enumerate(names)
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name)
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += [f"routes: the name {name!r} is given twice; names must differ" for name in twice]
    problems += [
        f"routes[{i}].variant.model: got ''; expected the provider's model name (provider is litellm)"
        for i, route in enumerate(config.routes)
        if route.variant.provider == "litellm" and not route.variant.model
    ]
    return problems


def _bad_patterns(config: Config) -> list[str]:
    problems = []
    for name, pattern in config.mirror.redact_patterns.items():
        try:
            re.compile(pattern)
        except re.error as error:
            problems.append(
                f"mirror.redact_patterns.{name}: got {pattern!r}; not a regular expression: {error}"
            )
    return problems
