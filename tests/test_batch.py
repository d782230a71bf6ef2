"""Files that take several pictures at the same time."""

import runpy

import numpy as np
import onnx
import pytest
import torch
from exported import BACKENDS, Exported, assert_equal, picture
from mmengine.config import Config
from random_detector import CONFIG, ROOT, random_weights

from fbnetv3_mmdet.deploy.export import export
from fbnetv3_runtime import Detector, read_metadata
from fbnetv3_runtime.batches import Input, group, separate, stack

pytestmark = pytest.mark.same_on_upstream

main = runpy.run_path(str(ROOT / 'tools/export.py'))['main']


def make(folder, batch):
    def write(cfg, model, classes, path, size):
        export(cfg, model, classes, path, size, batch)

    folder.mkdir()
    return Exported(Config.fromfile(CONFIG), folder, write=write)


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """The same detector, for one picture, three, and any number."""
    folder = tmp_path_factory.mktemp('batch')
    return {n: make(folder / f'{n}', n) for n in (None, 3, 0)}


@pytest.mark.slow
@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('batch', [3, 0])
def test_each_picture_has_what_it_has_alone(batch, backend, files):
    sizes = [(224, 320)] * 4 + [(160, 200)] + [(224, 320)] * 2
    pictures = [picture(i, *size) for i, size in enumerate(sizes)]
    alone = Detector(files[None].path, backend, threads=1)
    detector = Detector(files[batch].path, backend, threads=1)
    calls = []
    run = detector._run

    def count(pixels):
        calls.append(len(pixels))
        return run(pixels)

    detector._run = count
    found = list(detector.predict_batch(pictures, batch_size=3))
    # Calls are made by several threads: which one counts first is open.
    assert sorted(calls) == ([3, 3, 3, 3] if batch else [1, 1, 2, 3])
    for one, pixels in zip(found, pictures, strict=True):
        assert len(one.scores) > 10
        assert_equal(one, alone.predict(pixels))
    assert_equal(detector.predict(pictures[4]), found[4])


@pytest.mark.slow
def test_input_and_metadata(files):
    for batch in (3, 0):
        graph = onnx.load(files[batch].path).graph
        first = graph.input[0].type.tensor_type.shape.dim[0]
        assert (first.dim_value or first.dim_param) == (batch or 'images')
        facts = read_metadata(files[batch].path)
        alone = read_metadata(files[None].path)
        assert facts == alone | dict(batch=batch, max_per_img=100)


def test_groups_are_of_one_size():
    def given(*widths):
        return [
            Input(np.full((2, w, 3), w, np.uint8), (w, 2), (w, 2))
            for w in widths
        ]

    groups = group(given(5, 5, 5, 7, 5, 5), 2)
    widths = [[one.fit[0] for one in part] for part in groups]
    assert widths == [[5, 5], [5], [7], [5, 5]]
    assert [*group([], 2)] == []
    pixels = stack(given(5, 5), 3)
    assert pixels.shape == (3, 2, 5, 3)
    assert [image.max() for image in pixels] == [5, 5, 0]


def test_the_best_of_each_image_are_separated():
    found = dict(
        scores=np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
        images=np.array([2, 0, 2, 2, 0]),
    )
    parts = separate(found, 3, 2)
    scores = [part['scores'].tolist() for part in parts]
    assert scores == [[0.8, 0.5], [], [0.9, 0.7]]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--batch', '-1'], '--batch -1 is no number of pictures: give 1 to'),
        (['--batch', '0', '--split'], '--batch and --split do not go togeth'),
    ],
)
def test_mistakes(options, message, tmp_path, capsys):
    checkpoint, target = tmp_path / 'x.pth', tmp_path / 'm.onnx'
    torch.save(dict(state_dict=random_weights()), checkpoint)
    with pytest.raises(SystemExit) as stop:
        main([CONFIG, str(checkpoint), str(target), *options])
    assert stop.value.code == 2
    assert f'error: {message}' in capsys.readouterr().err
