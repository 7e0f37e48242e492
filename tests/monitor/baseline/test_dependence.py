"""One factor of variance for everything that is tested, measured where times allow."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline, build_baseline
from monitor.contract.config import BaselineConfig
from monitor.sketch.layout import RATES
from monitor.sketch.scored import Scored
from tests.monitor.synthetic import World


def learn(stream: Scored) -> Baseline:
    """Learn a baseline with few clusters."""
    config = BaselineConfig(clusters=8)
    return build_baseline(stream, route="default", scorer="s", settings=config, created=1.0)


def in_runs(stream: Scored, length: int) -> Scored:
    """Let errors, users and prompts come in runs of this length: one run of errors in ten."""
    exchanges = [
        msgspec.structs.replace(
            e,
            status=500 if i // length % 10 == 0 else 200,
            user=f"u{i // length}",
            prompt=f"{e.prompt} {i // length}" if length == 1 else f"prompt {i // length}",
        )
        for i, e in enumerate(stream.exchanges)
    ]
    return stream._replace(exchanges=exchanges)


@pytest.mark.parametrize(("length", "low", "high"), [(1, 1.0, 1.6), (10, 5.0, 14.0)])
def test_runs_make_shares_and_counters_vary(length: int, low: float, high: float):
    """Runs of ten errors, or of ten exchanges of one user or prompt, multiply the variance by about ten."""
    found = learn(in_runs(World().make(3000, 1), length)).overdispersion
    errors = [name for _, name, _ in RATES].index("errors")
    assert low <= found["rate"][errors] < high
    assert low <= found["cells"].min()
    assert found["cells"].max() < high


def test_without_times_independence_is_assumed():
    """A file without times cannot show what depends on what, but for what its users say."""
    stream = in_runs(World(rate=0.0).make(1000, 1), 10)
    apart = [msgspec.structs.replace(e, prompt=f"prompt {i}") for i, e in enumerate(stream.exchanges)]
    found = learn(stream._replace(exchanges=apart)).overdispersion
    assert all(set(factors.tolist()) == {1.0} for name, factors in found.items() if name != "cells")
    assert found["cells"] == pytest.approx([1.0, 10.0], rel=0.2)
    assert set(found) == {"prompt", "response", "system", "rate", "cells", "topic"}


def test_without_times_copies_come_together():
    """Ten exchanges of one prompt weigh as one, as far as they are alike."""
    stream = in_runs(World(rate=0.0).make(1000, 1), 10)
    alike = stream.prompt[np.arange(1000) // 10 * 10]
    found = learn(stream._replace(prompt=alike)).overdispersion
    errors = [name for _, name, _ in RATES].index("errors")
    assert found["rate"][errors] == pytest.approx(10.0, rel=0.1)
    assert found["prompt"].mean() == pytest.approx(10.0, rel=0.3)
    assert found["system"].max() < 2.0
    assert found["topic"] == pytest.approx(10.0, rel=0.1)
    assert found["cells"] == pytest.approx([10.0, 10.0], rel=0.2)


def test_the_order_of_the_file_does_not_matter():
    """Exchanges are put into the order of their times first."""
    stream = in_runs(World(sticky=0.8).make(1000, 1), 10)
    shuffled = stream.take(np.random.default_rng(0).permutation(1000))
    one, other = (learn(s).overdispersion["rate"][-1] for s in (stream, shuffled))
    assert one == pytest.approx(other)


def test_dates_say_nothing_of_who_came_after_whom():
    """A file of two dates, sorted by whether there was an error, has no runs of errors."""
    stream = in_runs(World().make(1200, 1), 1)
    dates = [
        msgspec.structs.replace(e, time=1e6 + 86400.0 * (i // 10 % 2)) for i, e in enumerate(stream.exchanges)
    ]
    order = np.argsort([e.status for e in dates], kind="stable")
    found = learn(stream._replace(exchanges=dates).take(order)).overdispersion
    assert found["rate"][[name for _, name, _ in RATES].index("errors")] < 2.0
