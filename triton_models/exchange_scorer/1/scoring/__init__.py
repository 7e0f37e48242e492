"""The mathematics of scoring, shared by the three Triton models and by scoring without a server.

Law of this package: no Triton and no Driftgate import, numpy alone (torch only in `huggingface`), Python 3.10 and
newer, relative imports: a server puts this package's parent on its path, a process loads it from wherever the model
repository lies.
"""

from .models import ExchangeScores, Models, open_models
from .parameters import DEFAULTS
from .stacking import Answer, run_stacked
from .text import TextRefused

__all__ = [
    "DEFAULTS",
    "Answer",
    "ExchangeScores",
    "Models",
    "TextRefused",
    "open_models",
    "run_stacked",
]
