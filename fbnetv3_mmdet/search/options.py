"""What a config's ``search`` says: limits, budget, space, machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..errors import SettingError
from ..kinds import is_number
from ..training.settings.keys import refuse_unknown

LIMITS = ('latency', 'macs', 'params')
ENGINES = ('onnxruntime', 'openvino', 'torch')
METRIC = 'coco/bbox_mAP'
# Named, for an error; the values are checked where they are read.
_KEYS = ('limit', 'cluster', 'space')


class Cluster(NamedTuple):
    """What a trial runs on.

    Attributes:
        address: Of a Ray cluster, 'auto' for the one of this machine; None:
            this machine alone.
        cpus: Cores of a trial.
        gpus: GPUs of a trial; 0.5 for two trials on one.
    """

    address: str | None = None
    cpus: int = 1
    gpus: float = 0


class Options(NamedTuple):
    """What a search is to do.

    Attributes:
        length: Iterations of a whole training.
        limit: Highest costs by name: ``latency`` in ms, ``macs``, ``params``;
            in a config also as '80%' of the baseline's.
        trials: Candidates to train, the baseline included; finalists' further
            seeds come on top.
        hours: When no further candidates are begun, such that the finalists
            end in time; None: never.
        finalists: Candidates that are trained with several seeds.
        seeds: Trainings of each of them.
        batch: Trials that are chosen at a time.
        seed: Of the search itself.
        metric: Logged value that the search raises, from 0 to 1.
        engine: What latency is measured with.
        threads: Of the engine.
        command: Of the user's, which gets an exported file and prints
            milliseconds; None: latency is measured here.
        cluster: What a trial runs on.
        space: ``arch``, None not to search it; ``recipe``, as
            :func:`.space.make_space` takes it, None for the usual settings.
    """

    length: int
    limit: Mapping[str, float] = {}
    trials: int = 48
    hours: float | None = None
    finalists: int = 3
    seeds: int = 3
    batch: int = 4
    seed: int = 0
    metric: str = METRIC
    engine: str = 'onnxruntime'
    threads: int = 1
    command: str | None = None
    cluster: Cluster = Cluster()
    space: Mapping[str, Any] = {}

    @property
    def rungs(self) -> tuple[int, ...]:
        """Iterations at which a training is evaluated, the whole last."""
        sixth = max(1, self.length // 6)
        rungs = (2 * sixth, 3 * sixth, 4 * sixth, self.length)
        return tuple(sorted({min(rung, self.length) for rung in rungs}))


def read_options(cfg: Mapping[str, Any]) -> Options:
    """Return the options of a config, checked.

    Args:
        cfg: A training config whose ``search`` is a dict.

    Raises:
        SettingError: There is no ``search``, or a value of it is wrong.
    """
    given = cfg.get('search')
    if not isinstance(given, Mapping):
        raise SettingError(
            f'search={given!r} must be a dict; inherit your training config '
            'and add for example search=dict(limit=dict(latency=8.0), '
            'trials=48)'
        )
    known = [name for name in Options._fields if name != 'length']
    refuse_unknown('search', given, known, 'a search')
    length = (cfg.get('train_cfg') or {}).get('max_iters')
    if not _is_count(length, 6):
        raise SettingError(
            f'train_cfg.max_iters={length!r} must be a number of iterations, '
            'at least 6: a search stops trainings between two of them; give '
            'the length of the training in iterations, not in epochs'
        )
    parts = {name: _part(given, name) for name in _KEYS if name in given}
    _check_limit(parts.get('limit', {}))
    refuse_unknown(
        'search.space', parts.get('space', {}), ('arch', 'recipe'), 'a space'
    )
    refuse_unknown(
        'search.cluster', parts.get('cluster', {}), Cluster._fields, 'trials'
    )
    parts['cluster'] = Cluster(**parts.get('cluster', {}))
    options = Options(length, **{**given, **parts})
    _check(options)
    return options


def _part(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given[name]
    if not isinstance(value, Mapping):
        raise SettingError(f'search.{name}={value!r} must be a dict')
    return dict(value)


def _check_limit(limit: Mapping[str, Any]) -> None:
    refuse_unknown('search.limit', limit, LIMITS, 'a limit')
    for name, value in limit.items():
        share = share_of(value)
        number = value if share is None else share
        if not is_number(number) or not number > 0:
            raise SettingError(
                f'search.limit.{name}={value!r} must be a number above 0, '
                'milliseconds of latency or a count of macs or params, or a '
                "share of the baseline's such as '80%'"
            )


def share_of(value: Any) -> float | None:
    """Return a percentage as a share of 1, None for anything else."""
    if isinstance(value, str) and value.endswith('%'):
        try:
            return float(value[:-1]) / 100
        except ValueError:
            return None
    return None


def _check(options: Options) -> None:
    """Check what is a plain value."""
    cluster, hours = options.cluster, options.hours
    rules = {
        'trials': (_is_count(options.trials, 2), 'an integer from 2'),
        'hours': (
            hours is None or is_number(hours) and hours > 0,
            'a number above 0, or None',
        ),
        'finalists': (_is_count(options.finalists, 1), 'an integer from 1'),
        'seeds': (_is_count(options.seeds, 1), 'an integer from 1'),
        'batch': (_is_count(options.batch, 1), 'an integer from 1'),
        'seed': (_is_count(options.seed, 0), 'an integer from 0'),
        'metric': (isinstance(options.metric, str), f'such as {METRIC!r}'),
        'engine': (options.engine in ENGINES, f'one of {[*ENGINES]}'),
        'threads': (_is_count(options.threads, 1), 'an integer from 1'),
        'command': (
            options.command is None or isinstance(options.command, str),
            'a command line in quotation marks, or None',
        ),
        'cluster.address': (
            cluster.address is None or isinstance(cluster.address, str),
            "an address, 'auto' or None",
        ),
        'cluster.cpus': (_is_count(cluster.cpus, 1), 'an integer from 1'),
        'cluster.gpus': (
            is_number(cluster.gpus) and cluster.gpus >= 0,
            'a number from 0',
        ),
    }
    for name, (good, allowed) in rules.items():
        if not good:
            value = options
            for key in name.split('.'):
                value = getattr(value, key)
            raise SettingError(f'search.{name}={value!r} must be {allowed}')


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least
