"""Labels as people read them."""

from __future__ import annotations

import io

from rich.console import Console

from monitor.commands.render import whole_verdict
from monitor.contract import Annotator, LabelCause, Labels, Signal, Tier, Verdict


def test_labels_have_a_line_and_their_details():
    """Tier and headline first, then before and now, then who."""
    labels = Labels(
        tier=Tier.MINOR,
        drifted=True,
        cause=LabelCause.ANNOTATOR,
        headline="labels: one annotator judges differently",
        signals={"gold_accuracy": Signal(value=0.7, tier=Tier.MINOR, baseline_mean=0.9, window_mean=0.7)},
        annotators=(Annotator(name="anna", against="gold", baseline=0.9, window=0.7, n=40, moved=True),),
        caveats=("no gold labels",),
    )
    out = io.StringIO()
    verdict = Verdict(route="r", arm="control", tier=Tier.OK, time=1.0, labels=labels)
    Console(file=out, width=120).print(whole_verdict(verdict))
    text = out.getvalue()
    assert "labels minor  one annotator judges differently  (cause: annotator)" in text
    assert "anna: right in 70% of 40 (90% before)" in text
    assert "gold_accuracy" in text
    assert "note: no gold labels" in text
