"""tools/export.py and what it writes, next to MMDetection's inference."""

import copy
import json
import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from exported import (
    BACKENDS,
    Exported,
    assert_equal,
    picture,
    reference,
    stable_picture,
)
from mmdet.registry import MODELS
from mmengine.config import Config
from PIL import Image
from random_detector import CONFIG, silence_on_black

from fbnetv3_mmdet.deploy import verify
from fbnetv3_mmdet.deploy.comparison import (
    compare,
    differences,
    rounding_decides,
)
from fbnetv3_mmdet.deploy.graph import ExportableDetector
from fbnetv3_mmdet.deploy.support import limit_proposals
from fbnetv3_runtime import Detector, Mask, Result

pytestmark = pytest.mark.same_on_upstream

TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'export.py'
MASKS = CONFIG.replace('faster-rcnn', 'mask-rcnn')
SIZES = [(224, 320), (150, 200), (400, 260), (20, 320)]
main = runpy.run_path(str(TOOL))['main']


def silence(model):
    silence_on_black(model, picture(0, 224, 320))


@pytest.fixture(scope='module')
def boxes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('boxes')
    return Exported(Config.fromfile(CONFIG), folder, silence)


@pytest.fixture(scope='module')
def masks(tmp_path_factory):
    folder = tmp_path_factory.mktemp('masks')
    return Exported(Config.fromfile(MASKS), folder, silence)


@pytest.mark.parametrize('size', SIZES, ids=str)
def test_boxes_are_mmdetections(boxes, size):
    image, expected = stable_picture(boxes.original, *size)
    assert len(set(expected.labels)) > 1
    for backend in BACKENDS:
        assert_equal(boxes.find(backend, image), expected)


@pytest.mark.parametrize(
    'size',
    [SIZES[1], pytest.param(SIZES[2], marks=pytest.mark.slow)],
    ids=str,
)
def test_masks_are_mmdetections(masks, size):
    image, expected = stable_picture(masks.original, *size)
    pixels = np.stack([mask.full() for mask in expected.masks])
    assert pixels.any() and not pixels.all()
    for backend in BACKENDS:
        assert_equal(masks.find(backend, image), expected)


@pytest.mark.parametrize('kind', ['boxes', 'masks'])
@pytest.mark.parametrize('backend', BACKENDS)
def test_nothing_is_found_where_nothing_is(kind, backend, request):
    exported = request.getfixturevalue(kind)
    image = np.zeros((224, 320, 3), np.uint8)
    assert len(reference(exported.original, image).boxes) == 0
    found = exported.find(backend, image)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.labels.shape == (0,)
    if kind == 'masks':
        assert found.masks == []


def test_file_is_standard_and_whole(boxes):
    model = onnx.load(boxes.path)
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version >= 18) for o in model.opset_import] == [
        ('', True)
    ]
    assert {node.domain for node in model.graph.node} == {''}
    operators = {node.op_type for node in model.graph.node}
    assert 'BatchNormalization' not in operators
    # nothing of the machine that wrote it
    content = boxes.path.read_bytes()
    assert b'site-packages' not in content
    assert str(Path(__file__).parents[1]).encode() not in content
    (image,) = model.graph.input
    sides = [
        d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim
    ]
    assert (image.name, sides) == ('image', [1, 'height', 'width', 3])
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_metadata_suffice(boxes, masks):
    facts = metadata(boxes.path)
    text = facts.pop('config')
    assert (
        Config.fromstring(text, '.py').model == Config.fromfile(CONFIG).model
    )
    assert facts.pop('mean') == pytest.approx([123.675, 116.28, 103.53])
    assert facts.pop('version').count('.') == 2
    assert facts == dict(
        format=1,
        classes=list('0123456789'),
        resize=dict(scale=[320, 224], keep_ratio=True),
        size=None,
        std=[1, 1, 1],
        score_thr=0.05,
        iou_thr=0.5,
        mask_thr=None,
        brightest=None,
    )
    assert metadata(masks.path)['mask_thr'] == 0.5


def metadata(path):
    (entry,) = onnx.load(path).metadata_props
    assert entry.key == 'fbnetv3'
    return json.loads(entry.value)


