"""The settings that users choose, as data: names, places, kinds and words.

One list serves the documentation, checks and forms. Defaults are those of the
base config and are read from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .kinds import (
    ARCH,
    BOOL,
    COUNT,
    COUNT_OR_ALL,
    COUNT_OR_NONE,
    FRACTION,
    LOWER_BOUND,
    NONE,
    NORM,
    NUMBERS,
    PATH_OR_NONE,
    POOLER,
    POSITIVE,
    Kind,
    one_of,
)
from .paths import get_setting

BASE = 'configs/_base_/models/faster-rcnn_fbnetv3-c4.py'


class Setting(NamedTuple):
    """A setting that users choose.

    Attributes:
        name: Identifier, for code.
        path: Dotted path in a config.
        kind: What it may be.
        label: Its name for people.
        what: One sentence: what it sets.
        why: Why and when to change it.
    """

    name: str
    path: str
    kind: Kind
    label: str
    what: str
    why: str

    def default(self, base: Mapping[str, Any]) -> Any:
        """Return what the base config says, None where it says nothing."""
        return get_setting(base, self.path)


_RPN = 'model.train_cfg.rpn.assigner'
_RCNN = 'model.train_cfg.rcnn.assigner'
_ANCHORS = 'model.rpn_head.anchor_generator'
AUGMENTATIONS = ('none', 'flip', 'multi-scale', 'jitter')

SETTINGS_OF_USERS = (
    Setting(
        'arch',
        'model.arch',
        ARCH,
        'architecture',
        'Which member of the family the backbone and all heads are built of.',
        'A larger member finds more and takes longer: '
        '`tools/browse_archs.py` lists parameters and multiply-adds of each '
        'part.',
    ),
    Setting(
        'pooler_resolution',
        'model.roi_head.bbox_roi_extractor.output_size',
        POOLER,
        'pooler resolution',
        'Cells a side into which RoIAlign samples each proposal.',
        'Any value fits any weights, for the head ends in an average; the '
        'COCO weights were trained with 6. The work of the box stage grows '
        'with its square, and cells smaller than those of the feature map '
        '(16 px of the image) show nothing new.',
    ),
    Setting(
        'initial_weights',
        'load_from',
        PATH_OR_NONE,
        'initial weights',
        'The numbers that the network begins with.',
        'COCO weights (`d2go://mask_rcnn_fbnetv3a_dsmask_C4`) know edges, '
        'textures and 80 everyday classes; layers whose shape depends on the '
        'classes begin anew. From random weights it takes a higher learning '
        'rate, more iterations and no frozen stages.',
    ),
    Setting(
        'anchor_scales',
        f'{_ANCHORS}.scales',
        NUMBERS,
        'anchor sizes',
        'Sides of the square anchors, in cells of the feature map (16 px).',
        'Proposals grow from the anchors that objects resemble: have sizes '
        'like those of the objects as the network sees them. '
        '`tools/check_dataset.py` proposes some where the ones in use leave '
        'objects out. With another number of them, the layers that score '
        'anchors begin anew.',
    ),
    Setting(
        'anchor_ratios',
        f'{_ANCHORS}.ratios',
        NUMBERS,
        'anchor ratios',
        'Heights of the anchors over their widths; each size has all ratios.',
        'Add 0.25 or 4 where objects are long and thin. A ratio that no '
        'object has costs time and brings nothing.',
    ),
    Setting(
        'rpn_lower_iou',
        f'{_RPN}.neg_iou_thr',
        LOWER_BOUND,
        'IoU below which an anchor is background',
        'An anchor that overlaps each object by less is taught to be '
        'background.',
        'IoU is the area that two boxes share, over the area that they cover '
        'together. Anchors between this bound and the upper one are ignored: '
        'they enter no loss.',
    ),
    Setting(
        'rpn_upper_iou',
        f'{_RPN}.pos_iou_thr',
        FRACTION,
        'IoU from which an anchor is an object',
        'An anchor that overlaps an object by as much is taught to find it.',
        'The anchor that overlaps an object most is taught to find it in any '
        'case. Lower it where objects have shapes that anchors fit badly.',
    ),
    Setting(
        'rcnn_lower_iou',
        f'{_RCNN}.neg_iou_thr',
        LOWER_BOUND,
        'IoU below which a region is background',
        'The same for the regions that the box head learns from.',
        'With both bounds at 0.5 no region is ignored.',
    ),
    Setting(
        'rcnn_upper_iou',
        f'{_RCNN}.pos_iou_thr',
        FRACTION,
        'IoU from which a region is an object',
        'The same for the regions that the box head learns from.',
        'A higher bound teaches tighter boxes, from fewer examples.',
    ),
    Setting(
        'frozen_stages',
        'model.backbone.frozen_stages',
        COUNT_OR_NONE,
        'stages to freeze',
        'How many stages of the backbone, from the image on, keep their '
        'initial weights.',
        'A frozen stage still computes, but learns nothing: its weights and '
        'its running statistics stay as loaded. It suits few images that '
        'look like those that the weights come from; with random weights '
        'leave it at 0.',
    ),
    Setting(
        'frozen_region_stage',
        'model.roi_head.shared_head.frozen',
        BOOL,
        'freeze the region stage',
        'Whether the blocks that each region passes keep their initial '
        'weights.',
        'As for the stages of the backbone.',
    ),
    Setting(
        'normalisation',
        'model.norm_cfg',
        NORM,
        'normalisation',
        'How activations are brought to a common scale after each '
        'convolution.',
        'Each type subtracts a mean of the activations and divides by '
        'sqrt(variance + epsilon); then it multiplies by a learned scale and '
        'adds a learned shift, one of each per channel. BN takes mean and '
        "variance over a channel's pixels in the batch of one process, and a "
        'running average in use; SyncBN over the batches of all processes; '
        "NaiveSyncBN averages each process's mean and mean square, which is "
        'what the COCO weights were trained with, and is BN where there is '
        'one process. GN works on each image by itself, over groups of '
        'channels, and is the same in training and in use.',
    ),
    Setting(
        'train_proposals_before_nms',
        'model.train_cfg.rpn_proposal.nms_pre',
        COUNT_OR_ALL,
        'proposals before NMS, training',
        'How many of the anchors with the best scores enter non-maximum '
        'suppression.',
        'NMS keeps the best of boxes that overlap by more than 0.7. The '
        'number is for each feature level.',
    ),
    Setting(
        'train_proposals_after_nms',
        'model.train_cfg.rpn_proposal.max_per_img',
        COUNT,
        'proposals after NMS, training',
        'How many are offered to the box head.',
        'It learns from a sample of them, so that more cost little.',
    ),
    Setting(
        'test_proposals_before_nms',
        'model.test_cfg.rpn.nms_pre',
        COUNT_OR_ALL,
        'proposals before NMS, test',
        'The same, in use.',
        'The number is for each feature level.',
    ),
    Setting(
        'test_proposals_after_nms',
        'model.test_cfg.rpn.max_per_img',
        COUNT,
        'proposals after NMS, test',
        'How many regions the box head looks at.',
        'No image can have more detections, and the time of the box stage '
        'grows in proportion: raise it for crowded pictures.',
    ),
)

# Of a training; the defaults are those of the config for own data.
TRAINING_OF_USERS = (
    Setting(
        'iterations',
        'train_cfg.max_iters',
        COUNT,
        'iterations',
        'How many batches the network learns from.',
        'The learning rate falls to zero at the end: a longer schedule is '
        'another schedule, and not a continued one. Start with the default, '
        'and double it while AP still grows.',
    ),
    Setting(
        'batch_size',
        'train_dataloader.batch_size',
        COUNT,
        'images a batch',
        'How many images each iteration sees.',
        'More take more memory and time, and bear a learning rate that is '
        'larger in proportion.',
    ),
    Setting(
        'learning_rate',
        'optim_wrapper.optimizer.lr',
        POSITIVE,
        'learning rate',
        'How far each iteration moves the weights, at its highest.',
        'For batches of 4, 0.01 from COCO weights and 0.04 from random ones; '
        'in proportion to the batch. Lower it where the loss becomes '
        'undefined.',
    ),
    Setting(
        'augmentation',
        'augmentation',
        one_of(AUGMENTATIONS),
        'augmentation',
        'How images are changed before the network learns from them: not at '
        'all, mirrored, or mirrored and resized.',
        'Multi-scale resizes to 3/4 to 5/4 of the size in use; jitter to a '
        'tenth to twice of it, and cuts a window out. The more images are '
        'changed, the more iterations it takes; none is for what has a left '
        'and a right, such as digits.',
    ),
    Setting(
        'seed',
        'randomness.seed',
        COUNT_OR_NONE | NONE,
        'seed',
        'Where the random numbers of a training start.',
        'Two trainings that differ in nothing but the seed differ in AP by a '
        'point or two: a setting that brings less has brought nothing. '
        'Without one, each training takes its own.',
    ),
)


def settings_table(
    base: Mapping[str, Any], settings: Sequence[Setting] = SETTINGS_OF_USERS
) -> str:
    """Return a Markdown table of settings, and the words for each.

    Args:
        base: A config whose values are the defaults.
        settings: Which.
    """
    rows = [
        '| setting | path | default | allowed |',
        '|---|---|---|---|',
    ]
    words = []
    for setting in settings:
        default = setting.default(base)
        shown = 'none' if default is None else f'`{_code(default)}`'
        rows.append(
            f'| {setting.label} | `{setting.path}` | {shown} | '
            f'{setting.kind.words} |'
        )
        words.append(f'**{setting.label}.** {setting.what} {setting.why}')
    return '\n'.join(rows) + '\n\n' + '\n\n'.join(words) + '\n'


def _code(value: Any) -> str:
    """Return a value as a config has it."""
    if isinstance(value, Mapping):
        inner = ', '.join(f'{k}={v!r}' for k, v in value.items())
        return f'dict({inner})'
    return repr(value)
