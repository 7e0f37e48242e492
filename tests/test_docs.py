"""Documentation is part of the build: what the code names and docs/operations.md does not fails here, and the reverse.

Names come from the code: metrics from the collectors, commands and flags from the command line, codes and reasons from
their tables. A new one fails this file until it is documented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import numpy as np
import pytest
import typer
from prometheus_client.core import Metric

from monitor.bus import BusStats
from monitor.bus.memory import MemoryBus
from monitor.canary.answers import WATCHED
from monitor.canary.course import Course, Recent
from monitor.cli import build_app
from monitor.contract import Feedback, LabelCause, Labels, Signal, Tier, Verdict
from monitor.contract.command import FLAGS
from monitor.contract.config import Canaries as CanaryConfig
from monitor.contract.config import Config, Mirror
from monitor.contract.config_yaml import read_yaml
from monitor.labels.verdict import RULES
from monitor.service.health import Health
from monitor.service.metrics import Metrics
from monitor.service.scoring import SkipReason
from monitor.service.status import StatusReader
from monitor.store import CounterKey, Lesson, Work, open_store
from monitor.verdict.signals import SIGNALS
from proxy import headers
from proxy.faults import FAULTS
from proxy.metrics import ProxyCollector
from proxy.slots import (
    CLOSE_REASONS,
    DROP_REASONS,
    LEFT_PHASES,
    PARTIAL_REASONS,
    SPAN_OUTCOMES,
    WRITER_DROP_REASONS,
)
from proxy.status import Surroundings
from proxy.verdicts import VerdictBoard

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "triton_models").glob("*.md")])


def section(title: str) -> str:
    """Return the text under a heading, up to the next one of its level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}.*\n", OPERATIONS, re.MULTILINE)
    assert found, f"docs/operations.md has no section {title!r}"
    rest = OPERATIONS[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def rows(title: str) -> dict[str, list[str]]:
    """Return the table rows of a section: each word in backticks of the first cell -> the other cells."""
    found = {}
    for line in section(title).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) > 1:
            found |= dict.fromkeys(re.findall(r"`([^`]+)`", cells[0]), cells[1:])
    return found


def whole_verdict() -> Verdict:
    """Return a verdict with everything that headers and metrics tell."""
    signals = {name: Signal(value=0.1, tier=Tier.OK, effect=0.1) for name in SIGNALS}
    n = {"baseline": 1, "window": 2}
    labels = Labels(tier=Tier.OK, signals={name: Signal(value=0.1, tier=Tier.OK) for name in RULES})
    return Verdict(
        route="r", arm="a", tier=Tier.OK, time=1.0, signals=signals, n=n, baseline="b", labels=labels
    )


def proxy_metrics(directory: Path) -> list[Metric]:
    """Collect the proxy's metrics."""
    board = VerdictBoard([("r", "a")], 60.0)
    board.replace([whole_verdict()])
    view = Surroundings(Config(), "0", directory, board, lambda: True, lambda: 1.0)
    return list(ProxyCollector(view).collect())


def monitor_metrics(directory: Path) -> list[Metric]:
    """Collect the monitor's metrics."""
    store, bus = open_store(directory / "monitor.sqlite"), MemoryBus()
    bus.put_verdicts([whole_verdict()])
    counts = {CounterKey("r", "a", name): 1 for name in ("scored", "skipped.error")}
    lessons = [Lesson("new", "s", 5, b"", 1.0, 2.0)]
    store.ledger.commit(Work("b", [1], 1e9, {}, {}, lessons, counts), lambda: 1.0)
    store.feedback.add([Feedback(exchange="x", label="good")], 1.0, "r")
    recent = Recent(1.0, np.zeros(len(WATCHED), dtype="<f4").tobytes(), 0.0, different=True)
    store.canaries.change("m", lambda _: Course("k", recent=(recent,)))
    config = Config(canaries=CanaryConfig(per_hour=60.0, models=("m",), prompts=("p",)))
    reader = StatusReader(config, store, bus, Health(started_at=1.0, evaluation_s=0.1), lambda: 1.0)
    found = list(Metrics(reader).collect())
    store.close()
    return found


@pytest.mark.parametrize(("part", "collect"), [("Proxy", proxy_metrics), ("Monitor", monitor_metrics)])
def test_every_metric_is_documented_with_type_and_labels(tmp_path: Path, part: str, collect: Any):
    """Each family stands in its part's table, and nothing stands there that is not collected."""
    table = metric_rows(part)
    names = {}
    for family in collect(tmp_path):
        assert family.samples, f"{family.name} has no sample here: the test cannot see its labels"
        names[family.name + "_total" * (family.type == "counter")] = family
    assert set(table) == set(names)
    for name, family in names.items():
        kind, unit, labels, means = table[name]
        assert kind == family.type, name
        assert unit, f"{name} has no unit"
        assert means, f"{name} has no meaning"
        assert set(re.findall(r"`(\w+)`", labels.split("(")[0])) == labels_of(family), name


def metric_rows(part: str) -> dict[str, list[str]]:
    """Return the rows of the metrics' table of one part."""
    text = section("Metrics").split(f"### {part}\n")[1].split("\n### ")[0]
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in lines}


def labels_of(family: Metric) -> set[str]:
    """Return the names of a family's labels."""
    return {label for sample in family.samples for label in sample.labels}


def test_no_page_names_a_metric_that_is_not_there(tmp_path: Path):
    """A renamed metric must not live on in the documentation."""
    (tmp_path / "p").mkdir()
    families = [*proxy_metrics(tmp_path / "p"), *monitor_metrics(tmp_path)]
    known = {sample.name for family in families for sample in family.samples}
    known |= {family.name for family in families if family.type == "histogram"}  # samples have suffixes
    for page in PAGES:
        named = set(re.findall(r"`(driftgate_\w+)", page.read_text(encoding="utf-8")))
        assert named <= known, f"{page.name}: {named - known}"


