"""The configuration: one YAML file, loaded once, frozen.

Law of this file: it is the only place that reads the environment, and only for values written `env:NAME`. Every
key is a field below, with its unit in its name or its comment; `config.example.yaml` documents each of them and a
test keeps the two equal. Anything wrong with a file ends in one `ConfigError` whose message names the file, the
key, the value and what would be right.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from monitor.contract.config_checks import complaints, split_address
from monitor.contract.config_errors import ConfigError, explain
from monitor.contract.config_yaml import read_yaml

__all__ = ["Config", "ConfigError", "Secret", "load_config", "split_address"]


class Secret:
    """A secret that masks itself wherever it is shown; `reveal()` gives the value.

    No subclass of `str`: encoders would then write the value itself.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "'***'"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def reveal(self) -> str:
        """Return the secret itself, for the one place that needs it."""
        return self._value


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of the file; unknown keys are errors."""


class Timeouts(_Section, frozen=True, kw_only=True):
    """Limits towards the upstream, in seconds."""

    connect_s: float = 10.0
    # Longest silence between two reads from the upstream (a thinking model may be silent for minutes).
    read_s: float = 600.0


class Tls(_Section, frozen=True, kw_only=True):
    """Files in PEM; empty: the system's authorities towards upstreams, no client certificate, plain HTTP for clients."""

    # Authorities that an upstream's certificate may come from, besides the system's.
    ca_file: str = ""
    # Shown to upstreams that ask for it, and its key where that is another file.
    client_cert: str = ""
    client_key: str = ""
    # Shown to clients, who then speak HTTPS, and its key where that is another file.
    cert: str = ""
    key: str = ""


class Limits(_Section, frozen=True, kw_only=True):
    """What a request may measure; beyond it clients are told 408, 413, 414 or 431."""

    # Bytes of the body, as sent. Bodies stream through, so this bounds time and disk behind us, not our memory.
    body_bytes: int = 1024 * 1024 * 1024
    # Bytes of the request line and all headers.
    head_bytes: int = 64 * 1024
    header_count: int = 200
    # Bytes of path and query.
    target_bytes: int = 16 * 1024
    # Seconds that the request line and all headers may take: from connecting on, or from a later head's first byte.
    head_s: float = 60.0


class Traces(_Section, frozen=True, kw_only=True):
    """OpenTelemetry spans of exchanges, sent to an OTLP receiver over HTTP (needs `driftgate[otel]`)."""

    # URL that takes traces, such as http://127.0.0.1:4318/v1/traces; empty: none are made.
    endpoint: str = ""
    # Sent as `Authorization`, whole (such as `Bearer …`).
    authorization: Secret | None = None
    # Share of the exchanges that begin a trace of their own, in [0, 1]; what a caller has decided stands.
    sample: float = 1.0
    # Spans that may wait to be sent, of each worker; beyond it they are dropped and counted.
    queue: int = 2048


class Proxy(_Section, frozen=True, kw_only=True):
    """The process that clients talk to."""

    listen: str = "127.0.0.1:8080"
    upstream: str = "https://api.openai.com/v1"
    workers: int = 1
    # What the proxy adds to responses: `on` (Drift-Status and Drift-Exchange) or `off` (strict transparency).
    headers: Literal["on", "off"] = "on"
    # The client that talks to the upstream; `http1` is ours and the fastest.
    transport: Literal["http1", "aiohttp", "httpx"] = "http1"
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    tls: Tls = Tls()
    # Whether responses say in `Server-Timing` how long proxy and upstream took; never with `headers: off`.
    server_timing: bool = False
    traces: Traces = Traces()
    # How long new connections are still served after SIGTERM, while readiness already says no, in seconds.
    lame_duck_s: float = 0.0
    # How long running responses may finish after that, in seconds.
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
    # Seconds between looks at whether the scorer is still the one that the baselines were made with.
    recheck_every_s: float = 3600.0
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


# Exchanges that a baseline is learnt from.
DEFAULT_SIZE = 10_000


