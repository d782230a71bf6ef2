"""data.datasets: what lies inside wrappers, in a config."""

import pytest

from fbnetv3_mmdet.data.datasets import leaves

pytestmark = pytest.mark.same_on_upstream

ONE, TWO = dict(type='CocoDataset', ann_file='1'), dict(type='VOCDataset')


def test_wrappers_are_looked_through():
    wrapped = dict(
        type='RepeatDataset',
        dataset=dict(type='ConcatDataset', datasets=[ONE, TWO]),
    )
    assert list(leaves(wrapped, 'train.dataset')) == [
        ('train.dataset.dataset.datasets.0', ONE),
        ('train.dataset.dataset.datasets.1', TWO),
    ]


def test_a_plain_dataset_is_its_own_leaf():
    assert list(leaves(ONE)) == [('dataset', ONE)]
    assert list(leaves(None)) == []
