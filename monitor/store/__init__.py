"""The store: what the monitor knows, in one SQLite file that survives it.

Five parts over one open file: `ledger` (which batches are in the sketches, exactly once), `arms` (who is judged:
windows and evidence), `baselines`, `lessons` (what a baseline is learnt from) and `verdicts`.
"""

from monitor.store.arms import Arm
from monitor.store.baselines import Listed
from monitor.store.database import Database, Outdated, StoreError
from monitor.store.ledger import CounterKey, Work
from monitor.store.lessons import Lesson
from monitor.store.store import Store, open_store

__all__ = [
    "Arm",
    "CounterKey",
    "Database",
    "Lesson",
    "Listed",
    "Outdated",
    "Store",
    "StoreError",
    "Work",
    "open_store",
]