class BaselineConfig(_Section, frozen=True, kw_only=True):
    """What the traffic is compared with."""

    # Exchanges to learn from when nothing else is given.
    size: int = DEFAULT_SIZE
    # Hours of traffic that learning from traffic lasts at least; None: see `learning_hours`.
    span_hours: float | None = None
    # A file of exchanges to create it from instead; empty: learn from traffic.
    file: str = ""
    # Whose clock hours of the day and week are told by: a name of the IANA time zone database.
    time_zone: str = "UTC"
    # Clusters of the quantisers of prompts and responses.
    clusters: int = 32
    seed: int = 0

    @property
    def learning_hours(self) -> float:
        """Hours that learning lasts at least: a day, but none where a smaller size asks for a verdict soon."""
        if self.span_hours is not None:
            return self.span_hours
        return 24.0 if self.size >= DEFAULT_SIZE else 0.0


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
    # The same for the labels that people give, which have a verdict of their own.
    label_false_alarms_per_month: float = 0.05
    # Hours of traffic in the window whose effect is reported; it reaches further back where few exchanges come.
    window_hours: float = 1.0
    # Fewest scored exchanges in a window to judge at all, looked for a week back; with fewer the verdict is `blind`.
    min_window: int = 50
    # By how much the mean rewards of two equally good models differ (sd, reward units): a reward change smaller than
    # 0.75 times this is not called degraded, smaller than 1.25 times not improved. The default is the shipped head's,
    # measured (`model_error` in its weights); 0 for a reward model you trust fully. Rewards given in files have none.
    reward_error: float = 0.06
    thresholds: Thresholds = Thresholds()


class Canaries(_Section, frozen=True, kw_only=True):
    """Fixed prompts that the monitor asks the model through the proxy, to tell its changes from the traffic's."""

    # Requests an hour, over all models; 0: none are asked. They cost what the model's provider asks for them.
    per_hour: float = 0.0
    # Names of models as clients write them; each is matched to a route as a client's request would be.
    models: tuple[str, ...] = ()
    # The prompts, or a file of exchanges (JSON Lines) to take them from.
    prompts: tuple[str, ...] = ()
    file: str = ""
    # Answers to each prompt that make the reference.
    rounds: int = 8
    # Base URL to ask; empty: the proxy (`proxy.listen`).
    to: str = ""
    # Sent as the bearer token; None where the proxy has the key (`variant.api_key`).
    key: Secret | None = None
    # Requests in a day of UTC that are never exceeded.
    max_per_day: int = 2000
    # Tokens that one answer may have (0: the model's own limit), and the temperature.
    max_tokens: int = 512
    temperature: float = 0.7
    # Seconds that one answer may take.
    timeout_s: float = 120.0


class Review(_Section, frozen=True, kw_only=True):
    """What people are asked to judge."""

    # Exchanges of each (route, arm) that are put into the queue in an hour, the unusual ones first; 0: none.
    per_hour: int = 12
    # Days that the queue and its judgements are kept.
    retention_days: float = 30.0


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
    review: Review = Review()
    canaries: Canaries = Canaries()
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
    data = read_yaml(Path(path)) if path is not None else {}
    flags = overrides or {}
    for key, value in flags.items():
        _set_dotted(data, key, value)
    try:
        return _convert(data)
    except ConfigError as error:
        given_as_flag = path is None or any(str(error).startswith(f"{key}:") for key in flags)
        raise ConfigError(f"{'command line' if given_as_flag else path}: {error}") from None


def _set_dotted(data: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for name in parents:
        inner = data.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # the file itself is wrong here; its own error is the better message
        data = inner
    data[last] = value


def _convert(data: dict[str, Any]) -> Config:
    try:
        config = msgspec.convert(data, Config, dec_hook=_read_secret, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigError(explain(str(error), data, Config)) from None
    for problem in complaints(config):
        raise ConfigError(problem)
    return config


def _read_secret(expected: type, value: Any) -> Any:
    if expected is not Secret:
        raise NotImplementedError
    if not isinstance(value, str) or not value.startswith("env:"):
        raise ValueError("Expected `env:NAME` (secrets are read from the environment)")
    name = value.removeprefix("env:")
    if not os.environ.get(name):
        raise ValueError(f"Expected the environment variable {name} to be set and not empty")
    if not os.environ[name].isprintable() or os.environ[name] != os.environ[name].strip():
        # It becomes a header: a line end in it would begin another one.
        raise ValueError(
            f"Expected the environment variable {name} to be one line, without spaces at its ends"
        )
    return Secret(os.environ[name])
