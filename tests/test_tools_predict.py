"""tools/predict.py, with a detector of random weights."""

import copy
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
from mmdet.apis import inference_detector, init_detector
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image
from random_detector import CONFIG, random_weights

from fbnetv3_mmdet.inference import TorchDetector
from fbnetv3_runtime import Detector

TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'predict.py'
MASKS = CONFIG.replace('faster', 'mask')
NAMES = 'zero one two three four five six seven eight nine'.split()
tool = runpy.run_path(str(TOOL))
main = tool['main']


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint whose classes have other names than the config's."""
    file = tmp_path_factory.mktemp('weights') / 'random.pth'
    meta = dict(dataset_meta=dict(classes=NAMES, palette=[(9, 9, 9)] * 10))
    torch.save(dict(state_dict=random_weights(), meta=meta), file)
    return str(file)


@pytest.fixture
def photos(tmp_path):
    """Two folders, each with a picture of the same name, and a subfolder."""
    rng = np.random.default_rng(0)
    folder = tmp_path / 'photos'
    for name in ('a/x.png', 'b/x.jpg', 'b/deep/y.jpeg'):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (90, 120, 3), np.uint8)
        Image.fromarray(pixels).resize((480, 300)).save(file)
    (folder / 'a/notes.txt').write_text('no image')
    return folder


def run(checkpoint, images, out_dir, *options):
    """Run the tool; return what it says of each image, by file."""
    images = [str(image) for image in images]
    main(
        [CONFIG, str(checkpoint), *images, '--out-dir', str(out_dir), *options]
    )
    return read(out_dir)


def read(out_dir):
    entries = json.loads((out_dir / 'predictions.json').read_text())
    return {entry['file']: entry for entry in entries}


def names_in(folder):
    files = (file for file in folder.rglob('*') if file.is_file())
    return sorted(str(file.relative_to(folder)) for file in files)


def test_boxes_equal_mmdet(checkpoint, photos, tmp_path):
    file = photos / 'b/x.jpg'
    turned = photos / 'b/turned.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.open(file).save(turned, exif=exif)
    grey = photos / 'b/grey.png'
    Image.open(file).convert('L').save(grey)
    images = [photos / 'a/x.png', file, turned, grey]
    entries = run(checkpoint, images, tmp_path / 'out', '--score-thr', '0')
    model = init_detector(CONFIG, checkpoint, 'random', 'cpu')
    for image in images:
        expected = inference_detector(model, str(image)).pred_instances
        entry = entries[str(image)]
        found = entry['detections']
        assert len(found) > 10 and len({d['label'] for d in found}) > 1
        boxes = torch.tensor(values(entry, 'box'))
        torch.testing.assert_close(boxes, expected.bboxes)
        scores = torch.tensor(values(entry, 'score'))
        torch.testing.assert_close(scores, expected.scores)
        assert values(entry, 'label') == expected.labels.tolist()
        names = [NAMES[label] for label in expected.labels]
        assert values(entry, 'class') == names
        assert 'mask' not in found[0]
        size = (300, 480) if image == turned else (480, 300)
        assert (entry['width'], entry['height']) == size
        assert Image.open(tmp_path / 'out' / entry['picture']).size == size


def test_pixels_equal_the_test_pipeline(checkpoint, photos):
    cfg = Config.fromfile(CONFIG)
    detector = TorchDetector(cfg, checkpoint, 'cpu')
    pipeline = Compose(get_test_pipeline_cfg(cfg))
    picture = Image.open(photos / 'a/x.png')
    high = np.random.default_rng(1).integers(0, 2**16, (90, 120), np.uint16)
    kinds = dict(
        rgb=picture,
        palette=picture.quantize(16),
        alpha=picture.convert('RGBA'),
        high=Image.fromarray(high),
    )
    for name, kind in kinds.items():
        file = photos / f'{name}.png'
        kind.save(file)
        expected = pipeline(dict(img_path=str(file), img_id=0))['inputs']
        for given in (str(file), kind) if name == 'rgb' else (file,):
            data = detector.prepare(detector.read(given))
            assert torch.equal(data['inputs'], expected), name


@pytest.mark.parametrize(
    'device', ['cpu', pytest.param('cuda', marks=pytest.mark.gpu)]
)
def test_batches_find_what_single_images_do(
    checkpoint, photos, tmp_path, device
):
    tall = photos / 'a/tall.png'
    Image.open(photos / 'a/x.png').rotate(90, expand=True).save(tall)
    options = '--device', device, '--score-thr', '0.1'
    single = run(checkpoint, [photos], tmp_path / 'single', *options)
    many = run(
        checkpoint, [photos], tmp_path / 'many', *options, '--batch-size', '3'
    )
    assert single.keys() == many.keys() and len(single) == 4
    for file, entry in single.items():
        for key in ('box', 'score'):
            one, other = values(entry, key), values(many[file], key)
            assert len(one)
            np.testing.assert_allclose(one, other, atol=1e-2)


