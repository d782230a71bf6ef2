"""The benchmark: stages, processes, tables, the command line."""

import json
import runpy
from pathlib import Path

import pytest
from test_configs import DEFAULT

import fbnetv3_mmdet  # noqa: F401  MMDetection needs its mmcv.ops

onnx = pytest.importorskip('onnx')

# isort: split
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
import torch  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmengine.config import Config  # noqa: E402
from random_detector import CONFIG, random_weights  # noqa: E402

from fbnetv3_mmdet.deploy.bench import report, worker  # noqa: E402
from fbnetv3_mmdet.deploy.bench.jobs import PARTS, Row  # noqa: E402
from fbnetv3_mmdet.deploy.bench.measure import Figures, measure  # noqa: E402

TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'benchmark.py'
main = runpy.run_path(str(TOOL))['main']


def test_time_belongs_to_the_innermost_stage(monkeypatch):
    ticks = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])  # seconds
    monkeypatch.setattr(worker.time, 'perf_counter', lambda: next(ticks))

    class Model:
        def outer(self):
            return self.inner() + 1

        def inner(self):
            return 1

    model, clock, results = Model(), worker.StageClock(), []
    clock.watch(model, 'outer', 'RoI head')
    clock.watch(model, 'inner', 'postprocess')
    laps = clock.timed(lambda: results.append(model.outer()))()
    # other 0-1 and 10-15, RoI head 1-3 and 6-10, postprocess 3-6
    assert laps == {'other': 6000, 'RoI head': 6000, 'postprocess': 3000}
    assert results == [2]


@pytest.fixture
def doubler(tmp_path):
    """An ONNX file that doubles its input, (1, 4)."""
    io = [
        onnx.helper.make_tensor_value_info(name, 1, (1, 4))
        for name in ('image', 'y')
    ]
    node = onnx.helper.make_node('Add', ['image', 'image'], ['y'])
    graph = onnx.helper.make_graph([node], 'doubler', io[:1], io[1:])
    opset = [onnx.helper.make_opsetid('', 18)]
    path = tmp_path / 'doubler.onnx'
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    onnx.save(model, path)
    return path


def test_rows_take_turns_and_one_that_fails_stops_no_other(tmp_path, doubler):
    job = dict(engine='networks', backend='onnxruntime')
    models = {
        'first': (str(doubler), (1, 4)),
        'second': (str(doubler), (1, 4)),
    }
    good = Row('doubler', 'ONNX Runtime', job | dict(models=models))
    models = {'first': (str(tmp_path / 'nosuch.onnx'), (1, 4))}
    bad = Row('nosuch', 'ONNX Runtime', job | dict(models=models))
    log = tmp_path / 'log'
    found = measure([good, bad, good], 1, rounds=2, runs=3, log=log)
    assert [row for row, _ in found] == [good, bad, good]
    for _, figures in (found[0], found[2]):
        low, median, high = figures.ms
        assert 0 < low <= median <= high
        assert list(figures.stages) == ['first', 'second', 'other']
        # numpy and ONNX Runtime, and no PyTorch
        assert 20 < figures.peak < 150
    assert found[1][1].ms is None
    assert 'nosuch.onnx' in log.read_text()


def figures(ms, **stages):
    return Figures((ms - 1, ms, ms + 2), stages, 100.4)


def cells(table):
    return [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in table.splitlines()[2:]
    ]


def test_tables_hold_what_was_measured(tmp_path):
    file = tmp_path / 'a.onnx'
    file.write_bytes(bytes(1_540_000))
    whole = Row('A', 'OpenVINO int8', {}, file)
    alone = Row('A', 'OpenVINO int8' + PARTS, {})
    measured = [
        (whole, figures(12.0, network=11.0, other=1.0)),
        (alone, figures(8.0, dense=8.0)),
        (Row('B', 'torch.compile', {}), Figures(error='failed')),
    ]
    rows = cells(report.stage_table(measured))
    assert rows[0][2:] == [
        '12.0',
        '11.0 to 14.0',
        'network 11.0, other 1.0',
        '100',
        '1.5',
    ]
    assert rows[2][:4] == ['B', 'torch.compile', '-', 'failed']
    (row,) = cells(report.ratio_table(measured))
    assert row[2:] == ['12.0', '8.0', '1.50', 'missed (<= 1.25)']


