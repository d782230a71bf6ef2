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
        interval (int): Update in every so many iterations, at least 1.
        device (torch.device, optional): Where to keep the average.

    Raises:
        ValueError: ``interval`` is out of range.

    Source: D2Go ``EMAUpdater`` at f4ac156.
    """

    def __init__(
        self,
        model: nn.Module,
        momentum: float = 0.0002,
        interval: int = 1,
        device: torch.device | None = None,
    ) -> None:
        if type(interval) is not int or interval < 1:
            raise ValueError(
                f'interval={interval!r} of D2GoEMAHook is not allowed; give '
                'an integer of at least 1'
            )
        super().__init__(
            model, momentum, interval, device=device, update_buffers=True
        )

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards ``model``."""
        if self.steps % self.interval == 0:
            self._update(model.state_dict())
        self.steps += 1

    def _update(self, state: dict[str, torch.Tensor]) -> None:
        averages = self.avg_parameters
        floats = [n for n, a in averages.items() if a.is_floating_point()]
        torch._foreach_lerp_(
            [averages[name] for name in floats],
            [state[name].to(averages[name]) for name in floats],
            self.momentum,
        )
        for name in averages.keys() - floats:
            average, value = averages[name], state[name].to(averages[name])
            average.copy_(
                average * (1 - self.momentum) + value * self.momentum
            )


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
