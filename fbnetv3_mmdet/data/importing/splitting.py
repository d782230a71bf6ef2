"""A val part: stratified by class, and no picture of train's in it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from .mending import Sample
from .pictures import group_alike
from .tree import Tree


def split(
    samples: Sequence[Sample], tree: Tree, share: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Return train and val; pictures that look alike are in one of them.

    The same seed gives the same parts.

    Args:
        samples: All pictures.
        tree: Where they are.
        share: Of pictures, and of objects of each class, that val gets.
        seed: Of the order in which groups of pictures are considered.

    Raises:
        ValueError: All pictures look alike.
    """
    files = [sample.file for sample in samples]
    groups = group_alike(tree, files)
    if len({*groups}) < 2:
        raise ValueError(
            f'all {len(samples)} pictures look alike, so that none can be '
            'kept apart for val; label pictures of other scenes, or put val '
            'pictures with their labels into a folder val/ of the source, '
            'and the others into train/'
        )
    members: dict[int, list[Sample]] = defaultdict(list)
    for number, sample in zip(groups, samples, strict=True):
        members[number].append(sample)
    counts = {number: _count(group) for number, group in members.items()}
    chosen = choose_groups(counts, share, seed)
    train = [
        s for n, s in zip(groups, samples, strict=True) if n not in chosen
    ]
    val = [s for n, s in zip(groups, samples, strict=True) if n in chosen]
    return train, val


def choose_groups(
    counts: dict[int, Counter], share: float, seed: int
) -> set[int]:
    """Return the groups of which val is made, at least one.

    They are looked at in a random order, those with the rarest classes
    first; each goes to val that brings its counts closer to their share.

    Args:
        counts: Of pictures and of objects by class, for each group.
        share: Of each count that val should have.
        seed: Of the order.
    """
    total = sum(counts.values(), Counter())
    order = sorted(counts)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda i: min(total[key] for key in counts[i]))
    have: Counter = Counter()

    def gain(number: int) -> float:
        rest = {k: share * total[k] - have[k] for k in counts[number]}
        return sum(
            (rest[key] ** 2 - (rest[key] - count) ** 2) / total[key] ** 2
            for key, count in counts[number].items()
        )

    chosen = set()
    for number in order:
        if gain(number) > 0:
            chosen.add(number)
            have += counts[number]
    return chosen or {max(order, key=gain)}


def _count(samples: Sequence[Sample]) -> Counter:
    """Count pictures, under '', and objects by class."""
    counts = Counter(o['name'] for sample in samples for o in sample.objects)
    counts[''] = len(samples)
    return counts
