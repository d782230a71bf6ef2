"""Exported files next to MMDetection's own inference, for tests."""

import copy

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from PIL import Image

import fbnetv3_mmdet  # noqa: F401

# isort: split
# what follows needs mmcv's ops, which the package provides
from mmdet.apis import inference_detector, init_detector
from random_detector import random_model

from fbnetv3_mmdet.deploy.comparison import differences
from fbnetv3_mmdet.deploy.export import export
from fbnetv3_runtime import Detector, Mask, Result

BACKENDS = ('onnxruntime', 'openvino')


class Exported:
    """A detector of random weights: a file, and the original.

    Attributes:
        path: Of the ONNX file.
        checkpoint: Of the weights.
        original: MMDetection's detector.
    """

    def __init__(self, cfg, folder, change=None, size=None, write=export):
        model = random_model(copy.deepcopy(cfg.model), residual=0.2)
        if change is not None:
            change(model)
        self.checkpoint = str(folder / 'random.pth')
        torch.save(dict(state_dict=model.state_dict()), self.checkpoint)
        self.path = folder / 'random.onnx'
        classes = [*map(str, range(model.roi_head.bbox_head.num_classes))]
        write(cfg, model, classes, self.path, size)
        self.original = init_detector(cfg, self.checkpoint, 'random', 'cpu')

    def find(self, backend, image):
        """Return what the file finds in a picture, RGB."""
        return Detector(self.path, backend, threads=1).predict(image)


def picture(seed, height, width):
    """Return a picture of coloured clouds, (H, W, 3), RGB."""
    rng = np.random.default_rng(seed)
    grid = (height // 16 + 1, width // 16 + 1, 3)
    small = Image.fromarray(rng.integers(0, 256, grid, np.uint8))
    return np.array(small.resize((width, height), Image.BILINEAR))


def ranked(file, backend, images):
    """Return the scores that a file's first TopK, by name, is given.

    Args:
        file: Of a detector.
        backend: Which runs it.
        images: (1, H, W, 3), uint8.
    """
    model = onnx.load(file)
    # quantizing changes their order, and not their names; sorting is a TopK
    best = min(
        (n for n in model.graph.node if n.name.startswith('node_topk')),
        key=lambda node: node.name,
    )
    del model.graph.output[:]
    scores = onnx.helper.make_tensor_value_info(
        best.input[0], onnx.TensorProto.FLOAT, ['N']
    )
    model.graph.output.append(scores)
    model = model.SerializeToString()
    if backend == 'openvino':
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model), 'CPU')
        return np.concatenate([compiled({'image': x})[0] for x in images])
    session = onnxruntime.InferenceSession(model)
    return np.concatenate([session.run(None, {'image': x})[0] for x in images])


def reference(model, image):
    """Return what MMDetection itself finds in a picture, RGB."""
    found = inference_detector(model, image[..., ::-1]).pred_instances.numpy()
    masks = None
    if 'masks' in found:
        masks = [Mask(m, (0, 0), m.shape[::-1]) for m in found.masks]
    return Result(found.bboxes, found.scores, found.labels, [], masks)


def assert_equal(found, expected):
    """Check that two sets of detections are one, but for rounding."""
    worst = differences(found, expected)
    assert worst.boxes <= 0.05
    assert worst.scores <= 1e-4
    assert (worst.masks is None) == (expected.masks is None)
    assert (worst.masks or 0) <= 1e-3


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
        if len(found.labels) and worst.boxes < 2:
            return image, found
    raise AssertionError('no stable picture')
