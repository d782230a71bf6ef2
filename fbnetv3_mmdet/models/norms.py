"""The one place that knows norm types: NaiveSyncBN, checks, freezing."""

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real

import torch
import torch.distributed as dist
from mmengine.dist import get_world_size
from mmengine.registry import MODELS
from mmengine.utils.dl_utils.parrots_wrapper import SyncBatchNorm
from torch import nn
from torch.fx import Proxy
from torch.nn.modules.batchnorm import _BatchNorm

NORM_TYPES = ('BN', 'SyncBN', 'NaiveSyncBN', 'GN')
BN = dict(type='BN')  # what modules take where nothing is said; never changed


class _SumOverWorkers(torch.autograd.Function):
    """Sum of a tensor over all workers, and of its gradient likewise."""

    @staticmethod
    def forward(ctx, tensor: torch.Tensor) -> torch.Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, grad: torch.Tensor) -> torch.Tensor:
        # every worker's output depends on every worker's input
        return _SumOverWorkers.apply(grad)


# In mmengine's root registry, beside mmcv's norms: every scope finds it.
@MODELS.register_module()
class NaiveSyncBN(nn.BatchNorm2d):
    """Batch norm over all workers, as D2Go trains its detectors.

    In eval mode, or with one worker, it is ``nn.BatchNorm2d``. Training with
    several workers differs from that and from ``SyncBN``: each worker's mean
    and mean square are averaged whatever its number of pixels,
    ``running_var`` takes the biased variance, and ``num_batches_tracked``
    stays. float16 is computed in float32 and cast back; bfloat16 is not. The
    state dict has the keys of ``nn.BatchNorm2d``. A worker with an empty
    batch, as a mask head has without objects, leaves the statistics to the
    others.

    Args:
        num_features (int): Channels C.
        eps (float): Added to the variance.
        momentum (float): Weight of a new batch in the running statistics.
        stats_mode (str): '' weighs all workers equally that have images;
            'N' weighs a worker by its number of images.

    Shape:
        Input and output (N, C, H, W); N, H, W may differ between workers.

    Raises:
        ValueError: ``stats_mode`` is neither '' nor 'N', or ``momentum`` no
            number from 0 to 1.

    Source: detectron2 ``NaiveSyncBatchNorm``, which D2Go's block library
    repeats. Theirs refuses an empty batch where ``stats_mode`` is ''.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        stats_mode: str = '',
    ) -> None:
        if stats_mode not in ('', 'N'):
            raise ValueError(
                f"stats_mode={stats_mode!r} of NaiveSyncBN must be '' (all "
                "workers weigh the same) or 'N' (a worker weighs as many "
                "images as it has); leave it out for '', the default"
            )
        # None, a plain average in nn.BatchNorm2d, is none over workers
        if not isinstance(momentum, Real) or not 0 <= momentum <= 1:
            raise ValueError(
                f'momentum={momentum!r} of NaiveSyncBN, the weight of a new '
                'batch in the running statistics, must be a number from 0 to '
                '1; leave it out for 0.1, the default'
            )
        super().__init__(num_features, eps, momentum)
        self.stats_mode = stats_mode

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise ``input`` (N, C, H, W)."""
        if isinstance(input, Proxy):
            # torch.fx calls this layer, as it does torch's own norms: what it
            # would trace is the mode and the number of workers of the moment
            tracer = input.tracer
            path = tracer.path_of_module(self)
            return tracer.create_proxy('call_module', path, (input,), {})
        if not self.training or get_world_size() == 1:
            return super().forward(input)
        half = input.dtype == torch.float16
        x = input.float() if half else input
        mean, mean_square, momentum = self._batch_stats(x)
        var = mean_square - mean * mean
        with torch.no_grad():
            self.running_mean += momentum * (mean - self.running_mean)
            self.running_var += momentum * (var - self.running_var)
        scale = self.weight * torch.rsqrt(var + self.eps)
        shift = self.bias - mean * scale
        out = x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)
        return out.half() if half else out

    def _batch_stats(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return mean (C,), mean square (C,) over workers, and momentum."""
        weight = len(x) if self.stats_mode == 'N' else min(len(x), 1)
        if weight == 0:
            # The sum, 0, ties the statistics to x: without it this worker
            # would sit out the backward collective and the others would hang.
            stats = x.new_zeros(2 * self.num_features + 1) + x.sum()
        else:
            stats = weight * torch.cat([_moments(x), x.new_ones(1)])
        stats = _SumOverWorkers.apply(stats)
        total = stats[-1].detach()
        mean, mean_square = (stats[:-1] / total.clamp(min=1)).chunk(2)
        # no image on any worker: no update
        some = (total > 0).to(self.running_mean)
        return mean, mean_square, self.momentum * some


def _moments(x: torch.Tensor) -> torch.Tensor:
    """Return channel means, then channel mean squares, (2C,)."""
    return torch.cat([x.mean([0, 2, 3]), (x * x).mean([0, 2, 3])])


_NORM_CLASSES = (
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    SyncBatchNorm,
    NaiveSyncBN,
    nn.GroupNorm,
)


def check_norm_cfg(norm_cfg: dict, channels: int) -> None:
    """Check that ``norm_cfg`` can normalise a layer.

    Args:
        norm_cfg (dict): Config whose ``type`` is one of ``NORM_TYPES`` or
            the class itself.
        channels (int): Channels of the layer.

    Raises:
        ValueError: The type is missing or unknown; ``num_groups`` of GN is
            missing or does not divide ``channels``.
    """
    kind = norm_cfg.get('type') if isinstance(norm_cfg, dict) else None
    if kind not in NORM_TYPES + _NORM_CLASSES:
        raise ValueError(
            f'norm_cfg={norm_cfg!r} has no known type; choose one of '
            f"{NORM_TYPES}, as in norm_cfg=dict(type='BN')"
        )
    if kind not in ('GN', nn.GroupNorm):
        return
    groups = norm_cfg.get('num_groups')
    remedy = 'num_groups=8 divides every width of the FBNetV3 family'
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(
            f'norm_cfg={norm_cfg!r} needs num_groups, a positive integer '
            f'that divides the {channels} channels of the layer; {remedy}'
        )
    if channels % groups:
        raise ValueError(
            f'norm_cfg={norm_cfg!r}: the {channels} channels of a layer do '
            f'not split into num_groups={groups} equal groups; {remedy}'
        )


def set_norm_eval(module: nn.Module) -> None:
    """Freeze running statistics (all kinds of BN); GN keeps none."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


@contextmanager
def fixed_statistics(module: nn.Module) -> Iterator[None]:
    """Leave running statistics as they are, whatever is normalised inside.

    A layer in training mode still normalises by its batch: outputs and
    gradients are the same.
    """
    layers = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [layer._buffers for layer in layers]
    for layer, buffers in zip(layers, kept, strict=True):
        layer._buffers = {
            name: value if value is None else value.clone()
            for name, value in buffers.items()
        }
    try:
        yield
    finally:
        for layer, buffers in zip(layers, kept, strict=True):
            layer._buffers = buffers


def freeze(module: nn.Module) -> None:
    """Freeze parameters and running statistics, until ``train()`` is called.

    Args:
        module (nn.Module): Put in eval mode; no parameter of it requires a
            gradient afterwards.
    """
    module.eval()
    module.requires_grad_(False)
