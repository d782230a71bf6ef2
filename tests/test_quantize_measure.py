"""Agreement of detections, with values known by hand."""

import numpy as np
import pytest

from fbnetv3_mmdet.deploy.quantize_measure import agreement
from fbnetv3_runtime import Result

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
        pixels if masks else None,
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


def test_nothing_found_scores_nothing():
    truth = agreement([detections([0.9])])
    assert truth.score([detections([])]) == dict(AP=0, AP50=0)


def test_nothing_to_find_is_refused():
    message = 'at a score of 0.5, sees no object in these images'
    with pytest.raises(ValueError, match=message):
        agreement([detections([0.4])])
