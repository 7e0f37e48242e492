"""What a sketch no longer tells when the scorer behind it has changed: those sums are set to zero, nothing else.

Law of this file: pure. A sum of rewards from two reward models means nothing, nor does a histogram of clusters from two
embedders; with them hidden, whatever is measured from the rest is measured as ever. Style, refusals, errors, lengths and
times come from the texts themselves and stay.
"""

from __future__ import annotations

from dataclasses import replace

from monitor.sketch.bucket import Bucket
from monitor.sketch.layout import PROMPT_SCORES, RESPONSE_SCORES, REWARD_SCORES

_REWARD_FIELDS = (
    "rewarded",
    "reward",
    "reward_sq",
    "reward_ranks",
    "cluster_rewarded",
    "cluster_reward",
    "cluster_reward_sq",
    "expected",
    "expected_sq",
    "residual",
    "residual_sq",
    "unsupported",
    "unsupported_reward",
    "unsupported_expected",
)
_EMBEDDED_FIELDS = (
    "prompt_clusters",
    "response_clusters",
    "prompt_ranks",
    "far_prompts",
    "response_ranks",
    "novel_90",
    "novel_98",
    "supported",
    "response_scores",
)
# What the evidence watches by name, and what of it a scorer gives.
REWARD_NAMES = REWARD_SCORES
EMBEDDED_NAMES = frozenset(
    {
        *RESPONSE_SCORES,
        *(name for name in PROMPT_SCORES if "axis" in name or name.endswith("novelty")),
        "novel_90",
        "novel_98",
        "new topic",
    }
)


def hide(bucket: Bucket, *, embedding: bool) -> Bucket:
    """Return the bucket without its rewards, and with `embedding` without whatever rests on embeddings."""
    vector, layout = bucket.vector.copy(), bucket.layout
    for name in (*_REWARD_FIELDS, *(_EMBEDDED_FIELDS if embedding else ())):
        field = layout.fields[name]
        vector[field.start : field.stop] = 0
    start = layout.fields["response_scores"].start
    # Scores are centred: a sum of zero is no shift.
    vector[[start + RESPONSE_SCORES.index(name) for name in REWARD_SCORES]] = 0
    if embedding:
        start = layout.fields["prompt_scores"].start
        for place, name in enumerate(PROMPT_SCORES):
            if name in EMBEDDED_NAMES:
                vector[start + place] = 0
    return replace(bucket, vector=vector)
