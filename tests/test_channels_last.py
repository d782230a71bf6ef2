"""channels_last memory format: the same training, but for rounding."""

import copy

import torch
from mmengine.config import Config
from test_configs import DEFAULT, build, total_loss

from fbnetv3_mmdet import ChannelsLastHook


class Run:
    """What the hook sees of a runner."""

    def __init__(self, model):
        self.model = model


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
