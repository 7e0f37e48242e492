"""Leaves steps of the mirror out, for trial, in a proxy that `mirror_share.py` starts with this folder on its path.

Law: what is left out is replaced by nothing, or by a value made once of the same size; everything else is the shipped
code. `DRIFTGATE_WITHOUT` names the steps. The interpreter imports this file by itself, in the proxy's workers, too.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from monitor.bus.sqlite import SqliteBus
from monitor.contract import Exchange
from proxy.assemble import Assembler
from proxy.capture import Capture
from proxy.mirror import MirrorWriter

# As long as the benchmark's prompt and answer.
_PROMPT, _RESPONSE = "How do I return a parcel? " * 18, "word " * 60


def _unread(_self: Assembler, capture: Capture) -> Exchange:
    """Make an exchange of texts that nobody read, decoded or searched for secrets."""
    return Exchange(
        capture.id,
        capture.time,
        _PROMPT,
        _RESPONSE,
        capture.route,
        capture.arm,
        capture.variant,
        "m",
        capture.endpoint,
        capture.status,
    )


def _uncommitted(_self: SqliteBus, _producer: str, _exchanges: Sequence[Exchange], _now: float) -> int:
    """Neither encode nor write."""
    return 1


def _let_go(writer: MirrorWriter) -> bool:
    """Take captures and keep nothing of them."""
    mirror = writer._mirror  # noqa: SLF001 - this stands in for a method of that class
    queue, some = mirror.queue, bool(mirror.queue)
    while queue:
        mirror.budget.freed += queue.popleft().held
    return some


_STEPS = {
    "reading": (Assembler, "__call__", _unread),
    "committing": (SqliteBus, "publish", _uncommitted),
    "writing": (MirrorWriter, "_take", _let_go),
}
for step in filter(None, os.environ.get("DRIFTGATE_WITHOUT", "").split(",")):
    owner, name, function = _STEPS[step]
    if not callable(getattr(owner, name, None)):
        # The interpreter goes on after a fault here, and would measure the whole proxy.
        os.write(2, f"nothing to leave out: {owner.__name__}.{name}\n".encode())
        os._exit(1)
    setattr(owner, name, function)
