"""What the proxy and the monitor share: the exchange, the verdict, their encoding and the configuration.

Law of this package: values only. No socket, no file (but the configuration's own), no numpy. Whatever crosses the
bus is one of these values, encoded by `encode_*` here, under one schema version.
"""

from monitor.contract.exchange import SCHEMA_VERSION, Exchange, decode_exchanges, encode_exchanges
from monitor.contract.feedback import Feedback, read_feedback
from monitor.contract.verdict import (
    Annotator,
    Anomaly,
    Attribution,
    Cause,
    Direction,
    Exemplar,
    Interval,
    LabelCause,
    Labels,
    Progress,
    Shift,
    Signal,
    Tier,
    Verdict,
    decode_verdicts,
    encode_verdicts,
    without_words,
)

__all__ = [
    "SCHEMA_VERSION",
    "Annotator",
    "Anomaly",
    "Attribution",
    "Cause",
    "Direction",
    "Exchange",
    "Exemplar",
    "Feedback",
    "Interval",
    "LabelCause",
    "Labels",
    "Progress",
    "Shift",
    "Signal",
    "Tier",
    "Verdict",
    "decode_exchanges",
    "decode_verdicts",
    "encode_exchanges",
    "encode_verdicts",
    "read_feedback",
    "without_words",
]
