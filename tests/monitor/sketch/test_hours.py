"""The hour of the week is that of the clock on the wall."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from monitor.sketch.hours import HOURS, counted_hours, hour_of_week


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns"])
def test_it_is_what_the_calendar_says(zone: str):
    """A thousand moments over a year agree with datetime, summer time included."""
    times = 1.7e9 + np.random.default_rng(0).uniform(0, 366 * 86400, 1000)
    local = [datetime.fromtimestamp(t, ZoneInfo(zone)) for t in times]
    assert hour_of_week(times, zone).tolist() == [x.weekday() * 24 + x.hour for x in local]


def test_no_time_has_no_hour():
    """Files without times carry the time 0."""
    hours = hour_of_week(np.array([0.0, 4 * 86400.0]))
    assert hours.tolist() == [-1, 0]  # the first Monday
    assert counted_hours(hours).sum() == 1
    assert len(counted_hours(hours)) == HOURS
