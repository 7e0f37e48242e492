"""Every kind of bad configuration ends in one line that names the key, the value and what would be right."""

from __future__ import annotations

import functools
import json
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from monitor.contract.config import Config, ConfigError, Secret, load_config, split_address
from monitor.contract.config_checks import LIMITS
from monitor.contract.config_errors import type_at


def load(tmp_path: Path, text: str) -> Config:
    """Load a file with this text."""
    file = tmp_path / "driftgate.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file)


def complaint(tmp_path: Path, text: str) -> str:
    """Return what loading this text complains about, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path / "driftgate.yaml"))
    return message.removeprefix(f"{tmp_path / 'driftgate.yaml'}: ")


BAD = {
    # Wrong words.
    "proxi: {}": "unknown key `proxi` (value {}); did you mean `proxy`?",
    "proxy: {lisen: x}": "unknown key `proxy.lisen` (value 'x'); did you mean `listen`?",
    "routes: [{zzz: 1}]": "unknown key `routes[0].zzz` (value 1); known here: name, match, variant",
    "proxy: {timeouts: {q: 1}}": "unknown key `proxy.timeouts.q` (value 1); known here: connect_s, read_s",
    "admin: {tokn: sk-1}": "unknown key `admin.tokn` (value a secret); did you mean `token`?",
    # Wrong types.
    "proxy: {workers: x}": "proxy.workers: got 'x'; expected a whole number",
    "proxy: {workers: true}": "proxy.workers: got true; expected a whole number",
    "proxy: {workers: 1.5}": "proxy.workers: got 1.5; expected a whole number",
    "mirror: {sample: lots}": "mirror.sample: got 'lots'; expected a number",
    "mirror: {enabled: yes}": "mirror.enabled: got 'yes'; expected true or false",
    "state_dir: 5": "state_dir: got 5; expected text (put it in quotes)",
    "state_dir: null": "state_dir: got null; expected text (put it in quotes)",
    "mirror: {redact: email}": "mirror.redact: got 'email'; expected a list, each item one of: email, phone, card, key",
    "mirror: {redact_patterns: {x: 3}}": "mirror.redact_patterns[...]: got {'x': 3}; expected text (put it in quotes)",
    "routes: {}": "routes: got {}; expected a list, each item a mapping of keys (name, match, variant)",
    "bus:": "bus: got null; expected a mapping of keys (kind, path, retention_hours, retention_bytes); leave it out for the defaults",
    # Wrong choices.
    "proxy: {headers: maybe}": "proxy.headers: got 'maybe'; expected one of: on, off",
    "bus: {kind: kafka}": "bus.kind: got 'kafka'; expected sqlite (the only choice)",
    "mirror: {redact: [emial]}": "mirror.redact[0]: got 'emial'; expected one of: email, phone, card, key",
    "log: 3": "log: got 3; expected one of: console, json",
    # Secrets are read from the environment and never shown.
    "routes: [{variant: {api_key: sk-1}}]": "routes[0].variant.api_key: got a secret; expected `env:NAME` (secrets are read from the environment)",
    "admin: {token: 5}": "admin.token: got a secret; expected `env:NAME` (secrets are read from the environment)",
    "admin: {token: env:NOT_SET}": "admin.token: got a secret; expected the environment variable NOT_SET to be set and not empty",
    # Not what a configuration looks like.
    "- a": "expected a mapping of keys at the top, got ['a']",
    "just words": "expected a mapping of keys at the top, got 'just words'",
    "proxy: [": "is not YAML: expected the node content, but found '<stream end>' in line 1",
    "proxy: &x {workers: *x}": "is not a tree: an alias (`*name`) stands within its own anchor",
    "a: &x [*x]\nb: *y": "is not YAML: found undefined alias 'y' in line 2",
    "a: !!python/object:os.system x": "is not YAML: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system' in line 1",
    "log: json\nlog: console": "the key `log` is given twice, in lines 1 and 2; keep one of them",
    "1: x": "got the key 1 in line 1; expected a word, or put it in quotes",
    "log: \x01": 'is not YAML: unacceptable character #x0001: special characters are not allowed in "<unicode string>", position 5',
    # Addresses.
    "proxy: {listen: '8080'}": "proxy.listen: got '8080'; expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080",
    "proxy: {listen: 'http://127.0.0.1:80'}": "proxy.listen: got 'http://127.0.0.1:80'; expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080",
    "monitor: {listen: '::1:80'}": "monitor.listen: got '::1:80'; expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080",
    "admin: {listen: 'x:70000'}": "admin.listen: got 'x:70000'; expected HOST:PORT such as 127.0.0.1:8080 or [::1]:8080",
    "proxy: {listen: '0.0.0.0:8081'}": "admin.listen: got '127.0.0.1:8081'; port 8081 is proxy.listen's already, expected another one",
    "monitor: {listen: '0.0.0.0:9'}": "monitor.listen: got '0.0.0.0:9' without monitor.token; expected a token (env:NAME) beside it, or an address on 127.0.0.1",
    "proxy: {upstream: example.com}": "proxy.upstream: got 'example.com'; expected a base URL such as https://api.openai.com/v1",
    "proxy: {upstream: 'http://h:x/v1'}": "proxy.upstream: got 'http://h:x/v1'; expected a base URL such as https://api.openai.com/v1",
    "proxy: {upstream: 'http://me:pw@h/v1'}": "proxy.upstream: got a URL with a user or password in it (give it as `variant.api_key`); expected a base URL such as https://api.openai.com/v1",
    "routes: [{variant: {upstream: 'ftp://h'}}]": "routes[0].variant.upstream: got 'ftp://h'; expected a base URL such as https://api.openai.com/v1",
    "scoring: {url: 'http://triton:8001'}": "scoring.url: got 'http://triton:8001'; expected the gRPC address as HOST:PORT such as triton:8001",
    # Impossible together.
    "scoring: {kind: local, url: 'h:1'}": "scoring.url: got 'h:1' with scoring.kind local; expected one of the two",
    "scoring: {http_port: 8001}": "scoring.http_port: got http_port 8001, grpc_port 8001, metrics_port 8002; expected three different ports",
    "detection: {thresholds: {js_minor: 0.5}}": "detection.thresholds.js_minor: got 0.5 with js_critical 0.25; expected 0 < minor <= critical <= 1",
    "routes: []": "routes: got an empty list; expected at least one route (leave the key out for a catch-all)",
    "routes: [{name: a b}]": "routes[0].name: got 'a b'; expected 1 to 64 letters, digits, `_`, `-` or `.`",
    "routes: [{name: a}, {name: a}]": "routes[1].name: got 'a', the name of routes[0]; expected another name",
    "routes: [{match: ''}]": "routes[0].match: got ''; expected a pattern such as support-* (`*` matches everything)",
    "routes: [{variant: {provider: litellm}}]": "routes[0].variant.model: got ''; expected the provider's model name (provider is litellm)",
    "mirror: {redact_patterns: {x: '('}}": "mirror.redact_patterns.x: got '('; expected a regular expression in Python's syntax (missing ), unterminated subpattern at position 0)",
    "mirror: {redact_patterns: {x: 'a*'}}": "mirror.redact_patterns.x: got 'a*'; expected a pattern that does not match empty text",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str):
    """Key, value and what would be right, in YAML's terms."""
    assert complaint(tmp_path, text) == BAD[text]


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.key)
def test_numbers_beyond_their_limits_are_refused(tmp_path: Path, limit):
    """Below the least, above the most, and what is no number at all."""
    most = [] if math.isinf(limit.high) else [str(limit.high + 1)]
    odd = [".nan", ".inf"] if type_at(Config, limit.key) is float else []
    for value in ["-1", *most, *odd]:
        data = functools.reduce(
            lambda inner, name: f"{{{name}: {inner}}}", reversed(limit.key.split(".")), value
        )
        message = complaint(tmp_path, data)
        assert message.startswith(f"{limit.key}: got {value.removeprefix('.')}")
        assert message.endswith(f"; expected {limit.right}")