def test_tool_writes_a_file_of_fixed_size(boxes, tmp_path, capsys):
    target, image = tmp_path / 'new/fixed.onnx', tmp_path / 'image.png'
    pixels, expected = stable_picture(boxes.original, 224, 320)
    Image.fromarray(pixels).save(image)
    main(
        [CONFIG, boxes.checkpoint, str(target), '--size', '224', '320']
        + ['--image', str(image)]
    )
    lines = capsys.readouterr().out.splitlines()[-5:]
    megabytes = f'{target.stat().st_size / 1e6:.1f} MB'
    # D2Go's 1,744,012, with 10 instead of 80 classes
    assert lines[0] == (f'{target}: {megabytes}, 1.69 M parameters, opset 18')
    assert lines[1].startswith('operators: 68 Conv, ')
    assert lines[2] == 'input: image uint8 (1, 224, 320, 3)'
    count = len(expected.boxes)
    assert f'{image}: {count} detections, largest differences' in lines[4]
    assert [file.name for file in target.parent.iterdir()] == ['fixed.onnx']
    assert metadata(target)['size'] == [224, 320]
    boxes_of_target = Exported.__new__(Exported)
    boxes_of_target.path = target
    for backend in BACKENDS:
        assert_equal(boxes_of_target.find(backend, pixels), expected)


def test_a_wrong_file_is_told_from_rounding(boxes):
    image, expected = stable_picture(boxes.original, 224, 320)
    run, model = Detector(boxes.path), copy.deepcopy(boxes.original)
    same = compare(run, model, image)
    assert same.negligible and same.detections == len(expected.boxes)
    with torch.no_grad():
        model.roi_head.bbox_head.fc_cls.bias[3] += 1e-2
    assert not compare(run, model, image).negligible
    assert not rounding_decides(model, image)


def test_differences_are_those_of_the_nearest_of_each_class():
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 10], [50, 50, 60, 60]])
    pixels = np.zeros((3, 4, 4), bool)
    pixels[2, :2] = True  # 8 pixels
    masks, others = (
        [Mask(own.copy(), (0, 0), (4, 4)) for own in pixels] for _ in range(2)
    )
    expected = Result(boxes, np.float32([0.9, 0.8, 0.7]), np.array([0, 1, 0]),
                      [], masks)  # fmt: skip
    order = [2, 1, 0]
    found = Result(
        *(part[order] for part in expected[:3]), [], [others[i] for i in order]
    )
    assert differences(found, expected) == (3, 0, 0, 0)
    found.boxes[0, 3] += 2
    found.scores[1] -= 0.25
    found.masks[0].pixels[0, 0] = False
    assert differences(found, expected) == (3, 2, 0.25, 1 / 8)
    found.labels[0] = 1
    assert differences(found, expected).boxes == np.inf


def test_what_rounding_decides_is_written_and_said(tmp_path, capsys):
    model = MODELS.build(Config.fromfile(CONFIG).model)
    model.init_weights()  # all proposals score 0.5, but for rounding
    checkpoint, target = tmp_path / 'fresh.pth', tmp_path / 'fresh.onnx'
    torch.save(model.state_dict(), checkpoint)
    options = ['--cfg-options', 'model.test_cfg.rcnn.score_thr=0.0']
    main([CONFIG, str(checkpoint), str(target), *options])
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith('not verified: rounding decides what this detector')
    assert onnx.load(target).graph.output[0].name == 'boxes'


def test_half_is_compared_with_mmdetection(boxes, tmp_path, capsys):
    target = tmp_path / 'half.onnx'
    main([CONFIG, boxes.checkpoint, str(target), '--half'])
    assert metadata(target)['float16'] is True
    assert target.stat().st_size < 0.6 * boxes.path.stat().st_size
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(('as MMDetection in', 'not verified: rounding'))


def test_fewer_proposals_are_mmdetections(boxes, tmp_path):
    target = tmp_path / 'few.onnx'
    main([CONFIG, boxes.checkpoint, str(target), '--proposals', '4'])
    few = copy.deepcopy(boxes.original)
    few.rpn_head.test_cfg.max_per_img = 4
    image, expected = stable_picture(few, 224, 320)
    assert len(expected.boxes) < len(reference(boxes.original, image).boxes)
    assert_equal(Detector(target, threads=1).predict(image), expected)


def test_detectors_of_one_stage_have_no_proposals():
    other = CONFIG.replace('faster-rcnn', 'gfl').replace('-c4_', '-fpn_')
    with pytest.raises(ValueError, match="--proposals .* 'GFL', which makes"):
        limit_proposals(Config.fromfile(other), 15)


