"""Resumes a run such that its result is that of an uninterrupted one.

Of a run's state, MMEngine restores weights, optimizer, schedules and logs. It
does not restore random numbers, some of which other processes draw. Here they
are no state: those of an iteration follow from the seed, the process's rank
and the iteration's number.
"""

from __future__ import annotations

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner

from .loading import begin_at_iteration, number_batches, seed_all

_SEED = 'data_seed'  # in a checkpoint's meta


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Make a resumed run equal to one that was never interrupted.

    On CPU, and wherever PyTorch is deterministic, weights and logged values
    are then equal bit for bit, whatever number of workers loads the data:

    - the seed is that of the interrupted run, also where none is set;
    - data go on where they stopped, none being loaded to get there;
    - random numbers are drawn anew for each batch and each iteration;
    - an evaluation that was due at the checkpoint is done (again).

    What else has a state is not restored: caches of a pipeline, such as
    ``CachedMosaic``'s, and samplers that are neither seeded by a ``seed`` nor
    restarted by their ``__iter__``.
    """

    priority = 'LOWEST'  # before_train: when all others are ready

    def __init__(self) -> None:
        self._seed: int | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take over the seed of the run that is resumed.

        Raises:
            ValueError: The checkpoint is of no run.
        """
        if runner._resume:
            meta = checkpoint.get('meta', {})
            if 'iter' not in meta:
                raise ValueError(
                    f'resume=True with load_from={runner._load_from!r}: the '
                    'file has weights, and no state of a training that could '
                    'go on; leave resume out to begin with its weights'
                )
            self._seed = meta.get(_SEED, meta.get('seed'))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the seed."""
        checkpoint['meta'][_SEED] = self._seed

    def before_train(self, runner: Runner) -> None:
        """Bring the data to where the run is, and evaluate where due."""
        loop = runner.train_loop
        loader = loop.dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', None)
        if self._seed is None:
            self._seed = getattr(sampler, 'seed', runner.seed)
        if sampler is not None:
            number_batches(loader, loop, self._seed)
        if isinstance(loop, IterBasedTrainLoop):
            begin_at_iteration(loop)
        if loop.iter and _evaluation_is_due(loop):
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Seed what the model and its samplers draw."""
        seed_all(self._seed, get_rank(), runner.iter, 0)


def _evaluation_is_due(loop: BaseLoop) -> bool:
    """Whether the loop would have evaluated after its last step."""
    if loop.runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    done, last = loop.iter, loop.max_iters
    if not isinstance(loop, IterBasedTrainLoop):
        if done != loop.epoch * len(loop.dataloader):
            return False
        done, last = loop.epoch, loop.max_epochs
    return done >= loop.val_begin and (
        done % loop.val_interval == 0 or done == last
    )
