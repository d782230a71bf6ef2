"""Hooks registered in MMEngine's ``HOOKS``."""

import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from .settings import check_settings


# In the root registry: a config of any default scope finds it.
@HOOKS.register_module()
class CheckSettingsHook(Hook):
    """Stop before the first iteration where a setting is wrong.

    ``tools/train.py`` and ``tools/test.py`` check before they build anything.
    This is for whatever else runs a config, MMDetection's own tools say; the
    model and the datasets are built by then, and may have failed first.

    Raises:
        ValueError: As for :func:`fbnetv3_mmdet.settings.check_settings`.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Runner) -> None:
        """Check a training run."""
        check_settings(runner.cfg, ('train', 'val'))

    def before_test(self, runner: Runner) -> None:
        """Check a test run."""
        check_settings(runner.cfg, ('test',))


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep 4-D weights, and so all features, in channels_last memory format.

    The results are those of the default format but for rounding. On CPU a
    training step of FBNetV3 detectors takes about half the time.
    """

    def before_run(self, runner: Runner) -> None:
        """Convert the model in place."""
        runner.model.to(memory_format=torch.channels_last)
