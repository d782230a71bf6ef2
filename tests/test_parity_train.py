"""One training step against the reference's, with the samples it drew."""

import json
from pathlib import Path

import d2go_step
import numpy as np
import pytest
import torch

from fbnetv3_mmdet.checkpoints import from_d2go

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

pytestmark = pytest.mark.parity

CONFIG = Config.fromfile(
    Path(__file__).parents[1] / 'configs/fbnetv3'
    '/faster-rcnn_fbnetv3-a-dsmask-c4_8xb4-540k_coco.py'
)
NAME = 'd2go/faster_rcnn_fbnetv3a_dsmask_C4'
IMAGES = range(2)
BACKGROUND = 80


class RecordedAnchors:
    """The RPN's own assigner, silent on anchors that were not sampled."""

    def __init__(self, assigner, labels):
        self.assigner = assigner
        self.labels = labels
        self.before_sampling = []

    def assign(self, *args):
        result = self.assigner.assign(*args)
        sampled = self.labels[len(self.before_sampling)] >= 0
        self.before_sampling.append(result.gt_inds.clone())
        result.gt_inds[~sampled] = -1
        return result


class RecordedRegions:
    """A sampler that takes the regions that the reference drew."""

    def __init__(self, assigner, boxes):
        self.assigner = assigner
        self.boxes = boxes
        self.proposals = []

    def sample(self, assigned, proposals, objects, feats):
        priors = self.boxes[len(self.proposals)]
        self.proposals.append(proposals.priors)
        assigned = self.assigner.assign(InstanceData(priors=priors), objects)
        return SamplingResult(
            pos_inds=(assigned.gt_inds > 0).nonzero()[:, 0],
            neg_inds=(assigned.gt_inds == 0).nonzero()[:, 0],
            priors=priors,
            gt_bboxes=objects.bboxes,
            assign_result=assigned,
            gt_flags=torch.zeros(len(priors), dtype=torch.uint8),
        )


@pytest.fixture(scope='module')
def record(shared):
    return np.load(shared / f'{NAME}.train.npz')


@pytest.fixture(scope='module')
def log(shared):
    return json.loads((shared / f'{NAME}.train.json').read_text())


@pytest.fixture(scope='module')
def model(shared, record):
    """Return the model after the losses' backward; it keeps what it did.

    In float64, which rounds the same on every machine.
    """
    init_default_scope('mmdet')
    model = MODELS.build(CONFIG.model).double().train()
    weights = torch.load(shared / f'{NAME}.pth', weights_only=True)['model']
    model.load_state_dict(from_d2go(weights), strict=True)
    model.rpn_head.assigner = RecordedAnchors(
        model.rpn_head.assigner,
        [tensor(record, f'rpn_gt_labels{i}') for i in IMAGES],
    )
    model.roi_head.bbox_sampler = RecordedRegions(
        model.roi_head.bbox_assigner,
        [tensor(record, f'sampled_boxes{i}') for i in IMAGES],
    )
    data = model.data_preprocessor(batch(record), True)
    data['inputs'] = data['inputs'].double()
    model.losses = model(**data, mode='loss')
    total, _ = model.parse_losses(model.losses)
    total.backward()
    return model


def tensor(record, name):
    return torch.from_numpy(record[name])


def objects(record, i):
    return InstanceData(
        bboxes=tensor(record, f'gt_boxes{i}'),
        labels=tensor(record, f'gt_classes{i}'),
    )


def batch(record):
    samples = []
    for i in IMAGES:
        meta = dict(img_shape=(224, 320), ori_shape=(224, 320))
        sample = DetDataSample(metainfo=dict(meta, scale_factor=(1, 1)))
        sample.gt_instances = objects(record, i)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
        samples.append(sample)
    images = [tensor(record, f'image{i}_chw_bgr') for i in IMAGES]
    return dict(inputs=images, data_samples=samples)


LOSSES = dict(
    loss_rpn_cls='loss_rpn_cls',
    loss_rpn_loc='loss_rpn_bbox',
    loss_cls='loss_cls',
    loss_box_reg='loss_bbox',
)


def test_losses(model, plain, log):
    """Both the model's and those in plain torch are the recorded ones."""
    _, losses = plain
    for name, our_name in LOSSES.items():
        recorded = pytest.approx(log['losses_per_step'][0][name], rel=1e-5)
        ours = model.losses[our_name]
        (ours,) = ours if isinstance(ours, list) else [ours]
        assert ours.item() == recorded, name
        assert losses[name].item() == recorded, name


@pytest.fixture(scope='module')
def plain(shared, record):
    """Return D2Go's weights in float64, and the losses, in plain torch."""
    weights = torch.load(shared / f'{NAME}.pth', weights_only=True)['model']
    weights = {
        name: value.double().requires_grad_()
        for name, value in weights.items()
        if value.is_floating_point()
    }
    losses = d2go_step.losses(weights, record)
    sum(losses.values()).backward()
    return weights, losses


def test_gradient_of_every_parameter(model, plain):
    theirs = from_d2go(plain[0])
    names = {name for name, value in theirs.items() if value.grad is not None}
    ours = dict(model.named_parameters())
    assert ours.keys() == names
    for name, parameter in ours.items():
        gap = (parameter.grad - theirs[name].grad).norm()
        # a bias before a norm has no effect: its gradient is rounding
        limit = 1e-8 * max(theirs[name].grad.norm(), 1e-3)
        assert gap <= limit, name


@pytest.mark.parametrize('i', IMAGES)
def test_anchor_labels_before_sampling(model, record, i):
    """Fewer objects than the sampler takes: it took all positive ones."""
    ours = model.rpn_head.assigner.before_sampling[i]
    theirs = tensor(record, f'rpn_gt_labels{i}')
    assert torch.equal(ours > 0, theirs == 1)
    assert (ours[theirs == 0] == 0).all()
    target = tensor(record, f'gt_boxes{i}')[ours[ours > 0] - 1]
    assert torch.equal(
        target, tensor(record, f'rpn_matched_gt_boxes{i}')[ours > 0]
    )


@pytest.mark.parametrize('i', IMAGES)
def test_region_labels_before_sampling(model, record, i):
    gt = objects(record, i)
    proposals = torch.cat([tensor(record, f'train_proposals{i}'), gt.bboxes])
    ours = model.roi_head.bbox_assigner.assign(
        InstanceData(priors=proposals), gt
    )
    chosen = tensor(record, f'sampled_boxes{i}')
    gap = (chosen[:, None] - proposals).abs().amax(-1)
    assert (gap.amin(1) == 0).all()
    index = gap.argmin(1)
    found = ours.gt_inds[index]
    classes = torch.where(found > 0, gt.labels[found - 1], BACKGROUND)
    assert torch.equal(classes, tensor(record, f'sampled_classes{i}'))
    positive = found > 0
    target = tensor(record, f'sampled_gt_boxes{i}')
    assert torch.equal(gt.bboxes[found - 1][positive], target[positive])
    # all regions on objects were taken, fewer than a quarter of 512
    assert (ours.gt_inds > 0).sum() == positive.sum() < 128


@pytest.mark.parametrize('i', IMAGES)
def test_training_proposals(model, record, i):
    ours = model.roi_head.bbox_sampler.proposals[i]
    theirs = tensor(record, f'train_proposals{i}')
    gap = (ours[:, None] - theirs).abs().amax(-1)
    assert len(ours) == len(theirs) == len(gap.argmin(0).unique())
    assert gap.amin(0).max() < 3e-3  # pixels
