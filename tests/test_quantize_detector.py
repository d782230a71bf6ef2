"""tools/quantize.py on a whole detector, of random weights."""

import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
from exported import BACKENDS, Exported, picture, ranked
from mmengine.config import Config
from PIL import Image
from random_detector import CONFIG

from fbnetv3_runtime import read_metadata

pytestmark = [pytest.mark.slow, pytest.mark.same_on_upstream]
TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'quantize.py'
SIZE = 112, 160  # a quarter, to be quick
MASKS = CONFIG.replace('faster-rcnn', 'mask-rcnn')
main = runpy.run_path(str(TOOL))['main']


@pytest.fixture(scope='module')
def quantized(tmp_path_factory):
    """A float file, what was made of it, and pictures of another kind."""
    folder = tmp_path_factory.mktemp('quantized')
    cfg = Config.fromfile(MASKS)
    cfg.test_dataloader.dataset.pipeline[1].scale = SIZE[::-1]
    exported = Exported(cfg, folder)
    files = []
    for i in range(8):
        files.append(folder / f'{i}.png')
        Image.fromarray(picture(i, *SIZE)).save(files[-1])
    target = folder / 'int8.onnx'
    train = [str(file) for file in files[:4]]
    # random weights tell nothing apart by more than roundings
    main([str(exported.path), str(target), '--calibrate', *train,
          '--max-drop', '100'])  # fmt: skip
    return exported.path, target, files[4:]


def test_integers_say_what_floats_say(quantized):
    # Not detections: random weights prefer no anchor by much.
    path, target, files = quantized
    images = [np.array(Image.open(file))[None] for file in files]
    expected = ranked(path, 'onnxruntime', images)
    for backend in BACKENDS:
        found = ranked(target, backend, images)
        assert np.corrcoef(found, expected)[0, 1] > 0.95


def test_file_is_standard_and_a_third_as_large(quantized):
    path, target, _ = quantized
    model = onnx.load(target)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} == {''}
    assert target.stat().st_size < path.stat().st_size / 3
    after = read_metadata(target)
    assert after.pop('int8')['float'] == []
    assert after == read_metadata(path)


def test_proposals_and_suppression_stay_as_they_are(quantized):
    path, target, _ = quantized
    kinds = {'NonMaxSuppression', 'TopK', 'RoiAlign', 'Softmax'}
    kinds |= {'Exp', 'Clip', 'Concat', 'Mul', 'Sub', 'Div'}
    before, after = (
        [n.op_type for n in onnx.load(file).graph.node if n.op_type in kinds]
        for file in (path, target)
    )
    assert sorted(before) == sorted(after)
    assert kinds.intersection(before) == kinds
