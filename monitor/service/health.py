"""How the running monitor is: written by its loop, read by whoever asks (status, metrics, readiness)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Health:
    """Facts about the loop; times in epoch seconds, None while there is none.

    `troubles`: for each kind of step that does not succeed at present, why. `fatal` ends the process.
    """

    started_at: float
    scorer: str | None = None
    troubles: dict[str, str] = field(default_factory=dict)
    troubled_since: float | None = None
    turned_at: float | None = None
    worked_at: float | None = None
    evaluated_at: float | None = None
    evaluation_s: float | None = None
    # Errors of our own that nobody foresaw: each is in the log with its traceback.
    faults: int = 0
    fatal: str = ""

    @property
    def trouble(self) -> str:
        """All that is wrong at present, in one line; empty when nothing is."""
        return "; ".join(dict.fromkeys(self.troubles.values()))

    def troubled(self, step: str, why: str, now: float) -> bool:
        """Note that a step did not succeed; return whether the reason is news."""
        news = self.troubles.get(step) != why
        self.troubles[step] = why
        self.troubled_since = self.troubled_since or now
        return news

    def recovered(self, step: str) -> bool:
        """Note that a step went through; return whether that is news."""
        news = self.troubles.pop(step, None) is not None
        if not self.troubles:
            self.troubled_since = None
        return news
