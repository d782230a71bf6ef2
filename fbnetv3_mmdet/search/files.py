"""The configs and work dirs of a search's trials."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .configs import ARCH, check_config, check_kept, write_config
from .records import Candidate, Request
from .rows import is_of_arch
from .space import Space
from .widths import fitting

FOLDER = 'trials'
SEED = 'randomness.seed'


class Files:
    """Names, writes and reads what a search has on disk of its trials.

    Args:
        folder: Of the search.
        cfg: The user's config.
        space: Of the candidates.
    """

    def __init__(self, folder: Path, cfg: Config, space: Space) -> None:
        self.folder, self._cfg, self._space = folder, cfg, space

    def work_dir(self, number: int) -> Path:
        """Return where a trial trains."""
        return self.folder / FOLDER / _name(number)

    def config(self, number: int) -> Path:
        """Return the path of a trial's config, that of a whole training."""
        return self.config_of(_name(number))

    def config_of(self, name: str) -> Path:
        """Return the path of a config among those of the trials."""
        return self.folder / FOLDER / f'{name}.py'

    def load(self, number: int) -> Config:
        """Return the config of a trial."""
        return check_config(self.config(number), _name(number))

    def write(self, requests: Iterable[Request]) -> None:
        """Write the configs of trials, and check them.

        Raises:
            SettingError: A check refuses one.
        """
        for number, candidate, seed, _ in requests:
            self.write_candidate(_name(number), candidate, {SEED: seed})

    def write_candidate(
        self,
        name: str,
        candidate: Candidate,
        more: Mapping[str, Any] | None = None,
    ) -> Config:
        """Write the config of a candidate; return it, checked.

        Args:
            name: Of the file among the trials.
            candidate: What to train.
            more: Further settings by dotted path.
        """
        path = self.config_of(name)
        said = self.describe(candidate)
        settings = {**self.settings(candidate), **(more or {})}
        write_config(path, self._cfg, settings, f'{name} of a search: {said}')
        cfg = check_config(path, said)
        check_kept(cfg, settings)
        return cfg

    def check_choices(self) -> None:
        """Check each value of the recipe, of a range its ends.

        Raises:
            SettingError: One is refused.
        """
        base = self._space.baseline
        for place, gene in enumerate(self._space.genes):
            if not is_of_arch(gene.name):
                for value in gene.choices or gene.bounds:
                    candidate = (*base[:place], value, *base[place + 1 :])
                    self.write_candidate('checked', candidate)
        self.config_of('checked').unlink(missing_ok=True)

    def settings(self, candidate: Candidate) -> dict[str, Any]:
        """Return what a candidate changes in the config, by dotted path.

        Layers whose shapes stay begin with the baseline's initial weights.
        """
        settings = self._space.settings(candidate)
        settings |= fitting(self._cfg.to_dict(), settings)
        weights = self._cfg.get('load_from') or ''
        arch = self._space.arch(candidate)
        if arch == self._space.arch(self._space.baseline):
            settings.pop(ARCH, None)
        elif weights.startswith('d2go://') and 'fit=part' not in weights:
            mark = '&' if '?' in weights else '?'
            settings['load_from'] = f'{weights}{mark}fit=part'
        return settings

    def describe(self, candidate: Candidate) -> str:
        """Return in words what a candidate changes."""
        for name, member in self._space.family.items():
            if member == candidate != self._space.baseline:
                return name
        said, arch = [], 0
        for name, (_, value) in self._space.describe(candidate).items():
            if is_of_arch(name):
                arch += 1
            else:
                said.append(f'{name}={value!r}')
        if arch:
            said.insert(0, f'{arch} choices of the architecture')
        return ', '.join(said) or 'nothing'


def _name(number: int) -> str:
    return f't{number:03d}'