def test_other_detectors_are_refused_in_one_line(tmp_path, capsys):
    other = CONFIG.replace('faster-rcnn', 'retinanet').replace(
        '-a-dsmask-c4_1xb4-2k_digits', '-a-fpn_8xb4-540k_coco'
    )
    weights = MODELS.build(Config.fromfile(other).model).state_dict()
    torch.save(weights, checkpoint := tmp_path / 'other.pth')
    with pytest.raises(SystemExit) as stop:
        main(
            [other, str(checkpoint), str(tmp_path / 'out.onnx')]
            + ['--cfg-options', 'model.type=PAA']
        )
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "error: model of type 'PAA' cannot be exported; supported are "
        "['FBNetV3OD', 'FBNetV3IS', 'FasterRCNN', 'MaskRCNN', 'RetinaNet', "
        "'FCOS', 'GFL', 'ATSS', 'RTMDet']"
    )
    assert list(tmp_path.iterdir()) == [checkpoint]


def test_a_file_that_finds_other_things_does_not_appear(
    boxes, tmp_path, capsys, monkeypatch
):
    def without_mean(self, image):
        return image.permute(0, 3, 1, 2).float()

    monkeypatch.setattr(ExportableDetector, 'normalise', without_mean)
    with pytest.raises(SystemExit) as stop:
        main([CONFIG, boxes.checkpoint, str(tmp_path / 'out.onnx')])
    assert stop.value.code == 2
    message = 'out.onnx is not written: what it finds in a random picture is '
    assert message in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


def test_an_interrupted_export_leaves_nothing(boxes, tmp_path, monkeypatch):
    def interrupt(run, model, picture):
        assert [file.name for file in tmp_path.iterdir()]  # it is written
        raise KeyboardInterrupt

    monkeypatch.setattr(verify, 'compare', interrupt)
    with pytest.raises(KeyboardInterrupt):
        main([CONFIG, boxes.checkpoint, str(tmp_path / 'out.onnx')])
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--image', 'none.png'], 'none.png is no readable image'),
        (['--size', '0', '320'], '--size 0 320 is no size'),
        (['--size', '9000', '320'], 'in pixels, at most 8192, or'),
        (['--proposals', '0'], '--proposals 0 is no number of proposals'),
        (['--proposals', '31'], 'of proposals: give 1 to 30, the model.test_'),
        (
            [
                '--cfg-options',
                'test_dataloader.dataset.pipeline.1.backend=cv2',
            ],
            "pixels, keep_ratio=True and backend='pillow', and nothing",
        ),
    ],
)
def test_mistakes_are_named(options, message, boxes, tmp_path, capsys):
    target = str(tmp_path / 'out.onnx')
    with pytest.raises(SystemExit) as stop:
        main([CONFIG, boxes.checkpoint, target, *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('damage', ['missing', 'empty', 'cut'])
def test_damaged_checkpoints_are_named(damage, boxes, tmp_path, capsys):
    checkpoint, target = tmp_path / 'bad.pth', tmp_path / 'out.onnx'
    whole = Path(boxes.checkpoint).read_bytes()
    if damage != 'missing':
        checkpoint.write_bytes(whole[: len(whole) // 2 * (damage == 'cut')])
    with pytest.raises(SystemExit) as stop:
        main([CONFIG, str(checkpoint), str(target)])
    assert stop.value.code == 2
    assert str(checkpoint) in capsys.readouterr().err.splitlines()[-1]
    assert not target.exists()


def test_a_file_is_not_overwritten(boxes, tmp_path, capsys):
    target = tmp_path / 'kept.onnx'
    target.write_text('mine')
    with pytest.raises(SystemExit) as stop:
        main([CONFIG, boxes.checkpoint, str(target)])
    assert stop.value.code == 2
    assert f'target={str(target)!r} exists' in capsys.readouterr().err
    assert target.read_text() == 'mine'


def test_other_classes_than_the_heads_are_named(boxes, tmp_path, capsys):
    checkpoint = tmp_path / 'named.pth'
    weights = torch.load(boxes.checkpoint)
    torch.save(
        weights | dict(meta=dict(dataset_meta=dict(classes=['a']))), checkpoint
    )
    with pytest.raises(SystemExit):
        main([CONFIG, str(checkpoint), str(tmp_path / 'out.onnx')])
    assert (
        'num_classes=10, but the checkpoint or the test dataset names 1 '
        "classes, ['a']" in capsys.readouterr().err
    )
