"""The space of a search: genes, and the settings that they stand for.

Genes of the architecture follow the rows of the baseline; those of the recipe
are settings by dotted path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..archs import ARCHS, Arch, get_arch
from ..costs import REGIONS, Cost, costs, total
from .genes import Gene, recipe_gene
from .records import Candidate
from .rows import build, choices, is_of_arch, read_rows

PROPOSALS = 'model.test_cfg.rpn.max_per_img'


class Space(NamedTuple):
    """All candidates.

    Attributes:
        genes: In the order of a candidate's values.
        baseline: The user's config as a candidate.
        family: Members of the family of the same form, by name.
        form: The baseline's architecture, None where it is not searched.
        size: Height and width of the network's input in pixels.
        regions: Proposals of the baseline in use.
    """

    genes: tuple[Gene, ...]
    baseline: Candidate
    family: dict[str, Candidate]
    form: Arch | None
    size: tuple[int, int]
    regions: int = REGIONS

    def value(self, candidate: Candidate, name: str, default: Any) -> Any:
        """Return the value of a gene by its name."""
        names = [gene.name for gene in self.genes]
        return candidate[names.index(name)] if name in names else default

    def arch(self, candidate: Candidate) -> Arch | None:
        """Return the architecture of a candidate."""
        if self.form is None:
            return None
        values = {
            gene.name: value
            for gene, value in zip(self.genes, candidate, strict=True)
        }
        return build(self.form, values)

    def settings(self, candidate: Candidate) -> dict[str, Any]:
        """Return a candidate as settings by dotted path."""
        recipe = {
            gene.name: value
            for gene, value in zip(self.genes, candidate, strict=True)
            if not is_of_arch(gene.name)
        }
        arch = self.arch(candidate)
        return recipe | ({'model.arch': as_dict(arch)} if arch else {})

    def costs(self, candidate: Candidate) -> dict[str, Cost]:
        """Return parameters and MACs by part, of an architecture's blocks."""
        regions = self.value(candidate, PROPOSALS, self.regions)
        found = costs(self.arch(candidate), self.size, regions)
        return {part: found[part] for part in ('trunk', 'rpn', 'bbox')}

    def total(self, candidate: Candidate) -> Cost:
        """Return parameters and MACs of the detector's blocks."""
        return total(self.costs(candidate).values())

    def features(self, candidate: Candidate) -> list[float]:
        """Return a candidate as numbers, for a predictor."""
        pairs = zip(self.genes, candidate, strict=True)
        return [x for gene, value in pairs for x in gene.features(value)]

    def describe(self, candidate: Candidate) -> dict[str, tuple[Any, Any]]:
        """Return what differs from the baseline: (baseline's, candidate's)."""
        rows = zip(self.genes, self.baseline, candidate, strict=True)
        return {gene.name: (a, b) for gene, a, b in rows if a != b}


def make_space(
    arch: Any,
    recipe: Mapping[str, Any],
    baseline: Mapping[str, Any],
    size: Sequence[int],
    regions: int = REGIONS,
) -> Space:
    """Return the space around a user's config.

    Args:
        arch: The baseline's architecture; None: it is not searched.
        recipe: By dotted path a list of choices, ``dict(range=(low, high))``
            or ``dict(log=(low, high))``.
        baseline: The baseline's values at these paths.
        size: Height and width of the network's input in pixels.
        regions: Proposals of the baseline in use.

    Raises:
        ValueError: A range or a list is wrong.
    """
    form = None if arch is None else get_arch(arch)
    own = {} if form is None else read_rows(form)
    genes = [Gene(name, choices(name, value)) for name, value in own.items()]
    genes += [recipe_gene(path, value) for path, value in recipe.items()]
    values = own | {path: baseline[path] for path in recipe}
    start = tuple(values[gene.name] for gene in genes)
    family = {}
    for name, member in ARCHS.items() if form else ():
        found = read_rows(member)
        if found.keys() == own.keys():
            family[name] = (*found.values(), *start[len(own) :])
    return Space(tuple(genes), start, family, form, tuple(size), regions)


def as_dict(arch: Arch) -> dict[str, Any]:
    """Return an architecture as a config has it."""
    rows = {
        part: [tuple(row) for row in getattr(arch, part)]
        for part in ('rpn', 'bbox', 'mask', 'kpts')
        if getattr(arch, part)
    }
    trunk = [[tuple(row) for row in stage] for stage in arch.trunk]
    return dict(trunk=trunk, **rows)