def test_a_batch_is_of_one_size(checkpoint, photos):
    files = [photos / name for name in ('a/x.png', 'b/x.jpg', 'b/deep/y.jpeg')]
    detector = TorchDetector(
        Config.fromfile(CONFIG), checkpoint, 'cpu', batch_size=3
    )
    data = [detector.prepare(detector.read(file)) for file in files]
    batch = detector._detect(copy.deepcopy(data))
    for one, found in zip(data, batch, strict=True):
        alone = detector.detect(one)
        assert len(alone) == len(found) > 10
        torch.testing.assert_close(
            found.bboxes, alone.bboxes, atol=1e-2, rtol=0
        )
        torch.testing.assert_close(
            found.scores, alone.scores, atol=1e-4, rtol=0
        )
        assert found.labels.equal(alone.labels)


def test_masks_are_those_of_mmdet(photos, tmp_path):
    weights = str(tmp_path / 'mask.pth')
    torch.save(dict(state_dict=random_weights(MASKS)), weights)
    cfg = Config.fromfile(MASKS)
    file = str(photos / 'a/x.png')
    found = TorchDetector(cfg, weights, 'cpu').predict(file)
    model = init_detector(MASKS, weights, 'random', 'cpu')
    expected = inference_detector(model, file).pred_instances
    masks = np.stack([mask.full() for mask in found.masks])
    assert masks.shape == (len(found.boxes), 300, 480)
    assert len(found.boxes) and masks.dtype == bool
    assert (masks == expected.masks.numpy()).all()


@pytest.mark.same_on_upstream
def test_large_jpegs_are_read_small(photos, tmp_path):
    weights = str(tmp_path / 'mask.pth')
    torch.save(dict(state_dict=random_weights(MASKS)), weights)
    detector = TorchDetector(Config.fromfile(MASKS), weights, 'cpu')
    picture = Image.open(photos / 'a/x.png')
    sizes = {'once': (600, 400), 'quarter': (2560, 1696)}  # the network: 320
    for name, size in sizes.items():
        file = photos / f'{name}.jpg'
        exif = Image.Exif()
        exif[0x0112] = 6  # a quarter turn
        picture.resize(size).save(file, quality=95, exif=exif)
        photo = detector.read(str(file))
        assert photo.size == size[::-1]
        read = photo.picture.size
        assert read == dict(once=(400, 600), quarter=(424, 640))[name]
        found = detector.predict(photo)
        assert found.masks[0].full().shape == size
        own = detector.predict(photo.picture)
        assert len(own.boxes)
        factors = np.divide(photo.size * 2, read * 2)
        np.testing.assert_allclose(found.boxes, own.boxes * factors, 1e-5)


def values(entry, key):
    return [found[key] for found in entry['detections']]


