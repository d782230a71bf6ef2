"""Names of tensors: D2Go's, timm's and ours; no torch here.

``RULES`` of D2Go's modules serve both ways. Sources: the keys of D2Go's state
dicts at f4ac156, and of timm's at 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Value = TypeVar('Value')
Rules = tuple[tuple[str, str], ...]

# D2Go's module and ours, {i} a stage and {j} a block of it.
_TRUNK = 'backbone.stage{i}.{j}'
_C4_TRUNK = (('backbone.body.trunk{i}.fbnetv2_{i}_{j}', _TRUNK),)
_FPN_TRUNK = (('backbone.bottom_up.trunk{i}.fbnetv2_{i}_{j}', _TRUNK),)
_HEADS = (
    (
        'proposal_generator.rpn_head.rpn_feature.0.fbnetv2_0_{j}',
        'rpn_head.rpn_conv.{j}',
    ),
    (
        'roi_heads.box_head.roi_box_conv.0.fbnetv2_0_{j}',
        'roi_head.shared_head.blocks.{j}',
    ),
    (
        'roi_heads.mask_head.feature_extractor.0.fbnetv2_0_{j}',
        'roi_head.mask_head.blocks.{j}',
    ),
)
# What such a block consists of.
_LAYERS = (
    ('conv', 'conv'),
    ('bn', 'bn'),
    ('pw.conv', 'pw.conv'),
    ('pw.bn', 'pw.bn'),
    ('dw.conv', 'dw.conv'),
    ('se.se.0.conv', 'se.reduce.conv'),
    ('se.se.1', 'se.expand'),
    ('pwl.conv', 'pwl.conv'),
    ('pwl.bn', 'pwl.bn'),
)
_PREDICTORS = (
    (
        'proposal_generator.rpn_head.rpn_regressor.cls_logits',
        'rpn_head.rpn_cls',
    ),
    (
        'proposal_generator.rpn_head.rpn_regressor.bbox_pred',
        'rpn_head.rpn_reg',
    ),
    ('roi_heads.box_predictor.cls_score', 'roi_head.bbox_head.fc_cls'),
    ('roi_heads.box_predictor.bbox_pred', 'roi_head.bbox_head.fc_reg'),
    (
        'roi_heads.mask_head.predictor.mask_fcn_logits',
        'roi_head.mask_head.conv_logits',
    ),
)
_FPN = tuple(
    (
        f'backbone.fpn_{theirs}{level}{norm}',
        f'neck.{ours}_convs.{level - 2}.{layer}',
    )
    for theirs, ours in (('lateral', 'lateral'), ('output', 'fpn'))
    for level in (2, 3, 4, 5)  # of stride 2 ** level
    for norm, layer in (('', 'conv'), ('.norm', 'bn'))
)


def _rules(trunk: Rules, *others: Rules) -> Rules:
    blocks = tuple(
        (f'{theirs}.{layer}', f'{ours}.{our_layer}')
        for theirs, ours in trunk + _HEADS
        for layer, our_layer in _LAYERS
    )
    return sum(others, blocks + _PREDICTORS)


C4_RULES = _rules(_C4_TRUNK)
FPN_RULES = _rules(_FPN_TRUNK, _FPN)
LEAF = r'\.(weight|bias|running_mean|running_var|num_batches_tracked)'
# What a file of D2Go may hold beside: buffers that its newer versions leave
# out, and a head for keypoints.
EXTRAS = (
    r'pixel_(mean|std)|proposal_generator\.anchor_generator\.cell_anchors\.\d+'
    r'|roi_heads\.keypoint_head\..+'
)


def is_extra(name: str) -> bool:
    """Whether a tensor of D2Go's has no counterpart in MMDetection."""
    return re.fullmatch(EXTRAS, name) is not None


