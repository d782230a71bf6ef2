"""Trainings and evaluations whose images are broken."""

import re
from pathlib import Path

import pytest
from trainings import (
    errors_of,
    output_of,
    same,
    small_config,
    state_of,
    train,
)

from fbnetv3_mmdet import WholeImagesHook
from fbnetv3_mmdet.data import DigitScenes

NUM_IMAGES = 10


def breaking_config(folder, broken=(), split='train', **options):
    """Return a config for 4 iterations; files of some images are cut.

    Args:
        folder (Path): Where to.
        broken (Sequence[int]): Numbers of images, from 1.
        split (str): Whose they are.
        **options: As for ``small_config``.
    """
    cfg = small_config(folder, **options)
    cfg.train_cfg.update(max_iters=4, val_interval=4)
    cfg.randomness = dict(seed=0)
    dataset = cfg[f'{split}_dataloader'].dataset
    number = dataset.num_images
    DigitScenes(dataset.data_root, split, number, lazy_init=True)
    (images,) = Path(dataset.data_root).glob(f'{split}_n{number}_*/images')
    for i in broken:
        file = images / f'{i:06d}.png'
        file.write_bytes(file.read_bytes()[:-500])
    return cfg


def workers(number):
    return {
        'train_dataloader.num_workers': number,
        'val_dataloader.num_workers': number,
    }


def allow(share):
    return {'default_hooks.whole_images.max_bad_share': share}


def left_out(cfg):
    """Return the numbers of the images that the warnings name."""
    pattern = r'WARNING - image .*/(\d+)\.png\' is left out: truncated'
    return [int(number) for number in re.findall(pattern, output_of(cfg))]


@pytest.mark.parametrize(
    'number, exact_resume',
    [(0, True), (2, True), (2, False)],
    # the workers of mmengine 0.10.7 begin before the hook comes
    ids=['main process', 'workers', 'workers that have begun'],
)
def test_a_broken_image_stops_the_training(number, exact_resume, tmp_path):
    everything = range(1, NUM_IMAGES + 1)
    cfg = breaking_config(tmp_path, everything, **workers(number))
    if not exact_resume:
        cfg.default_hooks.pop('exact_resume')
        # which has begun to fill a batch, too
        cfg.train_dataloader.batch_sampler = dict(
            type='AspectRatioBatchSampler'
        )
    assert train(cfg) == 1
    (error,) = errors_of(cfg)
    assert re.fullmatch(
        r"error: image '.*/images/0000\d\d\.png': truncated picture "
        r'\(OSError: .*\); 1 broken of 10 images, where max_bad_share=0\.0 '
        'of WholeImagesHook allows 0; mend them, .*',
        error,
    )
    assert 'Traceback' not in output_of(cfg)


@pytest.mark.same_on_upstream
def test_a_share_of_images_may_be_broken(tmp_path):
    """Others take their place: the same whoever loads them."""
    states = []
    for number in (0, 2):
        cfg = breaking_config(
            tmp_path / str(number), [1, 2, 3], **workers(number), **allow(0.3)
        )
        cfg.train_cfg.max_iters = 8  # of 2 images each
        assert train(cfg) == 0
        found = left_out(cfg)
        assert len(found) == len(set(found)) and set(found) == {1, 2, 3}
        assert '3 of 3 that max_bad_share=0.3' in output_of(cfg)
        assert errors_of(cfg) == []
        states.append(state_of(Path(cfg.work_dir) / 'iter_8.pth'))
    assert same(*states)


@pytest.mark.same_on_upstream
def test_more_than_the_share_stops_the_training(tmp_path):
    """The share is one of the files, however often they are repeated."""
    cfg = breaking_config(tmp_path, [1, 2, 3], **allow(0.2))
    cfg.train_cfg.max_iters = 15  # of 2 images: in these all come three times
    cfg.train_dataloader.dataset = dict(
        type='RepeatDataset', times=3, dataset=cfg.train_dataloader.dataset
    )
    assert train(cfg) == 1
    assert len(left_out(cfg)) == 2
    (error,) = errors_of(cfg)
    assert '; 3 broken of 10 images, where max_bad_share=0.2 ' in error


@pytest.mark.same_on_upstream
def test_a_training_of_broken_images_alone_ends(tmp_path):
    everything = range(1, NUM_IMAGES + 1)
    cfg = breaking_config(tmp_path, everything, **allow(0.9))
    assert train(cfg) == 1
    (error,) = errors_of(cfg)
    assert '; 10 broken of 10 images, where max_bad_share=0.9 ' in error


@pytest.mark.same_on_upstream
@pytest.mark.parametrize('number', [0, 2])
def test_an_evaluation_leaves_out_nothing(number, tmp_path):
    cfg = breaking_config(
        tmp_path, [2], 'val', **workers(number), **allow(0.9)
    )
    assert train(cfg) == 1
    (error,) = errors_of(cfg)
    assert "/images/000002.png': truncated picture (" in error
    assert 'an evaluation leaves out nothing: mend it' in error
    assert 'Traceback' not in output_of(cfg)


@pytest.mark.same_on_upstream
def test_epochs_are_watched_too(tmp_path):
    cfg = breaking_config(tmp_path, [5], **workers(2))
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    assert train(cfg) == 1
    assert "/images/000005.png': truncated picture (" in errors_of(cfg)[0]


@pytest.mark.parametrize(
    'arguments',
    [
        dict(max_bad_share=1),
        dict(max_bad_share=-0.1),
        dict(max_bad_share=float('nan')),
        dict(max_bad_share='0.1'),
        dict(max_bad_share=None),
        dict(max_pixels=0),
        dict(max_pixels=1e6),
        dict(max_pixels=10**9),
    ],
)
def test_wrong_arguments_are_named(arguments):
    ((name, value),) = arguments.items()
    message = rf'{name}={re.escape(repr(value))} of WholeImagesHook'
    with pytest.raises(ValueError, match=message):
        WholeImagesHook(**arguments)
