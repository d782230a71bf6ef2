"""channels_last memory format: the same training, but for rounding."""

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from test_configs import DEFAULT, build, total_loss

from fbnetv3_mmdet import ChannelsLastHook


class Run:
    """What the hook sees of a runner."""

    def __init__(self, model, optim_wrapper=None):
        self.model = model
        self.optim_wrapper = optim_wrapper


@pytest.mark.same_on_upstream
def test_loss_and_gradients_are_those_of_the_default_format():
    default = build(Config.fromfile(DEFAULT)).train().double()
    converted = copy.deepcopy(default)
    ChannelsLastHook().before_run(Run(converted))
    weight = converted.backbone.stage1[0].pw.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    seen = []
    hook = converted.backbone.stage3.register_forward_hook(
        lambda module, inputs, output: seen.append(output)
    )
    losses = []
    for model in (default, converted):
        torch.manual_seed(1)  # the samplers draw
        losses.append(total_loss(model, 80))
        losses[-1].backward()
    hook.remove()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(*losses, rtol=1e-9, atol=0)
    for (name, one), other in zip(
        default.named_parameters(), converted.parameters(), strict=True
    ):
        torch.testing.assert_close(
            one.grad, other.grad, rtol=1e-6, atol=1e-9, msg=name
        )


@pytest.mark.parametrize(
    ('wrapper', 'converted'), [(OptimWrapper, False), (AmpOptimWrapper, True)]
)
def test_an_accelerator_wants_it_in_half_precision_only(wrapper, converted):
    model = torch.nn.Conv2d(8, 8, 3, device='meta')  # not on the CPU
    run = Run(model, wrapper.__new__(wrapper))
    ChannelsLastHook().before_run(run)
    weight = model.weight
    assert converted == weight.is_contiguous(memory_format=torch.channels_last)