def test_every_number_has_a_limit():
    """A new number in the configuration needs a line in the table (thresholds in pairs have their own check)."""
    pairs = re.compile(r"detection\.thresholds\.(js|new_clusters|reward)_(minor|critical)")
    numbers = {
        key
        for key in leaves(Config)
        if type_at(Config, key) in {int, float, float | None} and not pairs.fullmatch(key)
    }
    assert numbers == {limit.key for limit in LIMITS}


def leaves(section, at: str = "") -> set[str]:
    """Every dotted key outside lists."""
    return {
        key
        for field in msgspec.structs.fields(section)
        for key in (
            leaves(field.type, f"{at}{field.name}.")
            if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
            else {f"{at}{field.name}"}
        )
    }


def test_yaml_words_mean_what_they_say(tmp_path: Path):
    """`off` is a word, numbers may use exponents and underscores, dates and times stay text."""
    config = load(
        tmp_path,
        "proxy: {headers: off, drain_s: 1e1, timeouts: {read_s: +5}}\n"
        "mirror: {queue_bytes: 0x10000}\nbaseline: {size: 10_000}\n"
        "routes: [{name: 2024-01-01, match: 12:30}]\n",
    )
    assert config.proxy.headers == "off"
    assert (config.proxy.drain_s, config.proxy.timeouts.read_s) == (10.0, 5.0)
    assert (config.mirror.queue_bytes, config.baseline.size) == (65536, 10_000)
    assert (config.routes[0].name, config.routes[0].match) == ("2024-01-01", "12:30")


def test_an_empty_file_is_the_defaults(tmp_path: Path):
    """So is a file of comments alone."""
    assert load(tmp_path, "# nothing yet\n") == Config()


