"""Birth: when prompts unlike any before are a topic that may be named.

Law of this file: a name is a claim, so it needs enough prompts, of more than one kind, from more than one sender or for
some time; until then what is new has a size and examples, and the reason why it has no name. Three prompts of one user
in a minute are an accident. The share of new prompts and its evidence are judged elsewhere (`novelty`, `edetector`): this
is about words alone.

Senders, wordings and hours are those of a sample (`reservoir`): it is uniform, so one sender who sends them all is seen
to, and a few who send hardly any of them are not counted. It is drawn of all far prompts, and a part of what is known
always lies far: that part is left out, or other people's usual prompts would vouch for a topic of one person.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.sketch.reservoir import Kept

# New prompts, distinct wordings and senders among those sampled; or hours between the first and the last of them.
FEWEST_PROMPTS, FEWEST_WORDINGS, FEWEST_SENDERS, FEWEST_HOURS = 30, 3, 3, 2


def likely_new(far: float, usual: float, sample: Sequence[Kept]) -> list[Kept]:
    """Return those of a sample of `far` prompts that are likely to be new, the most novel first.

    `usual`: how many far prompts so much traffic has without anything new.
    """
    share = max(0.0, 1.0 - usual / far) if far else 0.0
    return sorted(sample, key=lambda kept: -kept.novelty)[: int(share * len(sample))]


def unborn(new: float, sample: Sequence[Kept]) -> str:
    """Return why new prompts are no topic yet, or nothing where they are; `new` is about how many there are."""
    if new < FEWEST_PROMPTS or len(sample) < FEWEST_WORDINGS:
        return "too few yet to name a topic"
    if len({kept.prompt for kept in sample}) < FEWEST_WORDINGS:
        return "the same again, no topic"
    if _senders(sample) < FEWEST_SENDERS and _hours(sample) < FEWEST_HOURS:
        return f"not yet for {FEWEST_HOURS} hours or from several users"
    return ""


def _senders(sample: Sequence[Kept]) -> int:
    """Count users; an exchange without one stands for itself, as in `compare`."""
    return len({kept.user for kept in sample if kept.user}) + sum(not kept.user for kept in sample)


def _hours(sample: Sequence[Kept]) -> int:
    """Return the hours between the first and the last; exchanges without a time tell nothing."""
    known = [kept.hour for kept in sample if kept.hour]
    return max(known) - min(known) if known else 0
