"""Names of classes in any script, as pictures show them."""

import matplotlib
import pytest
from PIL import ImageFont

from fbnetv3_runtime import fonts

pytestmark = pytest.mark.same_on_upstream

DEJAVU = f'{matplotlib.get_data_path()}/fonts/ttf'  # with Cyrillic, no CJK


@pytest.fixture
def usual(monkeypatch):
    monkeypatch.setattr(fonts, 'FOLDERS', (DEJAVU,))
    fonts._warn.cache_clear()
    return ImageFont.load_default(20)  # Latin


def test_latin_names_keep_the_usual_font(usual):
    names = ['cat', 'dog']
    assert fonts.show_names(names, [0, 1], usual) == (usual, names)


def test_a_font_of_the_system_has_the_characters(usual):
    font, names = fonts.show_names(['кошка', 'cat'], [0, 1], usual)
    assert names == ['кошка', 'cat']
    assert font.size == 20 and 'DejaVu' in font.getname()[0]


def test_without_a_font_names_are_numbers_and_a_legend_says_which(usual):
    with pytest.warns(UserWarning, match="'猫'.* as class 7"):
        found = fonts.show_names(['猫', 'cat'], [7, 1], usual)
    assert found == (usual, ['class 7', 'cat'])
