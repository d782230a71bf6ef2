"""Pictures, by their pixels."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from PIL import Image

from fbnetv3_mmdet.files import complete_file
from fbnetv3_mmdet.visualization import (
    contact_sheet,
    draw_instances,
    plot_curves,
)

pytestmark = pytest.mark.same_on_upstream

RED, GREEN, WHITE = (255, 0, 0), (0, 160, 0), (255, 255, 255)
META = dict(classes=('cat', 'dog'), palette=[RED, GREEN])


def instances(**fields):
    boxes = torch.tensor([[40.0, 60.0, 120.0, 140.0]])
    return InstanceData(bboxes=boxes, labels=torch.tensor([1]), **fields)


@pytest.mark.parametrize('scale', [1, 2])
def test_boxes_lie_where_they_should(scale):
    picture = Image.new('RGB', (200, 160), 'white')
    drawn = draw_instances(picture, instances(), META, 200 * scale)
    assert drawn.size == (200 * scale, 160 * scale)
    pixels = np.asarray(drawn)
    green = np.argwhere((pixels == GREEN).all(-1))
    below = green[green[:, 0] > 60 * scale]  # the name is above
    assert below[:, 1].min() == 40 * scale
    assert below.max(0).tolist() == [140 * scale, 120 * scale]
    assert (pixels[100 * scale, 80 * scale] == WHITE).all()
    assert np.asarray(picture).min() == 255


def test_masks_tint_their_pixels():
    mask = torch.zeros(1, 160, 200, dtype=torch.bool)
    mask[0, 80:120, 60:100] = True
    picture = Image.new('RGB', (200, 160), 'white')
    drawn = draw_instances(picture, instances(masks=mask), META)
    pixels = np.asarray(drawn).astype(int)
    # 45 % of the class's colour, 55 % of white
    assert abs(pixels[100, 80] - [140, 212, 140]).max() <= 1
    assert (pixels[90, 50] == WHITE).all()


def test_names_stay_within_the_picture():
    picture = Image.new('RGB', (200, 160), 'white')
    boxes = torch.tensor([[190.0, 0.0, 199.0, 30.0]])
    found = InstanceData(
        bboxes=boxes, labels=torch.tensor([7]), scores=torch.tensor([0.5])
    )
    pixels = np.asarray(draw_instances(picture, found, dict(classes=())))
    plate = np.argwhere((pixels[5] != 255).any(-1))
    assert plate.min() < 150  # moved left: 'class 7 0.50' is wider than that


def test_contact_sheet_is_a_table():
    colors = ['red', 'green', 'blue']
    red, green, blue = (Image.new('RGB', (60, 40), c) for c in colors)
    sheet = contact_sheet([[red, green], [blue]], ['left', 'right'])
    pixels = np.asarray(sheet)
    corners = {
        color: np.argwhere((pixels == np.asarray(picture)[0, 0]).all(-1))
        for color, picture in zip(colors, (red, green, blue), strict=True)
    }
    for places in corners.values():
        assert (np.ptp(places, 0) == [39, 59]).all()
    top = {color: places.min(0).tolist() for color, places in corners.items()}
    assert top['red'][0] == top['green'][0] < top['blue'][0] - 40
    assert top['red'][1] == top['blue'][1] < top['green'][1] - 60


def test_curves_show_what_was_logged():
    figure = plot_curves(
        [
            dict(step=20, iter=20, lr=0.1, loss=5.0, loss_cls=3.0, acc=9.0),
            dict(step=40, iter=40, lr=0.2, loss=4.0, loss_cls=2.0, acc=9.0),
            {'step': 40, 'coco/bbox_mAP': 0.3, 'coco/bbox_mAP_50': 0.6}
            | {'coco/bbox_mAP_75': 0.4},
        ]
    )
    curves = {
        axes.get_title(): {
            line.get_label(): line.get_xydata().tolist()
            for line in axes.get_lines()
        }
        for axes in figure.axes
    }
    assert curves == {
        'loss': {
            'loss: 4': [[20, 5], [40, 4]],
            'loss_cls: 2': [[20, 3], [40, 2]],
        },
        'learning rate': {'lr: 0.2': [[20, 0.1], [40, 0.2]]},
        'AP on val': {
            'bbox AP: 0.3': [[40, 0.3]],
            'bbox AP50: 0.6': [[40, 0.6]],
        },
    }


def test_files_appear_only_when_complete(tmp_path):
    file = tmp_path / 'new' / 'a.txt'
    with complete_file(file) as path:
        path.write_text('old')
        assert not file.exists()
    with pytest.raises(RuntimeError), complete_file(file) as path:
        path.write_text('half')
        raise RuntimeError
    assert [p.name for p in file.parent.iterdir()] == ['a.txt']
    assert file.read_text() == 'old'
