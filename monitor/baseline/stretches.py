"""Which exchanges a baseline is learnt from when more come in its time than it is to be made of.

Law of this file: pure. What is kept or let go are stretches, so many exchanges in a row, because neighbours resemble
each other and a sample of single exchanges would hide how much (see `overdispersion`). Stretches are numbered in the
order they came and play a tournament of pairs, pairs of pairs and so on, decided by a hash; those that win longest are
kept. So however many there are by then, every part of the time has its share (a stratified sample, Cochran 1977), no
rhythm of the traffic can choose them, and whatever is let go once would not be kept later. The first always wins.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitor.sketch.reservoir import priority_of

# A stretch is this part of a baseline, and not longer than what dependence is measured over.
_STRETCHES, _LONGEST = 100, 100
_MOST_ROUNDS = 48


def stretch_length(size: int) -> int:
    """Return how many exchanges of a baseline of this size are kept or let go together."""
    return max(1, min(_LONGEST, size // _STRETCHES))


def kept_stretches(sizes: Mapping[int, int], wanted: int) -> set[int]:
    """Choose of numbered stretches, given what each holds, as few as hold the wanted number, evenly spread.

    The newest is always one of them, so that the time they cover is whole and its number says how many there were.
    """
    if not sizes:
        return set()
    newest = max(sizes)
    chosen, have = {newest}, sizes[newest]
    for number in sorted(sizes.keys() - chosen, key=_rank):
        if have >= wanted:
            break
        chosen.add(number)
        have += sizes[number]
    return chosen


def _rank(number: int) -> tuple[int, int]:
    """Return what stretches are kept by, the smallest first: the rounds won, and by chance among equals."""
    return -_rounds_won(number), priority_of(f"stretch {number}")


def _rounds_won(number: int) -> int:
    for lost in range(_MOST_ROUNDS):
        match = number >> (lost + 1)
        winner = priority_of(f"match {lost} {match}") & 1 if match else 0
        if (number >> lost) & 1 != winner:
            return lost
    return _MOST_ROUNDS
