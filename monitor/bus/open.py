"""The one place that chooses a bus from the configuration."""

from __future__ import annotations

from monitor.bus import Bus
from monitor.bus.sqlite import SqliteBus
from monitor.contract.config import Config


def open_bus(config: Config, *, busy_s: float = 5.0) -> Bus:
    """Open the configured bus; another process's lock is waited for at most `busy_s` seconds. Raises BusError."""
    return SqliteBus(
        config.bus_path,
        retention_s=config.bus.retention_hours * 3600.0,
        retention_bytes=config.bus.retention_bytes,
        busy_s=busy_s,
    )
