"""tools/report.py on work dirs made by hand, in mmengine's format."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from random_detector import CONFIG, random_weights

TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'report.py'
tool = runpy.run_path(str(TOOL))
main = tool['main']

TRAIN = [
    dict(lr=1e-3, loss=4.0, loss_cls=3.0, loss_bbox=1.0, iter=20, step=20),
    dict(lr=2e-3, loss=2.0, loss_cls=1.5, loss_bbox=0.5, iter=40, step=40),
]
PALETTE = [(250, 20 * label, 5) for label in range(10)]
ENDS = ('', '_50', '_75', '_s', '_m', '_l')
FIRST, LAST = (
    {f'coco/bbox_mAP{end}': ap for end, ap in zip(ENDS, aps, strict=True)}
    for aps in ((0.1,) * 6, (0.5125, 0.8, 0.61, 0.4, 0.7, -1.0))
)


def log(work_dir, records):
    folder = work_dir / '20260101_100000' / 'vis_data'
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(record) + '\n' for record in records)
    (folder / 'scalars.json').write_text(''.join(lines))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The work dir of a run that was moved after it ended."""
    folder = tmp_path_factory.mktemp('report')
    work_dir = folder / 'run'
    work_dir.mkdir()
    cfg = Config.fromfile(CONFIG)
    val = dict(data_root=str(folder / 'digits'), num_images=3)
    cfg.merge_from_dict(
        {'val_dataloader.dataset': val, 'val_dataloader.num_workers': 0}
        | {'val_dataloader.persistent_workers': False}
    )
    cfg.dump(str(work_dir / 'digits.py'))
    meta = dict(classes=tuple('0123456789'), palette=PALETTE)
    weights = dict(state_dict=random_weights(), meta=dict(dataset_meta=meta))
    torch.save(weights, work_dir / 'iter_40.pth')
    (work_dir / 'last_checkpoint').write_text('/elsewhere/run/iter_40.pth')
    return work_dir


def table(stdout):
    rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in stdout.splitlines()
        if line.startswith('| ')
    ]
    return dict(zip(rows[0], rows[1], strict=True))


def test_a_run_is_reported(trained):
    log(trained, [TRAIN[0], FIRST | {'step': 0}, TRAIN[1], LAST | {'step': 0}])
    command = [sys.executable, str(TOOL), str(trained)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert table(done.stdout) == {
        'COCO metrics on val': 'bbox',
        'AP': '0.512',
        'AP50': '0.800',
        'AP75': '0.610',
        'AP small': '0.400',
        'AP medium': '0.700',
        'AP large': '-',
    }
    for name in ('curves', 'detections'):
        picture = trained / f'{name}.png'
        assert f'{name}: {picture}' in done.stdout.splitlines()
        assert Image.open(picture).size > (400, 300)


def test_the_sheet_shows_truth_beside_detections(trained, tmp_path):
    log(trained, [*TRAIN, LAST | {'step': 0}])
    main([str(trained), '--num-images', '1', '--out-dir', str(tmp_path)])
    sheet = np.asarray(Image.open(tmp_path / 'detections.png'))
    top = len(sheet) - 12 - 280  # 224x320 px enlarged, and a gap below
    left = sheet[top : top + 280, 12:412].astype(int)
    right = sheet[top : top + 280, 424:824].astype(int)
    annotations = read_annotations(trained)
    for annotation in annotations:
        x, y, w, h = (1.25 * number for number in annotation['bbox'])
        middles = ((x, y + h / 2), (x + w, y + h / 2), (x + w / 2, y + h))
        color = PALETTE[annotation['category_id'] - 1]
        assert any(
            abs(left[min(int(v), 279), min(int(u), 399)] - color).max() == 0
            for u, v in middles
        )
    assert (left != right).any()


def read_annotations(work_dir, image_id=1):
    """Annotations of a val image, as DigitScenes drew them."""
    (file,) = work_dir.parent.glob('digits/val*/annotations.json')
    annotations = json.loads(file.read_text())['annotations']
    return [a for a in annotations if a['image_id'] == image_id]


def test_ground_truth_has_boxes_and_masks(trained):
    from fbnetv3_mmdet import DigitScenes

    root = str(trained.parent / 'digits')
    dataset = DigitScenes(root, 'val', num_images=3)
    info = dataset.get_data_info(1)
    info['instances'][0]['ignore_flag'] = 1
    truth = tool['ground_truth'](info, with_mask=True)
    annotations = read_annotations(trained, image_id=2)[1:]
    assert len(annotations) > 0
    for box, mask, label, annotation in zip(
        truth.bboxes, truth.masks, truth.labels, annotations, strict=True
    ):
        x, y, w, h = annotation['bbox']
        assert box.tolist() == [x, y, x + w, y + h]
        assert mask.sum() == annotation['area']
        assert label == annotation['category_id'] - 1


def test_a_run_without_evaluation_is_evaluated(trained, tmp_path, capsys):
    log(trained, TRAIN)
    main([str(trained), '--num-images', '1', '--out-dir', str(tmp_path)])
    figures = table(capsys.readouterr().out)
    assert 0 <= float(figures['AP']) <= float(figures['AP50']) <= 1
    before = sorted(path.name for path in trained.iterdir() if path.is_dir())
    assert before == ['20260101_100000']  # no log of the evaluation in it


@pytest.mark.parametrize(
    ('files', 'options', 'message'),
    [
        ([], [], 'holds 0 configs [], not one'),
        (['a.py', 'b.py'], [], 'holds 2 configs'),
        (['a.py'], [], 'holds no checkpoint (last_checkpoint)'),
        (['a.py'], ['--checkpoint', 'a.pth'], 'holds no log'),
    ],
)
def test_what_is_missing_is_named(files, options, message, tmp_path, capsys):
    for name in files:
        (tmp_path / name).write_text('')
    with pytest.raises(SystemExit) as stop:
        main([str(tmp_path), *options])
    assert stop.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith('error: ') and message in line


def test_the_number_of_images_is_positive(trained, capsys):
    log(trained, TRAIN)
    with pytest.raises(SystemExit):
        main([str(trained), '--num-images', '0'])
    assert '--num-images 0 must be at least 1' in capsys.readouterr().err
