"""The acts of the demo: what happens to model and traffic, and which verdict it must lead to.

Law of this file: pure. Two routes are served by two stand-in models: `support`, whose model gets worse, and `shop`,
whose customers start to ask about something new. Each is the other's control.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from monitor.contract import Cause, Direction, Tier, Verdict
from monitor.demo.customers import ADVICE, DELIVERY, PAYMENT, REPAIR, RETURNS, SOLAR, STOCK, Topic
from monitor.demo.standin_model import Manner

SUPPORT, SHOP = "support", "shop"
ROUTES = (SUPPORT, SHOP)

# Verdicts now, by route.
Verdicts = Mapping[str, Verdict]


class Expectation(NamedTuple):
    """What one route's verdict must become: one of these tiers, for one of these causes."""

    route: str
    tiers: frozenset[Tier]
    causes: frozenset[Cause] = frozenset(Cause)
    direction: Direction | None = None

    def met(self, verdicts: Verdicts) -> bool:
        """Whether it has."""
        verdict = verdicts.get(self.route)
        return (
            verdict is not None
            and verdict.tier in self.tiers
            and verdict.cause in self.causes
            and self.direction in {None, verdict.direction}
        )

    def in_words(self) -> str:
        """Say what is expected."""
        tiers = " or ".join(sorted(tier.value for tier in self.tiers))
        causes = "" if len(self.causes) == len(Cause) else f", cause {' or '.join(sorted(self.causes))}"
        return f"{self.route} {tiers}{causes}"


class Act(NamedTuple):
    """A part of the demo. It ends when all expectations are met, or has failed after `within_s` seconds."""

    title: str
    support_manner: Manner
    shop_topics: Sequence[Topic]
    expected: Sequence[Expectation]
    within_s: float
    # Played at least this long, so that a person can follow and the verdict can ripen.
    at_least_s: float = 0.0
    # Routes whose evidence is shown at the end of the act.
    explained: tuple[str, ...] = ()

    def over(self, verdicts: Verdicts) -> bool:
        """Whether everything expected has come."""
        return all(expectation.met(verdicts) for expectation in self.expected)


SUPPORT_TOPICS = (DELIVERY, RETURNS, PAYMENT, REPAIR)
SHOP_TOPICS = (ADVICE, STOCK, REPAIR)
_CHANGED = frozenset({Tier.MINOR, Tier.CRITICAL})


def _all(*tiers: Tier) -> tuple[Expectation, ...]:
    return tuple(Expectation(route, frozenset(tiers)) for route in ROUTES)


ACTS = (
    Act(
        "Two models go live. The monitor learns what their traffic and answers look like.",
        Manner.HELPFUL, SHOP_TOPICS, _all(Tier.LEARNING), 15.0,
    ),
    Act(
        "The baselines are learnt and frozen; from here on every answer is compared with them.",
        Manner.HELPFUL, SHOP_TOPICS, _all(Tier.OK), 60.0,
    ),
    Act(
        "A bad fine-tune is shipped to `support`: it evades, refuses, answers in one line. `shop` is not touched.",
        Manner.EVASIVE, SHOP_TOPICS,
        (
            Expectation(SUPPORT, frozenset({Tier.CRITICAL}), frozenset({Cause.MODEL}), Direction.DEGRADED),
            Expectation(SHOP, frozenset({Tier.OK})),
        ),
        35.0, 10.0, (SUPPORT,),
    ),
    Act(
        "`shop` starts to sell solar panels: its customers ask what nobody asked before, its model is the same.",
        Manner.EVASIVE, (*SHOP_TOPICS, SOLAR, SOLAR, SOLAR),
        (Expectation(SHOP, _CHANGED, frozenset({Cause.TRAFFIC})),),
        35.0, 10.0, (SHOP,),
    ),
)  # fmt: skip
