"""Which ops mmcv gets: its own where they load, the stand-in's otherwise."""

import importlib
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES

import pytest
import torch
from mmengine.hub import get_config

from fbnetv3_mmdet.errors import SettingError
from fbnetv3_mmdet.mmcv_ops import ext  # its package makes mmcv.ops importable
from fbnetv3_mmdet.training.settings import check_settings

from mmcv import ops  # isort: skip


def test_missing_op_raises_its_name_and_the_remedy(monkeypatch):
    # also where a compiled extension is installed
    module = importlib.import_module('mmcv.ops.carafe')
    monkeypatch.setattr(module, 'ext_module', ext)
    maps, masks = torch.zeros(1, 2, 5, 5), torch.zeros(1, 9, 10, 10)
    with pytest.raises(RuntimeError) as error:
        ops.carafe(maps, masks, 3, 1, 2)
    message = str(error.value)
    assert 'carafe_forward' in message and '\n' not in message
    assert f'install an mmcv compiled for torch {torch.__version__}' in message


CARAFE = 'model.roi_head.mask_head.upsample_cfg'
LAYER = 'model.roi_head.bbox_roi_extractor.roi_layer'


@pytest.mark.parametrize(
    ('path', 'kind', 'op'),
    [(CARAFE, 'carafe', 'carafe'), (LAYER, 'RoIPool', 'roi_pool')],
)
def test_a_part_without_its_op_is_named_before_data(
    path, kind, op, monkeypatch
):
    cfg = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    cfg.merge_from_dict({f'{path}.type': kind})
    cfg.load_from = 'none.pth'  # a fault that is found later
    monkeypatch.setitem(sys.modules, 'mmcv._ext', ext)
    with pytest.raises(SettingError) as error:
        check_settings(cfg)
    assert error.value.paths == (f'{path}.type',)
    message = str(error.value)
    assert f"{path}.type={kind!r} needs mmcv's compiled op {op!r}" in message
    assert '\n' not in message
    monkeypatch.setitem(sys.modules, 'mmcv._ext', None)  # mmcv's own
    with pytest.raises(ValueError, match='none.pth|ann_file|data_root'):
        check_settings(cfg)


def test_only_names_of_ops_are_answered():
    assert callable(ext.any_op_of_a_later_mmcv)
    for name in ('__path__', '_private'):
        assert not hasattr(ext, name)


def run(code, folder):
    """Run ``code`` in a fresh Python where ``folder`` is a part of mmcv."""
    code = f"""
import mmcv
mmcv.__path__.insert(0, {str(folder)!r})
{code}
"""
    result = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


EXT_SO = f'_ext{EXTENSION_SUFFIXES[0]}'


@pytest.mark.parametrize(
    ('file', 'content', 'reason'),
    [
        (EXT_SO, 'not a library', EXT_SO),
        ('_ext.py', "raise OSError('no libcudart\\nmore')", 'no libcudart)'),
    ],
    ids=['ImportError', 'OSError'],
)
def test_broken_extension_is_replaced_once(tmp_path, file, content, reason):
    (tmp_path / file).write_text(content)
    stdout = run(
        """
import importlib.util
import fbnetv3_mmdet
from fbnetv3_mmdet.mmcv_ops.register import register_ops
register_ops()

import torch
from mmcv.ops import batched_nms
from mmengine.utils.dl_utils.misc import mmcv_full_available
boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 6], [0, 0, 10, 6.0]])
scores, classes = torch.tensor([0.9, 0.8, 0.7]), torch.tensor([0, 0, 1])
nms = dict(type='nms', iou_threshold=0.5)
print('kept', batched_nms(boxes, scores, classes, nms)[1].tolist())
print('spec', importlib.util.find_spec('mmcv._ext') is not None)
print('full', mmcv_full_available())
""",
        tmp_path,
    )
    (line,) = (row for row in stdout.splitlines() if 'mmcv.ops uses' in row)
    assert "INFO - mmcv.ops uses torchvision's kernels" in line
    assert reason in line
    assert stdout.endswith('kept [0, 2]\nspec True\nfull True\n')


def test_extension_that_loads_is_left_alone(tmp_path):
    (tmp_path / '_ext.py').write_text(
        'def __getattr__(name):\n'
        "    return lambda *args, **kwargs: f'compiled {name}'\n"
    )
    stdout = run(
        """
import fbnetv3_mmdet
from mmcv.ops import get_compiler_version
print(get_compiler_version())
""",
        tmp_path,
    )
    (line,) = (row for row in stdout.splitlines() if 'mmcv.ops uses' in row)
    assert line.endswith(
        "INFO - mmcv.ops uses mmcv's compiled extension, mmcv._ext"
    )
    assert stdout.endswith('compiled get_compiler_version\n')


@pytest.mark.skipif(
    sys.modules['mmcv._ext'] is not ext,
    reason='needs an mmcv without compiled ops',
)
def test_mmdet_imported_earlier_gets_the_ops(tmp_path):
    # the fork's mmdet.apis imports without ops, upstream's does not: there a
    # notebook's first cell fails, and succeeds after this package's import
    stdout = run(
        """
try:
    from mmdet.apis import init_detector
except ModuleNotFoundError as error:
    assert error.name == 'mmcv._ext', error
try:
    import mmdet.models
except ModuleNotFoundError as error:
    assert error.name == 'mmcv._ext', error

import fbnetv3_mmdet
import mmcv.ops
import numpy as np
import torch
from mmdet.apis import inference, init_detector
from mmdet.models.layers.bbox_nms import multiclass_nms
from mmdet.structures.mask import BitmapMasks

assert inference.RoIPool is mmcv.ops.RoIPool
boxes = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 6], [20, 0, 30, 10.0]])
scores = torch.tensor([[0.75, 0.0], [0.5, 0.0], [0.25, 0.0]])
nms = dict(type='nms', iou_threshold=0.5)
dets, _ = multiclass_nms(boxes, scores, 0.1, nms)
print('scores', dets[:, 4].tolist())
masks = BitmapMasks(np.eye(4, dtype=np.uint8)[None], 4, 4)
box, inds = np.array([[0, 0, 4, 4]], np.float32), torch.tensor([0])
print(masks.crop_and_resize(box, (4, 4), inds).masks[0].nonzero())
""",
        tmp_path,
    )
    assert stdout.endswith(
        'scores [0.75, 0.25]\n(array([0, 1, 2, 3]), array([0, 1, 2, 3]))\n'
    )
