"""The moving average of weights as D2Go keeps it."""

import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from mmengine.registry import HOOKS, MODELS
from mmengine.runner import Runner
from torch import nn


# In mmengine's root registries, beside what they extend.
@MODELS.register_module()
class D2GoEMA(ExponentialMovingAverage):
    """Average of all parameters and buffers, from the first update on.

    mmengine's own copies the model at the first update instead, and never
    updates integer buffers; here they follow, rounded down.

    Args:
        model (nn.Module): The model to average.
        momentum (float): Weight of the model in an update.
        device (torch.device, optional): Where to keep the average.

    Source: D2Go ``EMAUpdater`` at f4ac156.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float = 0.0002,
        device: torch.device | None = None,
    ) -> None:
        super().__init__(model, momentum, device=device, update_buffers=True)

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards ``model``."""
        for name, value in model.state_dict().items():
            average = self.avg_parameters[name]
            value = value.to(average.device)
            average.copy_(
                average * (1 - self.momentum) + value * self.momentum
            )
        self.steps += 1


@HOOKS.register_module()
class D2GoEMAHook(EMAHook):
    """``EMAHook`` whose average starts from the weights training starts with.

    mmengine builds the average before it initialises the weights, and fails
    where a checkpoint is a state dict and nothing else.

    Args:
        **kwargs: Settings of ``EMAHook``, and of :class:`D2GoEMA`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(D2GoEMA.__name__, **kwargs)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Load the average of a checkpoint, or else its weights."""
        if 'state_dict' not in checkpoint:
            checkpoint = {'state_dict': checkpoint}
        super().after_load_checkpoint(runner, checkpoint)

    def before_train(self, runner: Runner) -> None:
        """Copy the model, unless a run is resumed."""
        super().before_train(runner)
        if self.ema_model.steps == 0:
            self.ema_model.module.load_state_dict(self.src_model.state_dict())
