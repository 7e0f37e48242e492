"""Losses: exchanges of a window that were never scored, because a producer dropped them or the bus lost them unread.

Law of this file: pure. A window that misses much of the traffic says nothing about it, because what is lost under load
need not look like what is left; one that misses little says so. Whose exchanges they were is not known where they
were dropped, so the share is that of the whole bus, for every route alike.
"""

from __future__ import annotations

import msgspec

from monitor.bus import Losses
from monitor.contract import Verdict
from monitor.verdict.judge import blind_verdict

# Share of a window's exchanges that may be missing before it is not judged any more.
TOLERATED = 0.1


def with_losses(verdict: Verdict, losses: Losses) -> Verdict:
    """Return the verdict as it stands when so many of the exchanges offered in its window are missing."""
    if not losses.lost:
        return verdict
    said = (
        f"{losses.lost} of {losses.offered} exchanges of this window ({losses.share:.1%}) "
        "were lost before they could be scored"
    )
    if losses.share > TOLERATED:
        key = (verdict.route, verdict.arm)
        return blind_verdict(
            *key, why=said, now=verdict.time, n=verdict.n, baseline=verdict.baseline, standing=verdict
        )
    return msgspec.structs.replace(verdict, caveats=(*verdict.caveats, said))
