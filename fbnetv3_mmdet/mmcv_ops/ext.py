"""The ops of ``mmcv._ext`` by torchvision and torch, on CPU and CUDA.

:func:`fbnetv3_mmdet.mmcv_ops.register_ops` puts this module where mmcv has its
compiled extension. ``mmcv/ops/*.py`` dictates names and arguments and, for
most ops, passes the tensors to be filled. Half precision is computed in
float32.

Source: ``mmcv/ops/csrc`` of mmcv 2.1.0 (Apache-2.0) for the semantics.
"""

import functools
from collections.abc import Callable
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from .deform import (  # noqa: F401  mmcv asks this module for them
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
)


def __getattr__(name: str) -> Callable:
    """Answer every op's name, for mmcv asks for all when it is imported."""
    if name.startswith('_'):
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return functools.partial(_refuse, name)


def _refuse(op: str, /, *args, **kwargs) -> NoReturn:
    raise RuntimeError(
        f"mmcv's {op} needs its compiled ops, for which fbnetv3_mmdet stands "
        f'in with a few only; install an mmcv compiled for torch '
        f'{torch.__version__}'
    )


def get_compiler_version() -> str:
    """Return what ``mmcv.utils.collect_env`` reports as the compiler."""
    return f'none ({__name__})'


def get_compiling_cuda_version() -> str:
    """Return what ``mmcv.utils.collect_env`` reports as compiler for CUDA."""
    return get_compiler_version()


def _float(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _overlaps(boxes1: Tensor, boxes2: Tensor, offset: int = 0) -> Tensor:
    """Return the intersection over union of boxes."""
    low = torch.maximum(boxes1[..., :2], boxes2[..., :2])
    high = torch.minimum(boxes1[..., 2:], boxes2[..., 2:])
    common = (high - low + offset).clamp(min=0).prod(-1)
    area1, area2 = (
        (boxes[..., 2:] - boxes[..., :2] + offset).prod(-1)
        for boxes in (boxes1, boxes2)
    )
    return common / (area1 + area2 - common)


def nms(
    boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int
) -> Tensor:
    """Return the indices of the boxes kept, best score first.

    A side of a box is ``x2 - x1 + offset`` long. The threshold is rounded to
    float32 as in mmcv, where an overlap of 0.6 does not exceed 0.6.
    """
    boxes = boxes.float()
    boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), 1)
    threshold = torch.tensor(iou_threshold, dtype=torch.float32).item()
    import torchvision  # here: it takes long, see `load_kernels`

    return torchvision.ops.nms(boxes, scores.float(), threshold)


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Return the index of every box kept, before those it suppresses."""
    groups = []
    rest = dets[:, 4].argsort(descending=True, stable=True)
    while len(rest):
        boxes = dets[rest, :4]
        hit = _overlaps(boxes[:1], boxes) >= iou_threshold
        hit[0] = True  # the box itself, also when it is empty
        groups.append(rest[hit].tolist())
        rest = rest[~hit]
    return groups


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Return the indices of the boxes kept; fill ``dets`` (N, 5) with them.

    Method 0 is naive, 1 linear, 2 gaussian. Among boxes of equal score the
    order is that of the input, which is not always mmcv's.
    """
    scores, keep = scores.clone(), []
    rest = torch.arange(len(boxes))
    while len(rest):
        best = scores[rest].argmax()
        keep.append(rest[best])
        rest = torch.cat((rest[:best], rest[best + 1 :]))
        iou = _overlaps(boxes[keep[-1]], boxes[rest], offset)
        iou = iou.nan_to_num()  # two boxes without area: 0 / 0
        if method == 2:
            weight = torch.exp(-(iou**2) / sigma)
        else:
            weight = torch.where(iou < iou_threshold, 1, method * (1 - iou))
        scores[rest] *= weight
        rest = rest[scores[rest] >= min_score]
    keep = torch.stack(keep) if keep else rest
    dets[: len(keep)] = torch.cat((boxes[keep], scores[keep, None]), 1)
    return keep


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    pool_mode: int,
    **settings,
) -> None:
    """Fill ``output`` (R, C, height, width)."""
    _require_avg(pool_mode)
    output.copy_(_roi_align(input, rois, **settings))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    pool_mode: int,
    **settings,
) -> None:
    """Fill ``grad_input`` (N, C, H, W)."""
    _require_avg(pool_mode)
    # torchvision's own backward is private; RoIAlign is linear in its input,
    # so the gradient at zero is the gradient everywhere
    _, grad = torch.autograd.functional.vjp(
        functools.partial(_roi_align, rois=rois, **settings),
        torch.zeros_like(_float(grad_input)),
        _float(grad_output),
    )
    grad_input.copy_(grad)


def _require_avg(pool_mode: int) -> None:
    if pool_mode == 0:
        _refuse("roi_align with pool_mode='max'")


def _roi_align(
    input: Tensor,
    rois: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    import torchvision

    input = _float(input)
    size = (aligned_height, aligned_width)
    return torchvision.ops.roi_align(
        input, rois.to(input), size, spatial_scale, sampling_ratio, aligned
    )


def _focal_parts(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return is-the-class, P(right), P(wrong) and the scale, all (N, C)."""
    p = _float(input).sigmoid()
    hit = target[:, None] == torch.arange(input.size(1), device=input.device)
    scale = torch.full_like(p, 1 - alpha).masked_fill(hit, alpha)
    if len(weight):  # one a class; background, target C, weighs 1
        scale *= F.pad(weight, (0, 1), value=1)[target, None]
    return hit, torch.where(hit, p, 1 - p), torch.where(hit, 1 - p, p), scale


def _log(x: Tensor) -> Tensor:
    """Return the logarithm, finite at 0 as in mmcv."""
    return x.clamp(min=torch.finfo(torch.float32).tiny).log()


def sigmoid_focal_loss_forward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``output`` (N, C) for logits (N, C) and classes (N,)."""
    _, right, wrong, scale = _focal_parts(input, target, weight, alpha)
    output.copy_(-scale * wrong**gamma * _log(right))


def sigmoid_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill ``grad_input`` (N, C) with the loss's derivative by the logits."""
    hit, right, wrong, scale = _focal_parts(input, target, weight, alpha)
    slope = scale * wrong**gamma * (wrong - gamma * right * _log(right))
    grad_input.copy_(torch.where(hit, -slope, slope))
