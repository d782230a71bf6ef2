"""Records of runs, written by hand in mmengine's format."""

import json
import math

import pytest

from fbnetv3_mmdet.training.logs import coco_metrics, read_records

pytestmark = pytest.mark.same_on_upstream


def train(step, loss):
    return dict(base_lr=0.1, lr=0.1, loss=loss, time=1.0, iter=step, step=step)


def val(step, ap):
    return {'coco/bbox_mAP': ap, 'data_time': 0.1, 'time': 0.2, 'step': step}


def write(work_dir, timestamp, records, end='\n'):
    folder = work_dir / timestamp / 'vis_data'
    folder.mkdir(parents=True)
    text = '\n'.join(json.dumps(record) for record in records) + end
    (folder / 'scalars.json').write_text(text)


def losses(records):
    return [(r['step'], r['loss']) for r in records if 'loss' in r]


def aps(records):
    key = 'coco/bbox_mAP'
    return [(r['step'], r[key]) for r in records if key in r]


def test_a_resumed_run_replaces_what_it_repeats(tmp_path):
    first = [train(20, 5.0), train(40, 4.0), val(40, 0.1), train(60, 3.0)]
    write(tmp_path, '20260101_100000', [*first, val(60, 0.2), train(80, 9.0)])
    second = [train(60, 3.5), val(60, 0.3)]  # resumed from 40, shorter
    write(tmp_path, '20260101_110000', second)
    records = read_records(tmp_path)
    assert losses(records) == [(20, 5.0), (40, 4.0), (60, 3.5)]
    assert aps(records) == [(40, 0.1), (60, 0.3)]


def test_a_run_from_scratch_replaces_everything(tmp_path):
    write(tmp_path, '20260101_100000', [train(20, 5.0), val(20, 0.1)])
    write(tmp_path, '20260102_100000', [train(10, 7.0)])
    records = read_records(tmp_path)
    assert losses(records) == [(10, 7.0)]
    assert aps(records) == []


@pytest.mark.parametrize('steps', [(0, 0), (1, 2), (40, 80)])
def test_evaluations_get_iterations(steps, tmp_path):
    # mmengine counts them in epochs, of which iteration-based runs have 0,
    # or in iterations
    run = [train(20, 5.0), train(40, 4.0), val(steps[0], 0.1)]
    run += [train(60, 3.0), train(80, 2.0), val(steps[1], 0.2)]
    write(tmp_path, '20260101_100000', run)
    assert aps(read_records(tmp_path)) == [(40, 0.1), (80, 0.2)]


def test_an_evaluation_repeated_after_a_resume_counts_once(tmp_path):
    write(tmp_path, '20260101_100000', [train(40, 4.0), val(0, 0.1)])
    write(tmp_path, '20260101_110000', [val(0, 0.2), train(60, 3.0)])
    records = read_records(tmp_path)
    assert aps(records) == [(40, 0.2)]
    assert losses(records) == [(40, 4.0), (60, 3.0)]


def test_a_line_cut_short_is_left_out(tmp_path):
    cut = '\n{"loss": 3.0, "iter": 60, "st'
    write(tmp_path, '20260101_100000', [train(40, 4.0)], end=cut)
    assert losses(read_records(tmp_path)) == [(40, 4.0)]


def test_a_folder_without_logs_is_named(tmp_path):
    with pytest.raises(ValueError, match='holds no log .*scalars.json'):
        read_records(tmp_path)


def test_coco_metrics_are_in_the_order_of_the_headings():
    ends = ['', '_50', '_75', '_s', '_m', '_l']
    metrics = {f'coco/segm_mAP{end}': i / 10 for i, end in enumerate(ends)}
    assert coco_metrics({'time': 1.0, **metrics}) == {
        'segm': [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    }
    assert coco_metrics({'loss': 1.0}) == {}


def test_metrics_that_were_not_asked_for_are_missing():
    # metric_items=['mAP_50'] of CocoMetric
    (values,) = coco_metrics({'coco/bbox_mAP_50': 0.5}).values()
    assert values[1] == 0.5
    assert all(math.isnan(value) for value in values[:1] + values[2:])


def test_a_record_without_a_step_is_left_out(tmp_path):
    write(tmp_path, '20260101_100000', [{'note': 1}, train(40, 4.0)])
    assert losses(read_records(tmp_path)) == [(40, 4.0)]