def test_networks_are_split_into_what_parts_take_alone():
    measured = [
        (
            Row('A', 'OpenVINO int8', {}),
            figures(12.0, preprocess=1.0, network=10.0, other=1.0),
        ),
        (
            Row('A', 'OpenVINO int8' + PARTS, {}),
            Figures((7, 7, 7), {'dense': 5.0, 'box stage': 2.0, 'other': 0.1}),
        ),
        (Row('B', 'OpenVINO int8', {}), figures(3.0, network=3.0)),
        (Row('C', 'torch.compile', {}), Figures(error='failed')),
    ]
    split, *others = report.split_networks(measured)
    assert list(split[1].stages.items()) == [
        ('preprocess', 1.0),
        ('dense', 5.0),
        ('box stage', 2.0),
        ('proposals, RoIAlign, NMS', 3.0),
        ('other', 1.0),
    ]
    assert split[1].ms == (11.0, 12.0, 14.0)
    assert others == measured[1:]


def test_training_is_told_in_images_a_second_and_shares():
    row = Row('A', 'our hooks', dict(batch_size=8))
    found = figures(4000.0, data=400.0, backward=3600.0)
    (cells_,) = cells(report.training_table([(row, found)]))
    assert cells_[2:4] == ['2.00', 'data 10.0%, backward 90.0%']


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['nosuch.py'], "config='nosuch.py'"),
        ([f'{DEFAULT}=nosuch.pth'], "checkpoint='nosuch.pth' is no file"),
        (['--threads', '0'], '--threads=0 must be at least 1'),
        (['--threads', '4096'], '--threads=4096 must be at least 1 and at'),
        (['--rounds', '0'], '--rounds=0 must be at least 1'),
        (['--ap', str(DEFAULT)], f"--ap='{DEFAULT}' is no JSON of AP"),
    ],
)
def test_mistakes_are_told_in_one_line(args, message, tmp_path, capsys):
    with pytest.raises(SystemExit) as status:
        main([*args, '--out-dir', str(tmp_path / 'out')])
    assert status.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (tmp_path / 'out').exists()


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """Folder of a short benchmark, and the checkpoint's state dict."""
    folder = tmp_path_factory.mktemp('bench')
    checkpoint, state = folder / 'a.pth', random_weights()
    meta = dict(dataset_meta=dict(classes=tuple('0123456789')))
    torch.save(dict(state_dict=state, meta=meta), checkpoint)
    name = Path(CONFIG).stem
    precision = folder / 'ap.json'
    precision.write_text(json.dumps({name: {'MMDetection': 0.656}}))
    short = ['--threads', '1', '--rounds', '1', '--runs', '1']
    skip = ['--skip', 'compile', 'peers', 'training']
    files = ['--out-dir', str(folder), '--ap', str(precision)]
    main([f'{CONFIG}={checkpoint}', *short, *skip, *files])
    return folder, state


@pytest.mark.slow
def test_short_run_writes_all(run):
    folder, _ = run
    rows = json.loads((folder / 'benchmark.json').read_text())['1 thread']
    kinds = [
        f'{engine} {kind}{part}'
        for kind in ('float', 'int8')
        for engine in ('ONNX Runtime', 'OpenVINO')
        for part in ('', PARTS)
    ]
    assert [row['engine'] for row in rows] == ['MMDetection', *kinds]
    assert all(row['ms'] for row in rows)
    eager = 'preprocess backbone RPN proposals RoI~head postprocess other'
    stages = [stage.replace('~', ' ') for stage in eager.split()]
    assert list(rows[0]['stages']) == stages
    assert list(rows[1]['stages']) == [
        'preprocess',
        'dense',
        'box stage',
        'proposals, RoIAlign, NMS',
        'postprocess',
        'other',
    ]
    assert list(rows[2]['stages']) == ['dense', 'box stage', 'other']
    text = (folder / 'benchmark.md').read_text()
    assert all(f'| {kind} ' in text for kind in kinds)
    for picture in ('stages-1.png', 'ap-1.png'):
        assert (folder / picture).stat().st_size > 10_000


@pytest.mark.slow
def test_networks_alone_are_the_models_own(run):
    folder, state = run
    model = MODELS.build(Config.fromfile(CONFIG).model)
    model.load_state_dict(state)
    model.eval()
    generator = torch.Generator().manual_seed(0)
    pixels = 60 * torch.randn(1, 3, 224, 320, generator=generator)
    pooled = torch.randn(30, 112, 6, 6, generator=generator)
    with torch.no_grad():
        (feature,) = model.backbone(pixels)
        (logits,), (deltas,) = model.rpn_head((feature,))
        head = model.roi_head
        scores, boxes = head.bbox_head(head.shared_head(pooled))
    name = Path(CONFIG).stem
    for part, source, expected in (
        ('dense', pixels, (logits, deltas, feature)),
        ('box', pooled, (scores, boxes)),
    ):
        path = folder / f'files/{name}.float.{part}.onnx'
        session = onnxruntime.InferenceSession(path)
        found = session.run(None, {'image': source.numpy()})
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
