"""What the evidence says, in the form that judging needs, whichever test it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Which families of signals show a change that is not noise.

    `traffic`: the prompts. `behaviour`: the responses given their prompts. `service`: errors, truncation, latency.
    `repetition`: one prompt or one user that fills the traffic. `drifted` is the whole evidence at its level; the
    families say where it lies. `since`: estimated onset (epoch s). `signal_level`: the p-value that one signal needs
    beside it.
    """

    drifted: bool = False
    traffic: bool = False
    behaviour: bool = False
    service: bool = False
    repetition: bool = False
    signal_level: float = 0.01
    since: float | None = None


NOTHING = Findings()
