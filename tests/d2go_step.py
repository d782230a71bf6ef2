"""D2Go's training step of FBNetV3_A_dsmask in plain torch, from its SPEC.

It shares no code with the package: it reads D2Go's names, and takes anchors'
labels and regions as they were recorded.
"""

import math

import torch
import torch.nn.functional as F
from torchvision.ops import roi_align

MEAN = (103.53, 116.28, 123.675)
SIZES, RATIOS, STRIDE = (32, 64, 96, 128, 160), (0.5, 1, 2), 16
# (kernel, stride) of each block, by part
STAGES = [
    [(3, 2), (3, 1)],
    [(5, 2), (5, 1)],
    [(5, 2), (3, 1), (3, 1), (3, 1)],
    [(5, 2), (3, 1), (3, 1), (3, 1), (5, 1), (5, 1), (5, 1), (5, 1)],
]
TRUNK = 'backbone.body.trunk{0}.fbnetv2_{0}_{1}'
RPN, RPN_BLOCKS = 'proposal_generator.rpn_head', 3
BOX, BOX_STRIDES = 'roi_heads.box_head.roi_box_conv.0', (2, 1, 1, 1)


def losses(weights, record):
    """Return the four losses of the recorded batch of two images.

    Args:
        weights (dict): D2Go's state dict in float64; leaves of the graph.
        record (Mapping): Arrays of the recorded training step.
    """
    images = torch.stack([read(record, f'image{i}_chw_bgr') for i in (0, 1)])
    features = images - torch.tensor(MEAN).double()[:, None, None]
    for i, blocks in enumerate(STAGES):
        for j, (_, stride) in enumerate(blocks):
            name = TRUNK.format(i, j)
            features = (block if i + j else stem)(
                weights, name, features, stride
            )
    return rpn_losses(weights, record, features) | box_losses(
        weights, record, features
    )


def stem(weights, name, x, stride):
    bias = weights[f'{name}.conv.bias']
    x = F.conv2d(x, weights[f'{name}.conv.weight'], bias, stride, 1)
    return norm(weights, f'{name}.bn', x).relu()


def block(weights, name, x, stride):
    y = x
    if f'{name}.pw.conv.weight' in weights:
        y = F.conv2d(y, weights[f'{name}.pw.conv.weight'])
        y = norm(weights, f'{name}.pw.bn', y).relu()
    kernel = weights[f'{name}.dw.conv.weight']
    pad = kernel.shape[-1] // 2
    y = F.conv2d(y, kernel, None, stride, pad, groups=len(kernel))
    y = F.conv2d(y, weights[f'{name}.pwl.conv.weight'])
    y = norm(weights, f'{name}.pwl.bn', y)
    return x + y if x.shape == y.shape else y


def norm(weights, name, x):
    mean = x.mean((0, 2, 3), keepdim=True)
    var = (x - mean).square().mean((0, 2, 3), keepdim=True)
    gamma, beta = (
        weights[f'{name}.{leaf}'][:, None, None] for leaf in ('weight', 'bias')
    )
    return gamma * (x - mean) / (var + 1e-5).sqrt() + beta


def rpn_losses(weights, record, features):
    x = features
    for j in range(RPN_BLOCKS):
        x = block(weights, f'{RPN}.rpn_feature.0.fbnetv2_0_{j}', x, 1)
    logits, deltas = (
        F.conv2d(
            x,
            weights[f'{RPN}.rpn_regressor.{layer}.weight'],
            weights[f'{RPN}.rpn_regressor.{layer}.bias'],
        )
        for layer in ('cls_logits', 'bbox_pred')
    )
    boxes = anchors(*x.shape[2:])
    cls = loc = 0
    for i in (0, 1):
        labels = read(record, f'rpn_gt_labels{i}')
        matched = read(record, f'rpn_matched_gt_boxes{i}')
        scores = logits[i].permute(1, 2, 0).flatten()
        moves = deltas[i].unflatten(0, (-1, 4)).permute(2, 3, 0, 1)
        moves = moves.reshape(-1, 4)
        seen, found = labels >= 0, labels == 1
        cls = cls + F.binary_cross_entropy_with_logits(
            scores[seen], labels[seen], reduction='sum'
        )
        target = encode(boxes[found], matched[found])
        loc = loc + (moves[found] - target).abs().sum()
    return dict(loss_rpn_cls=cls / 512, loss_rpn_loc=loc / 512)


def anchors(height, width):
    shapes = torch.tensor(
        [
            [math.sqrt(size**2 / ratio), math.sqrt(size**2 * ratio)]
            for size in SIZES
            for ratio in RATIOS
        ]
    ).double()
    y, x = torch.meshgrid(
        torch.arange(height), torch.arange(width), indexing='ij'
    )
    centres = torch.stack([x, y], -1).double()[:, :, None] * STRIDE
    return torch.cat([centres - shapes / 2, centres + shapes / 2], -1).reshape(
        -1, 4
    )


def encode(boxes, targets, weights=(1, 1, 1, 1)):
    sizes, wanted = (b[:, 2:] - b[:, :2] for b in (boxes, targets))
    centres, aims = (
        b[:, :2] + (b[:, 2:] - b[:, :2]) / 2 for b in (boxes, targets)
    )
    codes = [(aims - centres) / sizes, (wanted / sizes).log()]
    return torch.cat(codes, 1) * torch.tensor(weights)


def box_losses(weights, record, features):
    boxes, classes, targets = (
        [read(record, f'sampled_{kind}{i}') for i in (0, 1)]
        for kind in ('boxes', 'classes', 'gt_boxes')
    )
    x = roi_align(features, boxes, 6, 1 / STRIDE, 0, True)
    for j, stride in enumerate(BOX_STRIDES):
        x = block(weights, f'{BOX}.fbnetv2_0_{j}', x, stride)
    x = x.mean((2, 3))
    scores, deltas = (
        F.linear(
            x,
            weights[f'roi_heads.box_predictor.{layer}.weight'],
            weights[f'roi_heads.box_predictor.{layer}.bias'],
        )
        for layer in ('cls_score', 'bbox_pred')
    )
    boxes, targets = torch.cat(boxes), torch.cat(targets)
    classes = torch.cat(classes).long()
    found = (classes < scores.shape[1] - 1).nonzero()[:, 0]
    moves = deltas.unflatten(1, (-1, 4))[found, classes[found]]
    target = encode(boxes[found], targets[found], (10, 10, 5, 5))
    return dict(
        loss_cls=F.cross_entropy(scores, classes),
        loss_box_reg=(moves - target).abs().sum() / len(classes),
    )


def read(record, name):
    return torch.from_numpy(record[name]).double()
