"""The registry of settings, and the page that is made of it."""

from pathlib import Path

import pytest
from mmengine.config import Config

from fbnetv3_mmdet.paths import get_setting
from fbnetv3_mmdet.settings import (
    BASE,
    SETTINGS_OF_USERS,
    settings_table,
)

pytestmark = pytest.mark.same_on_upstream

ROOT = Path(__file__).parents[1]
BEGIN, END = '<!-- made by settings_table -->', '<!-- end -->'


@pytest.fixture(scope='module')
def base():
    return Config.fromfile(ROOT / BASE).to_dict()


def test_the_page_has_the_table_of_the_registry(base):
    page = (ROOT / 'docs/settings.md').read_text()
    table = page.partition(BEGIN)[2].partition(END)[0]
    assert table.strip() == settings_table(base).strip()


def test_settings_have_places_in_the_base_config(base):
    free = {'load_from'}  # not of the model: no weights are the default
    for setting in SETTINGS_OF_USERS:
        value = get_setting(base, setting.path)
        assert value is not None or setting.path in free, setting.path
        assert value is None or setting.kind.accepts(value), setting.path


def test_each_setting_is_named_once():
    for field in ('name', 'path', 'label'):
        values = [getattr(setting, field) for setting in SETTINGS_OF_USERS]
        assert len(set(values)) == len(values)
