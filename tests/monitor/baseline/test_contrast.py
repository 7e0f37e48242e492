"""The answer fit tells answers to their own prompts from answers to others, the same way every time, and unspoilt."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.baseline import Baseline
from monitor.baseline.contrast import FOLDS, fit_contrast, held_out_fit
from monitor.baseline.folds import Arrivals, folds
from monitor.sketch.fold import fold
from monitor.sketch.scored import Scored
from monitor.verdict.signals import measure
from tests.monitor.synthetic import World


def shuffled(stream: Scored, share: float, seed: int = 0) -> Scored:
    """Hand a share of the answers round among their prompts; each gets another's."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(stream.exchanges))[: round(share * len(stream.exchanges))]
    source = np.arange(len(stream.exchanges))
    source[rows] = np.roll(rows, 1)
    exchanges = [
        msgspec.structs.replace(e, response=stream.exchanges[i].response)
        for e, i in zip(stream.exchanges, source.tolist(), strict=True)
    ]
    return stream._replace(
        exchanges=exchanges, response=stream.response[source], reward=stream.reward[source]
    )


def test_own_answers_fit_and_others_do_not():
    """On new exchanges the fit of an answer to another prompt is zero on average and that to its own far above."""
    known, new = World().make(600, seed=1), World().make(400, seed=2)
    contrast = fit_contrast(known.prompt, known.response)
    own = contrast.fit_of(new.prompt, new.response)
    other = contrast.fit_of(new.prompt, np.roll(new.response, 7, axis=0))
    assert abs(other.mean()) < 0.06
    assert own.mean() > 0.3
    assert (own.mean() - other.mean()) / other.std() > 1.5


def test_it_is_learnt_and_not_read_off():
    """Where answers lie in other directions than their prompts the cosine is blind, and the learnt map sees."""
    known, new = World().make(600, seed=1), World().make(400, seed=2)
    turned = [stream.response[:, ::-1].copy() for stream in (known, new)]
    contrast = fit_contrast(known.prompt, turned[0])
    own = contrast.fit_of(new.prompt, turned[1])
    assert abs((new.prompt * turned[1]).sum(axis=1).mean()) < 0.25
    assert own.mean() > 0.3


def singly(n: int) -> np.ndarray:
    """Return folds of n independent exchanges."""
    return folds(Arrivals.at(np.zeros(n)), FOLDS, seed=0)


def test_held_out_fits_are_those_of_new_exchanges():
    """The baseline's own fits have the mean of new ones: within three standard errors, over several draws."""
    z = []
    for seed in range(6):
        known, new = World().make(300, seed=2 * seed), World().make(2000, seed=2 * seed + 1)
        own = held_out_fit(known.prompt, known.response, singly(300))
        fresh = fit_contrast(known.prompt, known.response).fit_of(new.prompt, new.response)
        z.append((fresh.mean() - own.mean()) / (own.std() / np.sqrt(len(own))))
    assert abs(np.mean(z)) < 1.5
    assert max(map(abs, z)) < 3.5


def test_learning_twice_gives_the_same_map():
    """No chance is left in it."""
    known = World().make(300, seed=1)
    one, other = (fit_contrast(known.prompt, known.response) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert np.array_equal(*(held_out_fit(known.prompt, known.response, singly(300)) for _ in range(2)))


@pytest.mark.parametrize("n", [0, 95])
def test_too_few_teach_nothing(n: int):
    """Below 96 answers there is no map, and every fit is zero."""
    known = World().make(96, seed=1).take(range(n))
    contrast = fit_contrast(known.prompt, known.response)
    assert not contrast.learnt
    assert not contrast.fit_of(known.prompt, known.response).any()
    assert not held_out_fit(known.prompt, known.response, singly(n)).any()
    assert fit_contrast(*(World().make(96, seed=1)[1:3])).learnt


def test_wide_embeddings_are_brought_down_first():
    """Embeddings of more than 256 dimensions are learnt from in their leading axes."""
    known = World().make(200, seed=1)
    wide = [np.hstack([rows, np.zeros((200, 300), np.float32)]) for rows in (known.prompt, known.response)]
    contrast = fit_contrast(*wide)
    assert contrast.prompt.shape == (324, 16)
    narrow = fit_contrast(known.prompt, known.response)
    assert contrast.fit_of(*wide) == pytest.approx(narrow.fit_of(known.prompt, known.response), abs=1e-3)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_signal_falls_with_the_share_of_shuffled_answers(reference: Baseline, share: float):
    """Unshuffled answers stay where they were; shuffled ones take their share of the fit with them."""
    found = []
    for seed in range(3):
        buckets = fold(reference, shuffled(World(rate=0).make(400, seed=20 + seed), share)).values()
        found.append(measure(reference, next(iter(buckets)))["answer_fit"])
    lost = np.mean([1.0 - (s.window_mean or 0.0) / (s.baseline_mean or 1.0) for s in found])
    assert lost == pytest.approx(share, abs=0.12)
    if share:
        assert all(s.p_value is not None and s.p_value < 1e-3 and (s.effect or 0.0) < -0.2 for s in found)
    else:
        assert all(abs(s.effect or 0.0) < 0.2 for s in found)
