"""The hour of the week of a moment, in a time zone: 0 is Monday's first, 167 Sunday's last.

Exchanges of a file without times have the time 0; they have no hour.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

HOURS = 168
# 1970-01-01 was a Thursday.
_EPOCH_HOUR = 3 * 24
# Clocks differ from UTC by whole quarters of an hour.
_QUARTER_S = 900


def hour_of_week(times: NDArray[np.float64], zone: str = "UTC") -> NDArray[np.intp]:
    """Return the hour of the week (n,) of epoch seconds (n,), -1 where there is no time."""
    if zone == "UTC":
        hours = (times // 3600).astype(np.intp) + _EPOCH_HOUR
    else:
        quarters, place = np.unique((times // _QUARTER_S).astype(np.int64), return_inverse=True)
        local = np.array([_local_hour(int(quarter), zone) for quarter in quarters], dtype=np.intp)
        hours = local[place]
    return np.where(times > 0, hours % HOURS, -1).astype(np.intp)


@lru_cache(maxsize=4096)
def _local_hour(quarter: int, zone: str) -> int:
    local = datetime.fromtimestamp(quarter * _QUARTER_S, UTC).astimezone(ZoneInfo(zone))
    return local.weekday() * 24 + local.hour


def counted_hours(hours: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many of these hours there are of each (HOURS,), leaving out -1."""
    return np.bincount(hours[hours >= 0], minlength=HOURS)
