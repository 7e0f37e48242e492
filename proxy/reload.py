"""A new configuration for a running proxy: what of it takes effect at once, and what needs a restart.

Law: pure, but for `Terminal`. Sockets, processes and the state directory stay as they were started; everything else
of the proxy is taken over. Only names of keys come out of here, never values: those may be secrets.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from monitor.contract.config import Config

NEED_RESTART = (
    "state_dir",
    "log",
    "proxy.listen",
    "proxy.workers",
    "proxy.traces.endpoint",
    "proxy.traces.authorization",
    "proxy.traces.queue",
    "admin.listen",
    "bus.kind",
    "bus.path",
    "bus.retention_hours",
    "bus.retention_bytes",
)
# Sections that the proxy does not read (but for the pace of verdicts): their own process has to be restarted.
OTHERS = ("scoring", "monitor", "baseline", "detection")


class Reload(NamedTuple):
    """What a new configuration means for a proxy that runs with an old one."""

    config: Config
    # Dotted keys, sorted.
    taken_over: tuple[str, ...]
    need_restart: tuple[str, ...]
    others: tuple[str, ...]


def plan_reload(old: Config, new: Config) -> Reload:
    """Decide what of a new configuration takes effect."""
    changed = sorted(_changed(old, new))
    stay = set(NEED_RESTART)
    tls = new.proxy.tls
    if bool(old.proxy.tls.cert) != bool(tls.cert):  # the listener speaks either HTTP or HTTPS
        stay |= {"proxy.tls.cert", "proxy.tls.key"}
        tls = msgspec.structs.replace(tls, cert=old.proxy.tls.cert, key=old.proxy.tls.key)
    admin = new.admin
    if admin.listen != old.admin.listen:  # a token guards an address: that of before is still open
        stay.add("admin.token")
        admin = old.admin
    traces = msgspec.structs.replace(old.proxy.traces, sample=new.proxy.traces.sample)
    others = tuple(key for key in changed if key.partition(".")[0] in OTHERS)
    return Reload(
        msgspec.structs.replace(
            new,
            state_dir=old.state_dir,
            log=old.log,
            bus=old.bus,
            proxy=msgspec.structs.replace(
                new.proxy, listen=old.proxy.listen, workers=old.proxy.workers, tls=tls, traces=traces
            ),
            admin=admin,
        ),
        tuple(key for key in changed if key not in stay and key not in others),
        tuple(key for key in changed if key in stay),
        others,
    )


def _changed(old: Any, new: Any, at: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if isinstance(before, msgspec.Struct):
            yield from _changed(before, after, f"{at}{field.name}.")
        elif before != after:
            yield at + field.name


class Terminal:
    """The terminal that this process was started from, if any: SIGHUP also says that it has gone."""

    def __init__(self) -> None:
        # Where SIGHUP is ignored from the start (nohup), its end is nothing to us.
        self._had = _reachable() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def hung_up(self) -> bool:
        """Whether there was one and it is gone."""
        return self._had and not _reachable()


def _reachable() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
        return True
    return False