def test_every_header_is_documented():
    """Ours, those that never go upstream, and those that never come back."""
    ours = {headers.OPT_OUT, headers.STICKY, headers.ERROR, headers.STATUS, headers.EXCHANGE}
    text = section("Headers").lower()
    for name in ours | headers.REQUEST_DROPPED | headers.RESPONSE_DROPPED | headers.RESPONSE_REPLACED:
        assert re.search(rf"`{name.decode()}[`:]", text), name


def test_the_grammar_of_drift_status_is_what_is_sent():
    """Every parameter is in the grammar, in its order, and in the table; so is every tier."""
    sent = re.findall(r";(\w+)=", headers.drift_status(whole_verdict(), 2.0, 60.0).decode())
    grammar = section("On responses").split("```")[1]
    assert re.findall(r'";(\w+)="', grammar) == sent
    assert set(sent) == set(rows("On responses")) & set(sent)
    assert re.findall(r'"(\w+)"', grammar.partition("tier           =")[2].partition("\n")[0]) == list(Tier)


def test_every_fault_is_documented_with_its_status():
    """The table is that of the code."""
    table = rows("Faults of the proxy's own")
    assert {code: int(table[code][0]) for code in FAULTS if code in table} == {
        code: status for code, (status, _) in FAULTS.items()
    }


def test_every_reason_is_documented():
    """Why an exchange is dropped, skipped, lost on the bus; when a client left."""
    table = rows("What is not mirrored, and what is not scored")
    named = {*DROP_REASONS, *WRITER_DROP_REASONS, *get_args(SkipReason)}
    assert named <= set(table), named - set(table)
    for name in (*LEFT_PHASES, *PARTIAL_REASONS, *SPAN_OUTCOMES, *CLOSE_REASONS):
        assert f"`{name}`" in OPERATIONS
    assert {"expired", "damaged"} <= set(BusStats._fields)


def test_every_signal_is_documented():
    """What may stand in the label `signal`."""
    assert set(rows("Signals")) == set(SIGNALS)


def test_every_signal_and_cause_of_labels_is_documented():
    """What people's labels may show of them, and why."""
    table = set(rows("Feedback and labels"))
    assert table >= set(RULES) | set(LabelCause)


def test_every_redaction_rule_is_documented():
    """Those that `mirror.redact` may name."""
    kind = next(field.type for field in msgspec.structs.fields(Mirror) if field.name == "redact")
    assert set(rows("Redaction")) == set(get_args(get_args(kind)[0]))


def commands(group: Any, path: str = "driftgate") -> Iterator[tuple[str, Any]]:
    """Walk the command line; a group is what has commands."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def test_every_command_and_flag_is_documented():
    """Each command stands in the table of exit statuses, each of its flags below it."""
    text, table = section("Commands and exit statuses"), rows("Commands and exit statuses")
    group = typer.main.get_command(build_app())
    for path, command in commands(group):
        parent, _, last = path.rpartition(" ")
        assert path in table or (parent != "driftgate" and last in table), path
        flags = {flag for option in command.params for flag in option.opts if flag.startswith("--")}
        for flag in flags - {"--help"}:
            assert re.search(rf"`{flag}[` ]", text), f"{path} {flag}"
    for flag in FLAGS:
        assert f"`{flag.key}`" in text


@cache
def keys() -> frozenset[str]:
    """Name every dotted key of the configuration, sections included."""

    def of(kind: Any, at: str = "") -> Iterator[str]:
        for field in msgspec.structs.fields(kind):
            inner = get_args(field.type)[0] if get_origin(field.type) is tuple else field.type
            yield at + field.name
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                yield from of(inner, f"{at}{field.name}.")

    return frozenset(of(Config))


def test_every_key_is_in_the_example():
    """`config.example.yaml` is the reference of the configuration; its own test proves comments and defaults."""
    text = (ROOT / "config.example.yaml").read_text(encoding="utf-8")
    for key in keys():
        assert re.search(rf"^[\s-]*{key.rpartition('.')[2]}:", text, re.MULTILINE), key


def test_no_page_names_a_key_that_is_not_there():
    """What stands as `section.key` in backticks exists: a key, a field of a status, a file or a module."""
    sections = "|".join(sorted({key.partition(".")[0] for key in keys() if "." in key}))
    others = {"mirror.received", "mirror.dropped", "bus.sqlite", "bus.sqlite.damaged", "monitor.sqlite"}
    others |= {f"bus.{field}" for field in BusStats._fields}
    for page in PAGES:
        named = set(re.findall(rf"`((?:{sections})(?:\.\w+)+)", page.read_text(encoding="utf-8")))
        modules = {name for name in named if list(ROOT.glob(f"{name.replace('.', '/')}*"))}
        wrong = named - keys() - others - modules
        assert not wrong, f"{page.name}: {wrong}"


def test_the_yaml_of_every_page_is_a_configuration(tmp_path: Path):
    """Examples can be copied: their keys exist."""
    example = tmp_path / "example.yaml"
    for page in PAGES:
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            example.write_text(text, encoding="utf-8")
            file = read_yaml(example)
            assert set(file) <= keys(), f"{page.name}: {file}"
            for name, inner in file.items():
                if isinstance(inner, dict):
                    assert {f"{name}.{key}" for key in inner} <= keys(), page.name


def test_links_lead_somewhere():
    """Relative links of the pages name files that exist."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