def test_paths_that_are_no_readable_file_are_named(tmp_path: Path):
    """Missing, a directory, not UTF-8."""
    with pytest.raises(
        ConfigError, match=r"cannot be read \(No such file or directory\); give an existing file"
    ):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match=r"is a directory, expected a YAML file"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"log: \xff")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 5\)"):
        load_config(tmp_path / "latin.yaml")


def test_overrides_lie_over_the_file_and_are_blamed_for_themselves(tmp_path: Path):
    """A wrong flag is the command line's fault, a wrong file the file's."""
    file = tmp_path / "f.yaml"
    file.write_text("proxy: {workers: 3, listen: 'h:1'}\n")
    config = load_config(file, {"proxy.workers": 2, "admin.listen": "127.0.0.1:9"})
    assert (config.proxy.workers, config.proxy.listen, config.admin.listen) == (2, "h:1", "127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"^command line: proxy\.workers: got 0"):
        load_config(file, {"proxy.workers": 0})
    file.write_text("proxy: {workers: 0}\n")
    with pytest.raises(ConfigError, match=r"f\.yaml: proxy\.workers: got 0"):
        load_config(file, {"state_dir": "x"})


def test_a_secret_comes_from_the_environment_and_stays_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However it is shown or encoded; only `reveal()` gives it, also in another process."""
    monkeypatch.setenv("THE_KEY", "sk-very-secret")
    config = load(tmp_path, "routes: [{variant: {api_key: env:THE_KEY}}]")
    secret = config.routes[0].variant.api_key
    assert secret is not None
    assert secret.reveal() == "sk-very-secret"
    assert "sk-very" not in f"{config} {config!r} {secret} {secret!r} {secret:>20}"
    with pytest.raises(TypeError):
        json.dumps(secret)
    with pytest.raises(TypeError):
        msgspec.json.encode(secret)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 our own bytes
    assert secret != Secret("other")
    assert len({secret, Secret("sk-very-secret")}) == 1


def test_an_empty_secret_is_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty token would guard nothing."""
    monkeypatch.setenv("EMPTY", "")
    assert "EMPTY to be set and not empty" in complaint(tmp_path, "admin: {token: env:EMPTY}")


def test_a_token_opens_other_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With a token, status may be reached from elsewhere."""
    monkeypatch.setenv("TOKEN", "t")
    config = load(tmp_path, "admin: {listen: '0.0.0.0:8081', token: env:TOKEN}")
    assert config.admin.listen == "0.0.0.0:8081"


def test_port_zero_may_be_asked_for_by_everybody(tmp_path: Path):
    """Free ports do not collide."""
    load(tmp_path, "{proxy: {listen: 'h:0'}, admin: {listen: 'localhost:0'}, monitor: {listen: '[::1]:0'}}")


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("host.name:65535", ("host.name", 65535))],
)
def test_addresses_split(address: str, parts: tuple[str, int]):
    """Host without brackets, port as a number."""
    assert split_address(address) == parts


def test_paths_follow_the_state_directory(tmp_path: Path):
    """The bus file may lie elsewhere, the store not."""
    config = load(tmp_path, "{state_dir: /s, bus: {path: /b/bus.db}}")
    assert (str(config.bus_path), str(config.store_path)) == ("/b/bus.db", "/s/monitor.sqlite")
    assert str(Config().bus_path) == "driftgate-state/bus.sqlite"


@pytest.mark.parametrize("command", ["proxy", "monitor", "triton"])
def test_the_real_command_line_ends_with_status_2_and_one_line(tmp_path: Path, command: str):
    """No traceback, nothing on stdout."""
    file = tmp_path / "bad.yaml"
    file.write_text("proxy: {workers: many}")
    ended = subprocess.run(
        [sys.executable, "-c", "from monitor.cli import main; main()", command, "--config", str(file)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"driftgate: {file}: proxy.workers: got 'many'; expected a whole number\n"


@pytest.mark.parametrize("value", ["sk-x\r\nx-evil: 1", "sk-x\n", " sk-x", "sk\x01x"])
def test_a_secret_cannot_begin_another_header(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Line ends, other control characters and stray spaces are refused, and the value is not repeated."""
    monkeypatch.setenv("DRIFTGATE_TEST_KEY", value)
    with pytest.raises(ConfigError, match="one line, without spaces at its ends") as caught:
        load_config(None, {"routes": [{"variant": {"api_key": "env:DRIFTGATE_TEST_KEY"}}]})
    assert "sk" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://h/v1\x00", "http://h\x01/v1", "http://h/v1\x7f", "http://h/v1\r\nx: y"]
)
def test_an_upstream_cannot_begin_another_line(url: str) -> None:
    """Control characters in a base URL."""
    with pytest.raises(ConfigError, match="expected a base URL"):
        load_config(None, {"proxy.upstream": url})
