"""A whole search, from a config to its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config

from ..cli import load_config
from ..errors import SettingError
from ..training.settings import check_settings
from .budget import check_disk, estimate
from .files import Files
from .jobs import stoppable
from .limits import Meter
from .loop import Search, make_runner
from .names import BEST, TABLE
from .options import Options, read_options
from .records import Request
from .report import Report
from .setup import identity, read_space
from .space import Space
from .state import State, locked


def search(
    config: str,
    work_dir: str | None,
    limit: Sequence[str],
    dry_run: bool,
    say: Callable[[str], None],
) -> None:
    """Run a search, or go on with it.

    Args:
        config: Path of a training config with a dict ``search``.
        work_dir: Of the search; None: that of the config, or else
            ``work_dirs/`` and its name.
        limit: Limits that replace the config's, as NAME=VALUE.
        dry_run: Whether to say only what it takes.
        say: Is given a line for the user.

    Raises:
        ValueError: A setting is wrong, or the search has to end; see
            :meth:`.loop.Search.run`.
    """
    cfg = load_config(config)
    check_settings(cfg, ('train', 'val'))
    if limit:
        cfg.search.limit = {**cfg.search.get('limit', {}), **_read(limit)}
    options = read_options(cfg.to_dict())
    space = read_space(cfg, options)
    default = Path('work_dirs', Path(config).stem)
    folder = Path(work_dir or cfg.get('work_dir') or default)
    if dry_run:
        for line in _estimate(cfg, options, space):
            say(line)
        return
    with locked(folder), stoppable():
        check_disk(cfg, options, folder)
        state = State(folder, identity(cfg, options, space))
        files = Files(folder, cfg, space)
        if not state.of('batch'):
            files.check_choices()
        meter = Meter(cfg, options, space, files, state)

        def conclude(options: Options) -> None:
            Report(cfg, options, space, files, state).write()

        Search(options, space, files, meter, state, say, conclude).run()
        say(f'results: {folder / TABLE}, {folder / BEST}')


def _estimate(cfg: Config, options: Options, space: Space) -> list[str]:
    with TemporaryDirectory() as folder, make_runner(options.cluster) as run:
        files = Files(Path(folder), cfg, space)
        files.write([Request(0, space.baseline, 0, 0)])
        return list(estimate(cfg, options, files, run))


def _read(limit: Sequence[str]) -> dict[str, float | str]:
    """Return limits from a command line."""
    found: dict[str, float | str] = {}
    for text in limit:
        name, _, value = text.partition('=')
        try:
            found[name] = value if value.endswith('%') else float(value)
        except ValueError:
            raise SettingError(
                f'--limit {text!r} is no NAME=VALUE; write for example '
                '--limit latency=6'
            ) from None
    return found
