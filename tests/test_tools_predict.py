"""tools/predict.py, with a detector of random weights."""

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
from mmdet.apis import inference_detector, init_detector
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools import mask as mask_utils
from random_detector import CONFIG, random_weights

TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'predict.py'
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
    file = photos / 'a/x.png'
    entries = run(checkpoint, [file], tmp_path / 'out', '--score-thr', '0')
    model = init_detector(CONFIG, checkpoint, 'random', 'cpu')
    expected = inference_detector(model, str(file)).pred_instances
    entry = entries[str(file)]
    assert len(entry['boxes']) > 10 and len(set(entry['labels'])) > 1
    torch.testing.assert_close(torch.tensor(entry['boxes']), expected.bboxes)
    torch.testing.assert_close(torch.tensor(entry['scores']), expected.scores)
    assert entry['labels'] == expected.labels.tolist()
    assert entry['names'] == [NAMES[label] for label in entry['labels']]
    assert (entry['width'], entry['height']) == (480, 300)
    assert 'masks' not in entry
    picture = Image.open(tmp_path / 'out' / entry['picture'])
    assert picture.size == (480, 300)


def test_low_scores_are_left_out(checkpoint, photos, tmp_path):
    file = photos / 'a/x.png'
    everything = run(checkpoint, [file], tmp_path / '0', '--score-thr', '0')
    scores = sorted(everything[str(file)]['scores'])
    middle = scores[len(scores) // 2]
    assert scores[0] < middle < scores[-1]
    least = str(middle)
    found = run(checkpoint, [file], tmp_path / '1', '--score-thr', least)
    kept = found[str(file)]['scores']
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
    assert entry['names'] == [str(label) for label in entry['labels']]
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
    assert (
        'cut.jpg is no readable image: OSError: image file is' in done.stderr
    )
    assert lines[-1] == 'error: 4 of 6 images could not be read'
    files = [str(photos / name) for name in ('b/deep/y.jpeg', 'b/x.jpg')]
    assert sorted(read(tmp_path / 'out')) == files


def test_masks_are_coco_rle(tmp_path):
    mask = torch.zeros(1, 20, 30, dtype=torch.bool)
    mask[0, 5:9, 10:25] = True

    class Found:
        meta = dict(classes=['cat'])

        def read(self, file):
            return Image.new('RGB', (30, 20)), None

        def detect(self, data):
            return InstanceData(
                bboxes=torch.tensor([[10.0, 5.0, 25.0, 9.0]]),
                labels=torch.tensor([0]),
                scores=torch.tensor([0.75]),
                masks=mask,
            )

    files = {Path('a.png'): Path('a.jpg')}
    (entry,) = tool['predict'](Found(), files, tmp_path, 0.3)
    (rle,) = json.loads(json.dumps(entry))['masks']
    assert rle['size'] == [20, 30]
    assert (mask_utils.decode(rle) == mask[0].numpy()).all()
    assert entry['names'] == ['cat'] and entry['scores'] == [0.75]


@pytest.mark.parametrize(
    ('images', 'out_dir', 'options', 'message'),
    [
        (['a'], 'a', [], '--out-dir .*a lies in .*a, where images come from'),
        (['b'], 'b/deep/er', [], '--out-dir .*er lies in .*b, where images'),
        (['a/x.png'], 'a', [], '--out-dir .*a lies in .*a, where images'),
        (['c'], '.', [], 'c/x.jpg in it is one of the images'),
        (['none'], 'out', [], 'none is a folder without images'),
        (['a'], 'out', ['--score-thr', '1.5'], '--score-thr 1.5 is no score'),
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
