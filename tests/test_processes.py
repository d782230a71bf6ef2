"""Several processes: as one with a larger batch; uneven, empty, killed."""

import collections
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import toy

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

# isort: split
import mmengine
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.models.task_modules import RandomSampler
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from thorough import amount
from toy import Toy, toy_config
from trainings import (
    DIGITS,
    DIGITS_IS,
    log_of,
    output_of,
    small_config,
    train,
    train_ranks,
)


@TASK_UTILS.register_module()
class FirstSampler(RandomSampler):
    """Takes what comes first: the objects, and the best proposals."""

    def random_choice(self, gallery, num):
        return gallery[:num]


@MODELS.register_module()
class DoublePreprocessor(DetDataPreprocessor):
    """Feeds a model of double precision."""

    def forward(self, data, training=False):
        data = super().forward(data, training)
        return {**data, 'inputs': data['inputs'].double()}


@mmengine.registry.MODELS.register_module()
class Idle(Toy):
    """Has a layer that it does not use."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.idle = torch.nn.Linear(2, 3)


@HOOKS.register_module()
class RecordHook(Hook):
    """Write down what a process trains on, and its losses."""

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        samples = data_batch['data_samples']
        record = dict(
            images=[Path(sample.img_path).stem for sample in samples],
            losses={k: float(v) for k, v in outputs.items() if 'loss' in k},
        )
        rank = os.environ.get('RANK', '0')
        with open(f'{runner.work_dir}-{rank}.jsonl', 'a') as file:
            file.write(json.dumps(record) + '\n')


def records_of(cfg, rank=0):
    lines = Path(f'{cfg.work_dir}-{rank}.jsonl').read_text().splitlines()
    return [json.loads(line) for line in lines]


def compute_in_double():
    """Have a process build its model in double precision.

    The first iterations of a training are chaotic: at the demo's rate ten of
    them make 6 % of what single precision rounds.
    """
    torch.set_default_dtype(torch.float64)


def detector(folder, config=DIGITS, **options):
    """Return the config of a short training without evaluations.

    Nothing is random but the order of the pictures; of each picture it takes
    as many anchors, regions and objects as of any other: 16, 4 and 1.
    """
    folder.mkdir(exist_ok=True)
    sampler = dict(type='FirstSampler')
    cfg = small_config(
        folder,
        config=config,
        **{
            'train_cfg': dict(max_iters=10),
            'default_hooks': dict(
                checkpoint=dict(interval=100), record=dict(type='RecordHook')
            ),
            'model.train_cfg': dict(
                rpn=dict(sampler=dict(sampler, num=16)),
                rpn_proposal=dict(nms_pre=50, max_per_img=10),
                rcnn=dict(sampler=dict(sampler, num=4, pos_fraction=0.25)),
            ),
            'model.data_preprocessor.type': 'DoublePreprocessor',
            # at the demo's rate, ten iterations can make 1e-4 of 1e-8
            'optim_wrapper.optimizer.lr': 0.005,
            'randomness': dict(seed=0),
            **options,
        },
    )
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    resize = dict(type='Resize', scale=(96, 68), backend='pillow')
    cfg.train_dataloader.dataset.pipeline[2:4] = [resize]
    return cfg


@pytest.mark.parametrize(
    ('config', 'unused'),
    [
        pytest.param(DIGITS, False, id='OD'),
        pytest.param(
            DIGITS_IS, True, id='IS', marks=pytest.mark.same_on_upstream
        ),
    ],
)
def test_two_processes_equal_one_with_their_pictures(tmp_path, config, unused):
    size = 'train_dataloader.batch_size'
    one = detector(tmp_path / 'one', config, **{size: 4})
    assert train(one, compute_in_double) == 0, output_of(one)
    options = dict(launcher='pytorch', find_unused_parameters=unused)
    two = detector(tmp_path / 'two', config, **{size: 2}, **options)
    statuses = train_ranks([two, two], compute_in_double)
    assert statuses == [0, 0], output_of(two)
    together = records_of(one)
    ranks = [records_of(two, rank) for rank in range(2)]
    assert len(together) == len(ranks[0]) == len(ranks[1]) == 10
    for whole, *parts in zip(together, *ranks, strict=True):
        images = [image for part in parts for image in part['images']]
        assert sorted(images) == sorted(whole['images'])
        for name, loss in whole['losses'].items():
            mean = sum(part['losses'][name] for part in parts) / 2
            assert mean == pytest.approx(loss, rel=1e-4), name


@pytest.mark.parametrize(
    ('config', 'empty', 'unused'),
    [
        (DIGITS, [0, 1], False),
        (DIGITS_IS, [1], False),
        (DIGITS_IS, [0, 1], True),
    ],
)
def test_a_process_without_objects(tmp_path, config, empty, unused):
    options = {'launcher': 'pytorch', 'find_unused_parameters': unused}
    cfgs = [
        detector(tmp_path, config, **{'train_cfg.max_iters': 3}, **options)
        for _ in range(2)
    ]
    for rank in empty:
        pipeline = cfgs[rank].train_dataloader.dataset.pipeline
        # no object is this large
        drop = dict(type='FilterAnnotations', min_gt_bbox_wh=(999, 999))
        pipeline.insert(2, dict(drop, keep_empty=False))
    assert train_ranks(cfgs, compute_in_double) == [0, 0], output_of(cfgs[0])
    for rank, cfg in enumerate(cfgs):
        for record in records_of(cfg, rank):
            losses = record['losses']
            assert all(map(math.isfinite, losses.values()))
            boxes = losses['loss_rpn_bbox'], losses['loss_bbox']
            assert all(boxes) != (rank in empty)
            assert any(boxes) != (rank in empty)
            if 'loss_mask' in losses:
                assert (losses['loss_mask'] == 0) == (rank in empty)


@pytest.mark.parametrize('number', amount([1], [1, 3]))
def test_evaluation_of_few_pictures(tmp_path, number):
    found = []
    for name, launcher in ('one', 'none'), ('two', 'pytorch'):
        data = dict(data_root=str(tmp_path / 'data'), num_images=number)
        loader = dict(num_workers=0, persistent_workers=False, dataset=data)
        out = tmp_path / name
        cfg = detector(
            out,
            launcher=launcher,
            train_cfg=None,
            test_dataloader=loader,
            test_evaluator=dict(outfile_prefix=str(out / 'found')),
        )
        cfg.train_dataloader = cfg.optim_wrapper = None
        cfg.param_scheduler = None
        if launcher == 'none':
            assert train(cfg, compute_in_double) == 0, output_of(cfg)
        else:
            statuses = train_ranks([cfg, cfg], compute_in_double)
            assert statuses == [0, 0], output_of(cfg)
        (log,) = out.glob('work/*/*.json')
        metrics = json.loads(log.read_text())
        boxes = json.loads((out / 'found.bbox.json').read_text())
        found.append(({k: metrics[k] for k in metrics if 'mAP' in k}, boxes))
    one, two = found
    assert len({box['image_id'] for box in one[1]}) == number
    assert one == two


@pytest.mark.parametrize('by_epoch', [True, False])
def test_data_that_do_not_divide(tmp_path, by_epoch):
    cfg = toy_config(
        tmp_path / 'work',
        by_epoch=by_epoch,
        launcher='pytorch',
        find_unused_parameters=True,
        model=dict(type='Idle'),
        default_hooks=dict(record=dict(type='RecordHook')),
    )
    assert train_ranks([cfg, cfg], compute_in_double) == [0, 0], output_of(cfg)
    ranks = [records_of(cfg, rank) for rank in range(2)]
    counts = collections.Counter(
        image
        for rank in ranks
        for record in rank
        for image in record['images']
    )
    assert len(counts) == 11  # of 2 processes with batches of 3
    if by_epoch:  # each 6 pictures, 3 times; one of them twice
        assert [len(rank) for rank in ranks] == [6, 6]
        assert min(counts.values()) == 3 and sum(counts.values()) == 36
    else:
        assert [len(rank) for rank in ranks] == [12, 12]
        assert set(counts.values()) == {6, 7}
    numbers = {r['number'] for r in log_of(cfg) if 'number' in r}
    assert numbers == {11}


def processes_of(mark):
    """Return the ids of all processes with this in their environment."""
    found = set()
    for path in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):  # ended meanwhile
            if mark.encode() in (path / 'environ').read_bytes():
                found.add(int(path.name))
    return found


def start_torchrun(work_dir, output):
    """Start torchrun with two processes, which train for half an hour."""
    command = [sys.executable, '-m', 'torch.distributed.run', '--standalone']
    command += ['--nproc_per_node=2', toy.__file__, str(work_dir), 'long']
    root = str(Path(__file__).parents[1])
    env = {'OMP_NUM_THREADS': '1', 'PYTHONPATH': root, 'MARK': str(work_dir)}
    with open(output, 'w') as file:
        return subprocess.Popen(
            command, env=os.environ | env, stdout=file, stderr=file
        )


def id_of(name, launcher):
    """Return the process id of torchrun or of a rank."""
    if name == 'torchrun':
        return launcher.pid
    place = f'RANK={name}'.encode()
    children = Path(f'/proc/{launcher.pid}/task/{launcher.pid}/children')
    (found,) = (
        int(child)
        for child in children.read_text().split()
        if place in Path(f'/proc/{child}/environ').read_bytes().split(b'\0')
    )
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='it reads /proc')
@pytest.mark.parametrize(
    ('killed', 'when'),
    [
        ('1', 'Iter(train) [   5/9999]'),
        ('0', 'Iter(val) [1/2]'),
        ('torchrun', 'Iter(train) [   5/9999]'),
    ],
)
def test_one_killed_ends_all(tmp_path, killed, when):
    output, mark = tmp_path / 'output.txt', f'MARK={tmp_path}/work'
    launcher = start_torchrun(tmp_path / 'work', output)
    try:
        while when not in output.read_text():
            assert launcher.poll() is None, output.read_text()
            time.sleep(0.02)
        assert len(processes_of(mark)) >= 5  # with the loaders' workers
        os.kill(id_of(killed, launcher), signal.SIGKILL)
        within = time.monotonic() + 60
        assert launcher.wait(60) != 0
        while processes_of(mark) and time.monotonic() < within:
            time.sleep(0.1)
        assert not processes_of(mark)
    finally:
        for orphan in processes_of(mark):
            os.kill(orphan, signal.SIGKILL)
    text = output.read_text()
    if killed == 'torchrun':
        (line,) = [x for x in text.splitlines() if x.startswith('error: ')]
        assert 'stopped by SIGTERM' in line and 'is saved as' in line
    else:
        assert f'failed (exitcode: -9) local_rank: {killed}' in text
