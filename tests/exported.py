"""Exported files next to MMDetection's own inference, for tests."""

import copy

import numpy as np
import torch
from PIL import Image
from scipy.optimize import linear_sum_assignment

import fbnetv3_mmdet  # noqa: F401

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.apis import inference_detector, init_detector
from random_detector import random_model

from fbnetv3_mmdet.deploy.export import export
from fbnetv3_mmdet.inference import Detector
from fbnetv3_runtime import Detector as Runtime

BACKENDS = ('onnxruntime', 'openvino')
LIMITS = dict(boxes=0.05, scores=1e-4, masks=1e-3)


class Exported:
    """A detector of random weights: a file, and the original.

    Attributes:
        path: Of the ONNX file.
        checkpoint: Of the weights.
        original: MMDetection's detector.
    """

    def __init__(self, cfg, folder, change=None, size=None):
        model = random_model(copy.deepcopy(cfg.model), residual=0.2)
        if change is not None:
            change(model)
        self.checkpoint = str(folder / 'random.pth')
        torch.save(dict(state_dict=model.state_dict()), self.checkpoint)
        self.path = folder / 'random.onnx'
        detector = Detector(copy.deepcopy(cfg), self.checkpoint, 'cpu')
        export(cfg, detector, self.path, size)
        self.original = init_detector(cfg, self.checkpoint, 'random', 'cpu')

    def find(self, backend, image):
        """Return what the file finds in a picture, RGB."""
        found = Runtime(self.path, backend, threads=1).predict(image)
        return found._asdict()


def picture(seed, height, width):
    """Return a picture of coloured clouds, (H, W, 3), RGB."""
    rng = np.random.default_rng(seed)
    grid = (height // 16 + 1, width // 16 + 1, 3)
    small = Image.fromarray(rng.integers(0, 256, grid, np.uint8))
    return np.array(small.resize((width, height), Image.BILINEAR))


def reference(model, image):
    """Return what MMDetection itself finds in a picture, RGB."""
    found = inference_detector(model, image[..., ::-1]).pred_instances
    names = dict(boxes='bboxes', scores='scores', labels='labels')
    if 'masks' in found:
        names['masks'] = 'masks'
    return {ours: found[theirs].numpy() for ours, theirs in names.items()}


def differences(found, expected):
    """Return largest differences of detections, each matched with one other.

    Returns:
        dict: ``boxes`` in pixels, ``scores``, and ``masks``, the share of
        their pixels; None: the sets are not of one size and classes.
    """
    labels, theirs = found['labels'], expected['labels']
    if sorted(labels) != sorted(theirs):
        return None
    boxes = np.abs(found['boxes'][:, None] - expected['boxes']).max(2)
    scores = np.abs(found['scores'][:, None] - expected['scores'])
    alien = labels[:, None] != theirs
    pairs = linear_sum_assignment(boxes + scores + 1e6 * alien)
    worst = {
        key: value[pairs].max(initial=0)
        for key, value in dict(boxes=boxes, scores=scores).items()
    }
    if 'masks' in expected:
        ours, mask = found['masks'][pairs[0]], expected['masks'][pairs[1]]
        worst['masks'] = (ours != mask).sum() / max(mask.sum(), 1)
    return worst


def assert_equal(found, expected):
    """Check that two sets of detections are one."""
    worst = differences(found, expected)
    assert worst is not None
    for key, value in worst.items():
        assert value <= LIMITS[key], key


def stable_picture(model, height, width):
    """Return a picture, and what is found in it whatever the rounding.

    Suppression is a chain of decisions, some of which hang by a thread.
    """
    torch.manual_seed(0)
    shaken = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in shaken.parameters():
            parameter *= 1 + 1e-5 * torch.randn_like(parameter)
    for seed in range(10):
        image = picture(seed, height, width)
        found = reference(model, image)
        worst = differences(reference(shaken, image), found)
        if len(found['labels']) and worst and worst['boxes'] < 2:
            return image, found
    raise AssertionError('no stable picture')
