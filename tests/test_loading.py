"""Batches of a data set, and averages of weights, solved by hand."""

import pytest
import torch
from mmdet.structures import DetDataSample

from fbnetv3_mmdet import D2GoEMA, D2GoEMAHook
from fbnetv3_mmdet.data import BrokenPicture
from fbnetv3_mmdet.data.annotations import Defect
from fbnetv3_mmdet.training.faults.loading import Fetch, broken_of

pytestmark = pytest.mark.same_on_upstream


class Pictures:
    """Five pictures, of which the fourth is broken."""

    def __getitem__(self, i):
        if i == 3:
            raise BrokenPicture(Defect.TRUNCATED, 'cut', '3.png')
        return dict(inputs=i, data_samples=DetDataSample())

    def __len__(self):
        return 5


class InBatches(Pictures):
    """Load whole batches, as a data set of tar files may."""

    def __getitems__(self, indices):
        return [dict(self[i], at_once=True) for i in indices]


def test_a_data_sets_own_loading_of_batches_stays():
    fetch = Fetch.of(InBatches())
    fetch.limit = 0
    samples = fetch([0, 2])
    assert [sample['inputs'] for sample in samples] == [0, 2]
    assert all(sample['at_once'] for sample in samples)


@pytest.mark.parametrize('kind', [Pictures, InBatches])
@pytest.mark.parametrize('order', [('seed', 'limit'), ('limit', 'seed')])
def test_hooks_ask_in_any_order(kind, order):
    """Another picture is taken, the same whenever the batch is loaded."""
    values = dict(seed=7, limit=1)
    loaded = []
    for _ in range(2):
        dataset = kind()
        for name in order:
            setattr(Fetch.of(dataset), name, values[name])
        samples = dataset.__getitems__([12, 1, 3])  # batch number 12
        batch = {'data_samples': [s['data_samples'] for s in samples]}
        assert [file for file, _ in broken_of(batch)][0] == '3.png'
        loaded.append([sample['inputs'] for sample in samples])
    assert loaded[0] == loaded[1] and loaded[0][0] == 1
    assert loaded[0][1] in (0, 1, 2, 4)


def test_average_moves_in_every_second_iteration():
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0)
    average = D2GoEMA(model, momentum=0.25, interval=2)
    seen = []
    for _ in range(4):
        model.weight.data += 1
        average.update_parameters(model)
        seen.append(average.module.weight.item())
    # 0 + 1/4, and then 1/4 + (3 - 1/4) / 4
    assert seen == [0.25, 0.25, 0.9375, 0.9375]


@pytest.mark.parametrize('interval', [0, 1.5, None])
def test_interval_of_an_average_out_of_range(interval):
    with pytest.raises(ValueError, match=f'interval={interval!r} of D2GoEMA'):
        D2GoEMA(torch.nn.Linear(1, 1), interval=interval)
    assert D2GoEMAHook(interval=2).ema_cfg['interval'] == 2
