"""The baseline: a frozen picture of reference traffic, with everything needed to compare a window with it."""

from monitor.baseline.fit import BaselineError, build_baseline
from monitor.baseline.frozen import Baseline, Encoded

__all__ = ["Baseline", "BaselineError", "Encoded", "build_baseline"]