def test_low_scores_are_left_out(checkpoint, photos, tmp_path):
    file = photos / 'a/x.png'
    everything = run(checkpoint, [file], tmp_path / '0', '--score-thr', '0')
    scores = sorted(values(everything[str(file)], 'score'))
    middle = scores[len(scores) // 2]
    assert scores[0] < middle < scores[-1]
    least = str(middle)
    found = run(checkpoint, [file], tmp_path / '1', '--score-thr', least)
    kept = values(found[str(file)], 'score')
    assert sorted(kept) == [score for score in scores if score >= middle]


def test_classes_come_from_the_config_where_the_checkpoint_has_none(
    checkpoint, photos, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where DigitScenes would be drawn
    bare = tmp_path / 'bare.pth'
    weights = torch.load(checkpoint)['state_dict']
    torch.save(dict(state_dict=weights), bare)
    file = photos / 'a/x.png'
    entry = run(bare, [file], tmp_path / 'out', '--score-thr', '0')[str(file)]
    labels = values(entry, 'label')
    assert values(entry, 'class') == [str(label) for label in labels]
    assert labels
    assert not (tmp_path / 'data').exists()


def test_same_names_are_all_kept(checkpoint, photos, tmp_path):
    out_dir = tmp_path / 'out'
    images = [photos / 'a', photos / 'b', photos / 'b/deep/y.jpeg']
    entries = run(checkpoint, images, out_dir)
    pictures = {
        str(Path(file).relative_to(photos)): entry['picture']
        for file, entry in entries.items()
    }
    assert pictures == {
        'a/x.png': 'x.jpg',
        'b/x.jpg': 'x_2.jpg',
        'b/deep/y.jpeg': 'y.jpg',
    }
    assert names_in(out_dir) == [
        'predictions.json', 'x.jpg', 'x_2.jpg', 'y.jpg',
    ]  # fmt: skip


def test_subfolders_are_mirrored(checkpoint, photos, tmp_path):
    run(checkpoint, [photos], tmp_path / 'out')
    assert names_in(tmp_path / 'out') == [
        'a/x.jpg', 'b/deep/y.jpg', 'b/x.jpg', 'predictions.json',
    ]  # fmt: skip


@pytest.mark.same_on_upstream
def test_unreadable_images_are_counted(checkpoint, photos, tmp_path):
    whole = (photos / 'b/x.jpg').read_bytes()
    (photos / 'b/cut.jpg').write_bytes(whole[: len(whole) // 2])
    (photos / 'b/empty.png').touch()
    (photos / 'b/text.bmp').write_text('no image')
    command = [sys.executable, str(TOOL), CONFIG, checkpoint]
    command += [str(photos / 'b'), str(photos / 'missing.jpg')]
    command += ['--out-dir', str(tmp_path / 'out')]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert 'Traceback' not in done.stderr
    for name in ('b/cut.jpg', 'b/empty.png', 'b/text.bmp', 'missing.jpg'):
        start = f'{photos / name} is no readable image: '
        assert sum(line.startswith(start) for line in lines) == 1
    assert 'cut.jpg is no readable image: image file is' in done.stderr
    assert lines[-1] == 'error: 4 of 6 images could not be read'
    files = [str(photos / name) for name in ('b/deep/y.jpeg', 'b/x.jpg')]
    assert sorted(read(tmp_path / 'out')) == files


def test_an_exported_file_needs_no_config_of_its_own(photos, tmp_path):
    pytest.importorskip('onnx')
    from runtime_model import save_colors

    model = save_colors(tmp_path / 'm.onnx')
    red = tmp_path / 'red.png'
    Image.new('RGB', (64, 48), 'red').save(red)
    entry = run(model, [red], tmp_path / 'out')[str(red)]
    found = Detector(model, score_thr=0.3).predict(red)
    assert values(entry, 'box') == found.boxes.tolist()
    assert values(entry, 'class') == found.names != []


@pytest.mark.parametrize(
    ('images', 'out_dir', 'options', 'message'),
    [
        (['a'], 'a', [], '--out-dir .*a lies in a folder whose images'),
        (['b'], 'b/deep/er', [], '--out-dir .*er lies in a folder whose im'),
        (['c'], '.', [], 'c/x.jpg is a folder, or what else is to be'),
        (['none'], 'out', [], "none'] have no files that end in"),
        (['a'], 'out', ['--score-thr', '1.5'], '--score-thr 1.5 is no score'),
        (['a'], 'out', ['--batch-size', '0'], '--batch-size 0 is not allowed'),
        (['a'], 'out', ['--device', 'gpu'], "device='gpu' cannot be used"),
        (
            ['a'],
            'out',
            ['--cfg-options', 'model.test_cfg.rcnn.score_thresh=0.9'],
            'score_thresh=0.9 is no setting',
        ),
        (
            ['a'],
            'out',
            [
                '--cfg-options',
                'model.backbone.norm_cfg.type=GN',
                'model.backbone.norm_cfg.num_groups=8',
            ],
            r'checkpoint=.* does not fit the config in \d+ tensors, .* no ',
        ),
        (
            ['a'],
            'out',
            ['--cfg-options', 'model.roi_head.bbox_head.num_classes=7'],
            'checkpoint=.* fit the config in 4 tensors, .* size mismatch for ',
        ),
    ],
)
def test_mistakes_are_named(
    images, out_dir, options, message, checkpoint, photos, capsys
):
    (photos / 'none').mkdir()
    nested = photos / 'c/c'
    nested.mkdir(parents=True)
    shutil.copy(photos / 'b/x.jpg', photos / 'c/x.jpg')
    shutil.copy(photos / 'b/x.jpg', nested / 'x.jpg')
    before = {name: (photos / name).read_bytes() for name in names_in(photos)}
    with pytest.raises(SystemExit) as stop:
        images = [photos / image for image in images]
        run(checkpoint, images, photos / out_dir, *options)
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.match(f'error: .*{message}', last)
    after = {name: (photos / name).read_bytes() for name in names_in(photos)}
    assert before == after