def from_d2go(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return the tensors of a D2Go state dict under our names.

    Those that have no counterpart (see :func:`is_extra`) keep their names.

    Raises:
        ValueError: A name is not one of D2Go's FBNetV3 detectors.
    """
    extras = {name: name for name in state if is_extra(name)}
    names = _translate(state.keys() - extras, C4_RULES + FPN_RULES, 'D2Go')
    names |= extras
    return {names[name]: value for name, value in state.items()}


def to_d2go(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return the tensors of one of our detectors under D2Go's names.

    Raises:
        ValueError: D2Go has no tensor of that name.
    """
    has_neck = any(name.startswith('neck.') for name in state)
    rules = FPN_RULES if has_neck else C4_RULES
    swapped = tuple((ours, theirs) for theirs, ours in rules)
    names = _translate(state, swapped, 'MMDetection')
    return {names[name]: value for name, value in state.items()}


def _translate(
    names: Iterable[str], rules: Rules, source: str
) -> dict[str, str]:
    """Return the new name by the old one."""
    patterns = [(_pattern(old), new) for old, new in rules]
    renamed = {}
    for name in names:
        for pattern, new in patterns:
            match = pattern.fullmatch(name)
            if match:
                module = new.format(**match.groupdict())
                renamed[name] = f'{module}.{match[match.lastindex]}'
                break
    unknown = sorted(set(names) - renamed.keys())
    if unknown:
        raise ValueError(
            f'{len(unknown)} tensors are not of an FBNetV3 detector of '
            f'{source}: {", ".join(unknown[:20])}; give a checkpoint of one, '
            'or add a rule to fbnetv3_mmdet/checkpoints/names.py'
        )
    return renamed


def _pattern(module: str) -> re.Pattern[str]:
    """Return what matches the names of a module's tensors."""
    pattern = re.escape(module)
    for field in ('i', 'j'):
        place = re.escape(f'{{{field}}}')
        pattern = pattern.replace(place, rf'(?P<{field}>\d+)', 1)
        pattern = pattern.replace(place, f'(?P={field})')
    return re.compile(pattern + LEAF)


# timm's layers and ours, in the blocks without expansion of its stage 0, in
# the inverted residuals, and in the convolution that ends its trunk.
_TIMM_SEPARABLE = dict(
    conv_dw='dw.conv', bn1='dw.bn', conv_pw='pwl.conv', bn2='pwl.bn'
)
_TIMM_RESIDUAL = {
    'conv_pw': 'pw.conv',
    'bn1': 'pw.bn',
    'conv_dw': 'dw.conv',
    'bn2': 'dw.bn',
    'se.conv_reduce': 'se.reduce.conv',
    'se.conv_expand': 'se.expand',
    'conv_pwl': 'pwl.conv',
    'bn3': 'pwl.bn',
}
_TIMM_CONV = dict(conv='conv', bn1='bn')
# By timm's stage: ours, and the layers of its blocks.
_TIMM_STAGES = (
    (0, _TIMM_SEPARABLE),
    (1, _TIMM_RESIDUAL),
    (2, _TIMM_RESIDUAL),
    (3, _TIMM_RESIDUAL),
    (3, _TIMM_RESIDUAL),  # the second half of the stage with stride 16
    (4, _TIMM_RESIDUAL),
    (4, _TIMM_CONV),
)
_TIMM_STEM = {'conv_stem': 'stage0.0.conv', 'bn1': 'stage0.0.bn'}


def from_timm(state: Mapping[str, Value]) -> dict[str, Value]:
    """Return the trunk of timm's FBNetV3 under our names, without prefix.

    Its classifier, which follows the trunk, is left out.
    """
    blocks = {
        tuple(map(int, name.split('.')[1:3]))
        for name in state
        if name.startswith('blocks.')
    }
    sizes = [sum(b[0] == s for b in blocks) for s in range(len(_TIMM_STAGES))]
    renamed = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition('.')
        if module.startswith('blocks.'):
            _, stage, block, layer = module.split('.', 3)
            module = _timm_layer(int(stage), int(block), layer, sizes)
        elif module in _TIMM_STEM:
            module = _TIMM_STEM[module]
        else:
            continue
        renamed[f'{module}.{leaf}'] = value
    return renamed


def _timm_layer(stage: int, block: int, layer: str, sizes: list[int]) -> str:
    ours, layers = _TIMM_STAGES[stage]
    before = 1 if ours == 0 else 0  # the stem
    for earlier in range(stage):
        if _TIMM_STAGES[earlier][0] == ours:
            before += sizes[earlier]
    return f'stage{ours}.{before + block}.{layers[layer]}'
