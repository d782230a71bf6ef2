"""Hooks registered in MMEngine's ``HOOKS``."""

import ctypes
import platform
import warnings

import torch
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.nn.parallel import DistributedDataParallel

from ..checkpoints import load_safely
from .faults.stopping import save_now
from .rehearsal import rehearse
from .settings import check_settings

# of glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4


# In the root registry: a config of any default scope finds it.
@HOOKS.register_module()
class CheckSettingsHook(Hook):
    """Stop before the first iteration where a setting is wrong.

    It logs a line for each kind of annotations that are left out, or not used
    as they are. Then it rehearses: one batch and one evaluation of two images,
    of which nothing is kept (see :mod:`.rehearsal`).

    ``tools/train.py`` and ``tools/test.py`` check before they build anything.
    This is for whatever else runs a config, MMDetection's own tools say; the
    model and the datasets are built by then, and may have failed first.

    Args:
        rehearse (bool): Whether to rehearse before a training.

    Raises:
        ValueError: As for :func:`.settings.check_settings` and
            :func:`.rehearsal.rehearse`.
    """

    priority = 'HIGHEST'

    def __init__(self, rehearse: bool = True) -> None:
        self.rehearse = rehearse

    def before_run(self, runner: Runner) -> None:
        """Let the run's checkpoints be read without running what they hold.

        They are read after this, whoever built the runner.
        """
        load_safely()

    def before_train(self, runner: Runner) -> None:
        """Check a training run."""
        _check(runner, 'train', 'val')
        if self.rehearse:
            rehearse(runner)

    def before_test(self, runner: Runner) -> None:
        """Check a test run."""
        _check(runner, 'test')


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep 4-D weights, and so all features, in channels_last memory format.

    The results are those of the default format but for rounding. A training
    step of FBNetV3 detectors takes about half the time on a CPU. Tensor cores
    want this format too; in float32 a GPU's depthwise convolutions do not, and
    the format stays what it is.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place, where it helps."""
        mixed = isinstance(runner.optim_wrapper, AmpOptimWrapper)
        if not mixed and not _on_cpu(runner):
            return
        runner.model.to(memory_format=torch.channels_last)
        if isinstance(runner.model, DistributedDataParallel):
            # It would exchange gradients in the format it found the weights
            # in, and mix up their numbers: wrap anew.
            settings = runner.cfg.get('model_wrapper_cfg')
            runner.model = runner.wrap_model(settings, runner.model.module)


@HOOKS.register_module()
class ReuseMemoryHook(Hook):
    """Keep freed memory for the next step of a training on the CPU.

    By default the C library returns every large tensor to the system, which
    clears its pages anew in each step: a third of the time of one with 512
    RoIs an image. Results are the same. It takes the C library of most Linux
    systems, glibc; elsewhere this does nothing.
    """

    def before_train(self, runner: Runner) -> None:
        """Set the C library up."""
        if _on_cpu(runner) and platform.libc_ver()[0] == 'glibc':
            libc = ctypes.CDLL(None)
            libc.mallopt(M_MMAP_MAX, 0)
            libc.mallopt(M_TRIM_THRESHOLD, -1)  # never


@HOOKS.register_module()
class PinnedMemoryHook(Hook):
    """Let configs set ``pin_memory`` of data loaders for GPUs.

    With it, and ``model.data_preprocessor.non_blocking``, a GPU copies a
    batch while it computes. Where none is, torch pins nothing, and would warn
    of each loader. A hook is made before MMEngine builds the loaders.
    """

    def __init__(self) -> None:
        warnings.filterwarnings('ignore', ".*'pin_memory' argument is set as")


@HOOKS.register_module()
class PauseHook(Hook):
    """End a training early, to be resumed later or not at all.

    Its schedule stays that of the whole: resumed, it ends as if it had never
    paused. A checkpoint is saved, an evaluation that is due is done, and the
    exit status is 0.

    Args:
        at (int): Iterations after which to pause.

    Raises:
        ValueError: ``at`` is out of range.
    """

    priority = 'LOWEST'  # the iteration is complete, and perhaps saved

    def __init__(self, at: int) -> None:
        if type(at) is not int or at < 1:
            raise ValueError(
                f'at={at!r} of PauseHook is not allowed; give a number of '
                'iterations, at least 1'
            )
        self.at = at

    def before_train(self, runner: Runner) -> None:
        """Do not go on where a resumed training is this far already."""
        if runner.iter >= self.at:
            runner.train_loop.stop_training = True

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Pause where it is time."""
        done = runner.iter + 1
        if done == self.at and done < runner.max_iters:
            save_now(runner, done, f'{runner.epoch}_iter_{done}')
            runner.train_loop.stop_training = True


def _check(runner: Runner, *splits: str) -> None:
    for line in check_settings(runner.cfg, splits):
        runner.logger.warning(line)


def _on_cpu(runner: Runner) -> bool:
    # an exported file in the place of a model has no parameters
    return all(p.device.type == 'cpu' for p in runner.model.parameters())
