"""The store as one object: its parts over one file."""

from __future__ import annotations

from pathlib import Path

from monitor.store.anchors import AnchorSets
from monitor.store.arms import Arms
from monitor.store.baselines import Baselines
from monitor.store.canaries import Canaries
from monitor.store.database import Database
from monitor.store.feedback import FeedbackRows
from monitor.store.labels import LabelRows
from monitor.store.ledger import Ledger
from monitor.store.lessons import Lessons
from monitor.store.reviews import Reviews
from monitor.store.verdicts import Verdicts


class Store:
    """An open store; one object is used by one thread at a time."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.feedback = FeedbackRows(database)
        self.labels = LabelRows(database)
        self.ledger = Ledger(database)
        self.arms = Arms(database)
        self.anchors = AnchorSets(database)
        self.baselines = Baselines(database)
        self.canaries = Canaries(database)
        self.lessons = Lessons(database)
        self.reviews = Reviews(database)
        self.verdicts = Verdicts(database)

    def close(self) -> None:
        """Close the file."""
        self.database.close()


def open_store(path: Path, *, busy_s: float = 10.0) -> Store:
    """Open the monitor's database, creating or migrating it. Raises StoreError with one line."""
    return Store(Database(path, busy_s=busy_s))
