"""Rule: no part needs an op of mmcv's that only its compiled ops have."""

import sys
from collections.abc import Mapping

from ...errors import SettingError
from ...mmcv_ops import ext
from ...paths import find_dicts

# Parts, as a config names their types, and the op that each of them calls.
COMPILED = {
    'carafe': 'carafe',
    'GARPNHead': 'masked_conv2d',  # in evaluation
    'GARetinaHead': 'masked_conv2d',
    'RoIPool': 'roi_pool',
    'DeformRoIPool': 'deform_roi_pool',
    'DeformRoIPoolPack': 'deform_roi_pool',
    'ModulatedDeformRoIPoolPack': 'deform_roi_pool',
    'PrRoIPool': 'prroi_pool',
    'MMSyncBN': 'sync_bn',
}


def check_ops(cfg: Mapping) -> None:
    """Where the stand-in serves ``mmcv.ops``, it has the ops of each part."""
    if sys.modules.get('mmcv._ext') is not ext:
        return
    for path, node in find_dicts(cfg['model'], 'model'):
        kind = node.get('type')
        op = COMPILED.get(kind) if isinstance(kind, str) else None
        if op:
            raise SettingError(
                f"{path}.type={kind!r} needs mmcv's compiled op {op!r}, which "
                'fbnetv3_mmdet has no stand-in for; choose another type, or '
                'install an mmcv that is compiled for this torch',
                [f'{path}.type'],
            )
