"""What noise alone does to the signals of a history, and thresholds that stand above it.

Law of this file: pure. A tier needs size and evidence: noise of any size is shown, but a threshold is raised only for
what would have had the evidence, too, and never lowered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from scipy.stats import beta

from monitor.contract import Signal, Tier
from monitor.contract.config import Thresholds
from monitor.evidence.edetector import SIGNAL_LEVEL
from monitor.verdict.tiers import NEVER_RAISED, RULES

# A threshold is proposed where noise alone stays below it this often.
_QUANTILE = 0.99


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """How often noise alone moves a signal beyond its thresholds, of so many windows.

    `minor`, `critical`: by size; `evident`: by size and with the evidence of its own that a tier needs, as a share with
    the end of its exact 95 % interval. `noise`: the 99 % point of the size.
    """

    signal: str
    windows: int
    minor: int
    critical: int
    evident: int
    evident_share: float
    evident_high: float
    noise: float


def crossings(windows: Sequence[dict[str, Signal]], thresholds: Thresholds) -> Iterator[Crossing]:
    """Count for every signal that was measured how often noise crossed its thresholds."""
    for name, found in _by_signal(windows):
        tiers = [RULES[name].grade(signal, thresholds) for signal in found]
        raised = [tier is not Tier.OK for tier in tiers]
        evident = sum(up and _evident(signal) for up, signal in zip(raised, found, strict=True))
        n = len(found)
        yield Crossing(
            signal=name,
            windows=n,
            minor=sum(raised),
            critical=sum(tier is Tier.CRITICAL for tier in tiers),
            evident=evident,
            evident_share=evident / n,
            evident_high=float(beta.ppf(0.975, evident + 1, n - evident)) if evident < n else 1.0,
            noise=_noise([abs(signal.effect or 0.0) for signal in found]),
        )


def _by_signal(windows: Sequence[dict[str, Signal]]) -> Iterator[tuple[str, list[Signal]]]:
    for name in RULES:
        found = [window[name] for window in windows if name in window]
        if found and name not in NEVER_RAISED:
            yield name, found


def _evident(signal: Signal) -> bool:
    return signal.p_value is not None and signal.p_value <= SIGNAL_LEVEL


def _noise(sizes: Sequence[float]) -> float:
    return float(np.quantile(sizes, _QUANTILE, method="higher"))


# Which signals each pair of thresholds, or each threshold, is held against; the rest is `effect_minor`'s.
_OWN_THRESHOLD = {
    "new_clusters": ("new_clusters_minor", "new_clusters_critical"),
    "response_js": ("js_minor", "js_critical"),
    "reward_shape": ("js_minor", "js_critical"),
    "reward": ("reward_minor", "reward_critical"),
    "style_controlled_reward": ("reward_minor", "reward_critical"),
}


def raised_thresholds(windows: Sequence[dict[str, Signal]], thresholds: Thresholds) -> Thresholds:
    """Return the thresholds, raised to where noise with evidence stays below them in 99 of 100 windows."""
    raised: dict[str, float] = {}
    for name, found in _by_signal(windows):
        sizes = [abs(signal.effect or 0.0) if _evident(signal) else 0.0 for signal in found]
        noise = float(np.ceil(100.0 * _noise(sizes)) / 100.0)
        minor, critical = _OWN_THRESHOLD.get(name, ("effect_minor", ""))
        before = getattr(thresholds, minor)
        if noise > raised.get(minor, before):
            raised[minor] = noise
            if critical:
                ratio = getattr(thresholds, critical) / before
                raised[critical] = float(np.ceil(100.0 * noise * ratio) / 100.0)
    capped = {
        key: value if key.startswith(("effect", "reward")) else min(value, 1.0)
        for key, value in raised.items()
    }
    return msgspec.structs.replace(thresholds, **capped)
