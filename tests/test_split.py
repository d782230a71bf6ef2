"""Detectors in two files, without NonMaxSuppression and RoiAlign."""

import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import torchvision
from exported import (
    BACKENDS,
    Exported,
    assert_equal,
    picture,
    stable_picture,
)
from mmengine.config import Config
from random_detector import CONFIG, ROOT

from fbnetv3_mmdet.deploy.split import export_split
from fbnetv3_runtime import Detector
from fbnetv3_runtime.backends import second_file
from fbnetv3_runtime.pooling import pool
from fbnetv3_runtime.split import suppress

pytestmark = pytest.mark.same_on_upstream

main = runpy.run_path(str(ROOT / 'tools/export.py'))['main']
FPN = ROOT / 'configs/_base_/models/faster-rcnn_fbnetv3-fpn.py'
ACCEPTED = {  # by every toolchain of NPUs that we know of
    'Add', 'AveragePool', 'Cast', 'Clip', 'Concat', 'Conv', 'Div', 'Flatten',
    'Gather', 'Gemm', 'GlobalAveragePool', 'HardSigmoid', 'HardSwish',
    'MaxPool', 'Mul', 'Relu', 'Reshape', 'Resize', 'Shape', 'Sigmoid',
    'Slice', 'Softmax', 'Sub', 'Transpose',
}  # fmt: skip


def write(cfg, model, classes, path, size):
    export_split(cfg, model, classes, (path, Path(second_file(path))), size)


@pytest.fixture(scope='module')
def boxes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('split')
    return Exported(Config.fromfile(CONFIG), folder, write=write)


@pytest.mark.parametrize('size', [(224, 320), (150, 200)])
def test_detections_are_mmdetections(boxes, size):
    image, expected = stable_picture(boxes.original, *size)
    for backend in BACKENDS:
        assert_equal(boxes.find(backend, image), expected)


@pytest.mark.slow
def test_detections_of_a_pyramid(tmp_path):
    cfg = Config.fromfile(CONFIG)
    cfg.model = Config.fromfile(FPN).model
    cfg.model.arch = 'FBNetV3_A_dsmask_C5'
    cfg.model.test_cfg.rpn.max_per_img = 30
    exported = Exported(cfg, tmp_path, write=write)
    image, expected = stable_picture(exported.original, 230, 300)
    assert_equal(exported.find('onnxruntime', image), expected)


def test_files_have_what_npus_accept(boxes, tmp_path):
    fixed = Exported(
        Config.fromfile(CONFIG), tmp_path, size=(224, 320), write=write
    )
    for path in (boxes.path, fixed.path):
        for file in (path, second_file(path)):
            graph = onnx.load(file).graph
            operators = {node.op_type for node in graph.node}
            assert operators <= ACCEPTED
    for file in (fixed.path, second_file(fixed.path)):
        graph = onnx.load(file).graph
        for value in (*graph.input, *graph.output):
            sides = value.type.tensor_type.shape.dim
            assert all(side.dim_value > 0 for side in sides)
    image = picture(0, 224, 320)
    whole = boxes.find('onnxruntime', image)
    assert_equal(fixed.find('onnxruntime', image), whole)


def test_the_second_file_is_needed(boxes, tmp_path):
    alone = tmp_path / 'alone.onnx'
    alone.write_bytes(boxes.path.read_bytes())
    with pytest.raises(ValueError, match='No such file.*alone.regions.onnx'):
        Detector(alone)
    with pytest.raises(ValueError, match='second file; give the path of the'):
        Detector(alone.read_bytes())


def test_the_tool_writes_both_or_none(boxes, tmp_path, capsys):
    target, second = tmp_path / 'm.onnx', tmp_path / 'm.regions.onnx'
    arguments = [CONFIG, boxes.checkpoint, str(target), '--split']
    main(arguments)
    assert sorted(tmp_path.iterdir()) == [target, second]
    target.unlink()
    for more, message in (
        ([], "m.regions.onnx' exists; choose another name, or remove it"),
        (['--half'], 'exists; choose another name, or remove it'),
    ):
        with pytest.raises(SystemExit):
            main([*arguments, *more])
        assert message in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [second]


@pytest.mark.parametrize('samples', [0, 2])
def test_pooling_is_torchvisions(samples):
    torch.manual_seed(0)
    feats = torch.randn(5, 14, 20), torch.randn(5, 7, 10)
    boxes = torch.rand(40, 2, 2).sort(dim=1).values.flatten(1)
    boxes = boxes * torch.tensor([320, 224] * 2) * 1.2 - 20
    settings = dict(
        size=6, strides=[16, 32], samples=samples, finest_scale=112
    )
    found = pool([f.numpy() for f in feats], boxes.numpy(), settings)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    coarse = areas.sqrt() >= 2 * 112
    assert 0 < coarse.sum() < 40
    for feat, stride, mine in zip(
        feats, (16, 32), (~coarse, coarse), strict=True
    ):
        expected = torchvision.ops.roi_align(
            feat[None], [boxes[mine]], 6, 1 / stride, samples, aligned=True
        )
        np.testing.assert_allclose(found[mine.numpy()], expected, atol=1e-5)


def test_suppression_is_torchvisions():
    torch.manual_seed(0)
    for thr in (0.3, 0.7):
        boxes = torch.rand(300, 2, 2).sort(dim=1).values.flatten(1)
        scores = torch.rand(300)
        expected = torchvision.ops.nms(boxes, scores, thr)
        found = suppress(boxes.numpy(), scores.numpy(), thr, 10**6)
        assert found.tolist() == expected.tolist()
        found = suppress(boxes.numpy(), scores.numpy(), thr, 7)
        assert found.tolist() == expected.tolist()[:7]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5, 7).tolist() == []
