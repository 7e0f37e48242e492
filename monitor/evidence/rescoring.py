"""Has the scorer changed? The same texts, scored again, tell; no model is asked.

A baseline keeps a few of its exchanges with the scores they had (`Anchors`). Scored again by the same scorer they get
the same numbers, but for what batching and half precision do to them; that much is learnt from the first look, taken
when the baseline is made. Anything beyond it is a changed scorer, whatever it calls itself, because neither the traffic
nor the model has any part in the comparison.

Law of this file: pure; scores go in, a finding comes out. Rewards are compared in standard deviations of the anchors'
rewards, embeddings by their distance on the unit sphere.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.sketch.reservoir import priority_of
from monitor.sketch.scored import Scored

Half = NDArray[np.float16]
Floats = NDArray[np.float64]

KEPT = 64
# A longer text is passed over where there are enough shorter ones: it costs a scorer more and tells no more.
_MOST_CHARS = 8_000
# What no scorer is blamed for: half precision of stored vectors, batching, bfloat16. In sd of rewards, and distance.
_REWARD_FLOOR, _DISTANCE_FLOOR = 0.02, 0.02
# An anchor has moved beyond so many times the noise of the first look; these many must have.
_BEYOND = 5.0
_FEWEST_MOVED, _SHARE_MOVED = 2, 0.05


class Anchors(NamedTuple):
    """n stored exchanges and their scores: `prompt`, `response` float16 (n, dim), `reward` float32 (n,) or NaN."""

    prompts: tuple[str, ...]
    responses: tuple[str | None, ...]
    prompt: Half
    response: Half
    reward: NDArray[np.float32]


class Noise(msgspec.Struct, frozen=True):
    """What scoring again changes by itself: root mean squares, in sd of rewards and as a distance."""

    reward: float = 0.0
    distance: float = 0.0


# Allowed for at the first look, which learns the noise; what is beyond it is a change already.
FIRST_LOOK = Noise(0.1, 0.04)


class Rescored(msgspec.Struct, frozen=True, kw_only=True):
    """n anchors scored again: mean rewards `before` and `after`, their mean `shift` and rms `spread` in sd.

    `distance`: rms distance of embeddings. `rewards_moved`, `embeddings_moved`: anchors beyond noise.
    """

    n: int
    rewarded: int
    before: float
    after: float
    shift: float
    spread: float
    distance: float
    rewards_moved: int
    embeddings_moved: int
    reward_changed: bool
    embedding_changed: bool

    @property
    def noise(self) -> Noise:
        """What this look shows, taken as noise."""
        return Noise(self.spread, self.distance)


class ScorerChange(msgspec.Struct, frozen=True, kw_only=True):
    """What of the scorer is not what the baseline was scored with, and one clause that says how that is known."""

    reward: bool
    embedding: bool
    said: str


def choose_anchors(scored: Scored, kept: int = KEPT) -> Anchors:
    """Keep a sample of scored exchanges: those of smallest hash, short ones and rewarded ones first."""
    rows = [row for row in range(len(scored.exchanges)) if scored.prompt[row].any()]

    def rank(row: int) -> tuple[bool, bool, int]:
        exchange = scored.exchanges[row]
        chars = len(exchange.prompt) + len(exchange.response or "")
        return chars > _MOST_CHARS, bool(np.isnan(scored.reward[row])), priority_of(exchange.id)

    chosen = scored.take(sorted(rows, key=rank)[:kept])
    return Anchors(
        tuple(exchange.prompt for exchange in chosen.exchanges),
        tuple(exchange.response for exchange in chosen.exchanges),
        chosen.prompt.astype(np.float16),
        chosen.response.astype(np.float16),
        chosen.reward.astype(np.float32),
    )


def compare_anchors(
    anchors: Anchors,
    prompt: NDArray[np.float32],
    response: NDArray[np.float32],
    reward: NDArray[np.float32],
    noise: Noise,
) -> Rescored:
    """Compare the anchors with their new scores: float32 (n, any dim) twice and (n,)."""
    known = ~np.isnan(anchors.reward)
    before, after = anchors.reward[known].astype(np.float64), reward[known].astype(np.float64)
    scale = max(float(before.std()), 1e-3 * float(np.abs(before).mean()), 1e-9) if known.any() else 1.0
    # A reward that is there no more has moved: infinitely far, but within what arithmetic can hold.
    change = np.where(np.isnan(after), 100.0, (np.nan_to_num(after) - before) / scale)
    far = np.maximum(_distances(anchors.prompt, prompt), _distances(anchors.response, response))
    rewards_moved = int((np.abs(change) > max(_REWARD_FLOOR, _BEYOND * noise.reward)).sum())
    embeddings_moved = int((far > max(_DISTANCE_FLOOR, _BEYOND * noise.distance)).sum())
    shift = float(change.mean()) if known.any() else 0.0
    surely = max(_REWARD_FLOOR, 4.0 * noise.reward / max(1.0, float(known.sum())) ** 0.5)
    return Rescored(
        n=len(anchors.prompts),
        rewarded=int(known.sum()),
        before=float(before.mean()) if known.any() else float("nan"),
        after=float(np.nanmean(after)) if (~np.isnan(after)).any() else float("nan"),
        shift=shift,
        spread=float(np.sqrt((change**2).mean())) if known.any() else 0.0,
        distance=float(np.sqrt((far**2).mean())) if len(far) else 0.0,
        rewards_moved=rewards_moved,
        embeddings_moved=embeddings_moved,
        reward_changed=rewards_moved >= _enough(int(known.sum())) or abs(shift) > surely,
        embedding_changed=embeddings_moved >= _enough(len(far)),
    )


def change_of(found: Rescored) -> ScorerChange | None:
    """Return what has changed and how that is known; None where nothing has."""
    if not (found.reward_changed or found.embedding_changed):
        return None
    parts = []
    if found.reward_changed:
        parts.append(
            f"{found.rewards_moved} of {found.rewarded} stored exchanges get other rewards than when the baseline was "
            f"made (mean {found.before:.3f}, now {found.after:.3f})"
        )
    if found.embedding_changed:
        parts.append(f"{found.embeddings_moved} of {found.n} get other embeddings")
    return ScorerChange(
        reward=found.reward_changed, embedding=found.embedding_changed, said=" and ".join(parts)
    )


def _enough(n: int) -> int:
    return max(_FEWEST_MOVED, round(_SHARE_MOVED * n))


def _distances(stored: Half, now: NDArray[np.float32]) -> Floats:
    """Return the distance (n,) of each stored vector from the present one; of other dimension nothing is near."""
    if stored.shape != now.shape:
        return np.full(len(stored), 2.0)
    far: Floats = np.linalg.norm(stored.astype(np.float64) - now.astype(np.float64), axis=1)
    return far


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    prompts: tuple[str, ...]
    responses: tuple[str | None, ...]
    prompt: bytes
    response: bytes
    reward: bytes


def anchors_to_bytes(anchors: Anchors) -> bytes:
    """Encode for the store."""
    arrays = (
        array.astype(kind).tobytes()
        for array, kind in ((anchors.prompt, "<f2"), (anchors.response, "<f2"), (anchors.reward, "<f4"))
    )
    return msgspec.msgpack.encode(_Stored(anchors.prompts, anchors.responses, *arrays))


def anchors_from_bytes(data: bytes) -> Anchors:
    """Decode. Raises ValueError when the data are damaged."""
    try:
        stored = msgspec.msgpack.decode(data, type=_Stored)
        n = len(stored.prompts)
        matrices = (
            np.frombuffer(part, dtype="<f2").astype(np.float16).reshape(n, -1)
            for part in (stored.prompt, stored.response)
        )
        reward = np.frombuffer(stored.reward, dtype="<f4").astype(np.float32)
        prompt, response = matrices
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueError(f"damaged anchors: {error}") from error
    if not len(stored.responses) == len(reward) == n:
        raise ValueError("damaged anchors: columns of several lengths")
    return Anchors(stored.prompts, stored.responses, prompt, response, reward)
