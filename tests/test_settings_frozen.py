"""Frozen parts need weights from somewhere."""

import pytest
from mmengine.config import Config
from trainings import DIGITS

from fbnetv3_mmdet.errors import SettingError
from fbnetv3_mmdet.training.settings import check_settings
from fbnetv3_mmdet.training.settings.frozen import check_frozen

pytestmark = pytest.mark.same_on_upstream

STAGES = 'model.backbone.frozen_stages'
HEAD = 'model.roi_head.shared_head.frozen'
PRETRAINED = dict(type='Pretrained', checkpoint='weights.pth')


def config(**options):
    cfg = Config.fromfile(DIGITS)
    cfg.merge_from_dict(options)
    return cfg


@pytest.mark.parametrize(('path', 'value'), [(STAGES, 2), (HEAD, True)])
def test_frozen_random_weights_are_refused(path, value):
    with pytest.raises(SettingError) as caught:
        check_settings(config(**{path: value}, load_from=None), ('train',))
    line = str(caught.value)
    assert line.startswith(f'{path}={value} would freeze random weights')
    assert '\n' not in line and 'load_from' in line
    assert path in caught.value.paths


@pytest.mark.parametrize(
    'options',
    [
        {STAGES: 0, HEAD: False},
        {STAGES: 2, HEAD: True, 'load_from': 'weights.pth'},
        {STAGES: 2, 'resume': True},
        {STAGES: 2, 'model.backbone.init_cfg': PRETRAINED},
        {STAGES: 2, HEAD: True, 'model.init_cfg': [PRETRAINED]},
    ],
)
def test_weights_from_somewhere_pass(options):
    check_frozen(config(**options).to_dict())


def test_weights_of_another_part_are_not_enough():
    options = {HEAD: True, 'model.backbone.init_cfg': PRETRAINED}
    with pytest.raises(SettingError):
        check_frozen(config(**options).to_dict())


def test_a_test_run_needs_no_weights_in_the_config():
    check_settings(config(**{STAGES: 2}, load_from=None), ('test',))
