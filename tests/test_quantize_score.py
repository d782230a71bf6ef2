"""Agreement of detections, with values known by hand."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_utils
from runtime_model import save_colors

from fbnetv3_mmdet.deploy.int8.score import Annotations, agreement, detect
from fbnetv3_runtime import Detector, Result, encode_mask

pytestmark = pytest.mark.same_on_upstream
RECALL_75 = 100 * 76 / 101  # COCO's mean over the recalls 0, 0.01, ..., 1


def detections(scores, part=1.0, masks=False):
    """Return squares of 40 px in a row; of their masks the upper part."""
    left = 50 * np.arange(len(scores))
    boxes = np.stack([left, 0 * left, left + 40, 0 * left + 40], 1)
    pixels = np.zeros((len(scores), 50, 200), bool)
    for mask, x in zip(pixels, left, strict=True):
        mask[: int(40 * part), x : x + 40] = True
    return Result(
        boxes.astype(np.float32),
        np.float32(scores),
        np.zeros(len(scores), int),
        ['thing'] * len(scores),
        [*map(encode_mask, pixels)] if masks else None,
    )


def test_a_file_agrees_with_itself():
    found = [detections([0.9, 0.6, 0.2])]
    # what it is not sure of does not count as wrong: it comes last
    scores = agreement(found).score(found)
    assert scores == pytest.approx(dict(AP=100, AP50=100))


def test_missing_and_moved_objects_count():
    truth = agreement([detections([0.9, 0.8, 0.7, 0.6])])
    found = detections([0.9, 0.8, 0.7])
    assert truth.score([found]) == pytest.approx(
        dict(AP=RECALL_75, AP50=RECALL_75)
    )
    found.boxes[2, 3] = 32  # 0.8 of the box: right for 7 of 10 thresholds
    both = truth.score([found])
    recall_50 = 100 * 51 / 101
    assert both['AP50'] == pytest.approx(RECALL_75)
    expected = 0.7 * RECALL_75 + 0.3 * recall_50
    assert both['AP'] == pytest.approx(expected)


def test_masks_count_by_themselves():
    truth = agreement([detections([0.9], masks=True)])
    scores = truth.score([detections([0.9], 0.8, masks=True)])
    assert scores['AP'] == pytest.approx(100)
    assert scores['mask AP'] == pytest.approx(70)
    assert scores['mask AP50'] == pytest.approx(100)


def test_what_a_file_is_not_sure_of_does_not_count():
    truth = agreement([detections([0.9, 0.4, 0.2])])
    full = pytest.approx(dict(AP=100, AP50=100))
    assert truth.score([detections([0.9])]) == full
    assert truth.score([detections([0.8, 0.9])]) == full
    # the third is new, and comes first
    found = truth.score([detections([0.8, 0.1, 0.9])])
    assert found == pytest.approx(dict(AP=50, AP50=50))


def test_nothing_found_scores_nothing():
    truth = agreement([detections([0.9])])
    assert truth.score([detections([])]) == dict(AP=0, AP50=0)


def test_nothing_to_find_is_refused():
    message = 'at a score of 0.5, sees no object in these images'
    with pytest.raises(ValueError, match=message):
        agreement([detections([0.4])])


def test_masks_of_many_images_fit_in_memory(tmp_path):
    model = save_colors(
        tmp_path / 'm.onnx', np.ones((4, 28, 28), np.float32), mask_thr=0.5
    )
    Image.new('RGB', (640, 480), 'red').save(tmp_path / 'x.png')
    (found,) = detect(Detector(model), [tmp_path / 'x.png'])
    assert sum(len(str(mask)) for mask in found.masks) < 640 * 480 / 100
    areas = mask_utils.area([*found.masks])[1:]
    # less some pixels at the corners
    assert areas == pytest.approx([640 * 480] * 3, rel=1e-3)
    assert agreement([found]).score([found])['mask AP'] == pytest.approx(100)


def test_the_longest_name_that_fits_is_the_image(tmp_path):
    box = dict(category_id=1, bbox=[0, 0, 40, 40], area=1600, iscrowd=0)
    images = [
        dict(id=i, file_name=name, width=200, height=50)
        for i, name in enumerate(['1.jpg', 'sub/1.jpg'], 1)
    ]
    coco = dict(
        images=images,
        categories=[dict(id=1, name='thing')],
        annotations=[dict(box, id=1, image_id=2)],
    )
    ann = tmp_path / 'ann.json'
    ann.write_text(json.dumps(coco))
    files = [tmp_path / 'sub' / '1.jpg']
    truth = Annotations(str(ann), ['thing']).scorer(files)
    assert truth.score([detections([0.9])])['AP'] == pytest.approx(100)


@pytest.mark.parametrize(
    'segmentation', [[], [[1, 2]], 'x', dict(size=[50, 200]), None], ids=str
)
def test_objects_without_a_mask_count_for_boxes_only(segmentation, tmp_path):
    square = [0, 0, 40, 0, 40, 40, 0, 40]
    objects = [
        dict(id=1, bbox=[0, 0, 40, 40], segmentation=[square]),
        dict(id=2, bbox=[50, 0, 40, 40], segmentation=segmentation),
    ]
    own = dict(image_id=7, category_id=3, area=1600, iscrowd=0)
    coco = dict(
        images=[dict(id=7, file_name='1.jpg', width=200, height=50)],
        categories=[dict(id=3, name='thing')],
        annotations=[entry | own for entry in objects],
    )
    ann = tmp_path / 'ann.json'
    ann.write_text(json.dumps(coco))
    known = Annotations(str(ann), ['thing'])
    scorer = known.scorer([tmp_path / '1.jpg'])
    full = dict.fromkeys(('AP', 'AP50', 'mask AP', 'mask AP50'), 100)
    assert scorer.score([detections([0.9, 0.8], masks=True)]) == (
        pytest.approx(full)
    )
    half = 100 * 51 / 101  # one of two objects
    found = scorer.score([detections([0.9], masks=True)])
    assert found == pytest.approx(full | dict(AP=half, AP50=half))
