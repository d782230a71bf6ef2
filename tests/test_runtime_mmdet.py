"""The runtime does what MMDetection does; MMDetection tests its files."""

import json
import runpy
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from PIL import Image

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops
from fbnetv3_runtime import Detector
from fbnetv3_runtime.masks import box_masks

# isort: split
from mmcv.transforms import Compose
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample

pytest.importorskip('onnx')
from runtime_model import network_input, save_colors, save_echo  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
BCCD = 'configs/fbnetv3/faster-rcnn_fbnetv3-a-dsmask-c4_1xb4-1k_bccd.py'
main = runpy.run_path(str(ROOT / 'tools/test.py'))['main']


@pytest.mark.parametrize(
    ('width', 'height'),
    [(640, 480), (481, 359), (200, 333), (37, 50), (1500, 31), (479, 360)],
)
def test_preprocessing_equals_mmdet(width, height, tmp_path):
    cfg = Config.fromfile(ROOT / BCCD)
    load, resize = cfg.test_pipeline[:2]
    pipeline = Compose([load, resize])
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    for suffix in ('png', 'jpg'):
        file = tmp_path / f'x.{suffix}'
        Image.fromarray(pixels).save(file)
        expected = pipeline(dict(img_path=str(file)))['img'][:, :, ::-1]
        model = save_echo(
            tmp_path / 'm.onnx',
            resize=dict(scale=list(resize.scale), keep_ratio=True),
        )
        found = network_input(model, file)
        assert found.tolist() == expected.ravel().tolist()


def test_sizes_equal_mmcv(tmp_path):
    model = save_colors(
        tmp_path / 'm.onnx', resize=dict(scale=[320, 213], keep_ratio=True)
    )
    detector = Detector(model)
    rng = np.random.default_rng(0)
    for size in rng.integers(1, 900, (500, 2)).tolist():
        expected = mmcv.rescale_size(tuple(size), (320, 213))
        if min(expected) > 0:  # mmcv fails at 0
            _, fit = detector.resize(Image.new('RGB', size))
            assert fit == expected
    found = detector.predict(Image.new('RGB', (2000, 1)))
    assert found.boxes[1].tolist() == [0, 0, 2000, 1]


def test_masks_equal_mmdet():
    torch.manual_seed(0)
    width, height = 333, 251
    corners = torch.rand(200, 2, 2).sort(dim=1).values
    boxes = corners.flatten(1) * torch.tensor([width, height] * 2)
    boxes[0] = torch.tensor([0, 0, width, height])
    boxes[1] = torch.tensor([100.4, 50.2, 100.9, 50.6])  # under a pixel
    boxes[2] = torch.tensor([20.0, 30, 20, 90])  # no width
    masks = torch.rand(200, 1, 28, 28)
    expected = np.zeros((200, height, width), bool)
    for canvas, mask, box in zip(expected, masks, boxes, strict=True):
        values, place = _do_paste_mask(mask[None], box[None], height, width)
        canvas[place] = values[0].numpy() >= 0.5
    found = box_masks(masks[:, 0].numpy(), boxes.numpy(), (width, height), 0.5)
    pasted = np.stack([mask.full() for mask in found])
    assert expected.any((1, 2)).sum() > 190
    # but for rounding where a probability is the threshold
    assert (pasted != expected).mean() < 1e-6


# What the hand-made detector finds, in pixels of a picture of 640 x 480.
TRUTH = [
    ('cell', [40, 80, 80, 80]),
    ('red', [0, 0, 640, 480]),
    ('green', [0, 0, 640, 480]),
    ('blue', [0, 0, 640, 480]),
]


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A COCO dataset of one picture, and a config that tests on it."""
    monkeypatch.chdir(tmp_path)
    Image.new('RGB', (640, 480), (255, 102, 51)).save('x.png')
    names = [name for name, _ in TRUTH]
    annotations = [
        dict(
            id=i, image_id=1, category_id=i, bbox=box, iscrowd=0,
            area=box[2] * box[3],
            segmentation=[[
                box[0], box[1], box[0] + box[2], box[1],
                box[0] + box[2], box[1] + box[3], box[0], box[1] + box[3],
            ]],
        )
        for i, (_, box) in enumerate(TRUTH, 1)
    ]  # fmt: skip
    Path('val.json').write_text(
        json.dumps(
            dict(
                images=[dict(id=1, file_name='x.png', width=640, height=480)],
                categories=[
                    dict(id=i, name=n) for i, n in enumerate(names, 1)
                ],
                annotations=annotations,
            )
        )
    )
    cfg = Config.fromfile(ROOT / BCCD)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.update(
        data_root='', ann_file='val.json', data_prefix=dict(img='.'),
        metainfo=dict(classes=names),
    )  # fmt: skip
    cfg.test_evaluator.metric = ['bbox', 'segm']
    cfg.load_from = 'of the training, and gone'
    cfg.dump('cfg.py')


def metrics():
    """Return what the test run logged."""
    (file,) = Path('run').glob('*/*.json')
    return json.loads(file.read_text())


@pytest.mark.parametrize('backend', [[], ['--backend', 'openvino']])
def test_tool_evaluates_an_exported_file(backend, dataset):
    masks = np.ones((4, 28, 28), np.float32)
    save_colors('m.onnx', masks, mask_thr=0.5)
    main(['cfg.py', 'm.onnx', '--work-dir', 'run', *backend])
    found = metrics()
    assert found['coco/bbox_mAP'] == 1
    assert found['coco/segm_mAP'] == 1


def test_average_precision_is_that_of_the_file(dataset):
    # the first of four classes is elsewhere than its object
    save_colors('m.onnx', resize=dict(scale=[320, 240], keep_ratio=True))
    options = ['--cfg-options', 'test_evaluator.metric=bbox']
    main(['cfg.py', 'm.onnx', '--work-dir', 'run', *options])
    assert metrics()['coco/bbox_mAP'] == 0.75


@pytest.mark.parametrize(
    ('settings', 'options', 'message'),
    [
        (dict(classes=[*'abcd']), [], "'m.onnx' detects ['a', 'b', 'c', 'd'"),
        ({}, ['--tta'], "'m.onnx' is an exported file, which is tested in on"),
        (dict(format=2), [], 'm.onnx is no exported FBNetV3 detector: its me'),
    ],
)
def test_tool_refuses(settings, options, message, dataset, capsys):
    save_colors('m.onnx', **settings)
    with pytest.raises(SystemExit) as stop:
        main(['cfg.py', 'm.onnx', *options])
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: ') and message in last


@pytest.mark.parametrize('meta', [{}, dict(img_path='missing.png')])
def test_samples_need_an_image_file(meta, tmp_path):
    model = save_colors(tmp_path / 'm.onnx')
    detector = MODELS.build(dict(type='ExportedDetector', model=str(model)))
    sample = DetDataSample(metainfo=meta)
    data = dict(inputs=torch.zeros(3, 8, 8), data_samples=sample)
    with pytest.raises(ValueError, match='img_path=.* is no file; an expo'):
        detector.test_step(pseudo_collate([data]))
    with pytest.raises(ValueError, match="mode='loss' is not for an exported"):
        detector([], [], mode='loss')
