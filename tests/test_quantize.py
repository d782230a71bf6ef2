"""tools/quantize.py, with a network whose integers are known by hand."""

import json
import runpy
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from runtime_model import METADATA, save

from fbnetv3_mmdet.deploy import quantize_file
from fbnetv3_mmdet.deploy.int8 import FileFigures, Report
from fbnetv3_mmdet.deploy.int8.choose import Choice, choose
from fbnetv3_runtime import BACKENDS, Detector, read_metadata

pytestmark = pytest.mark.same_on_upstream
TOOL = Path(__file__).resolve().parents[1] / 'tools' / 'quantize.py'
main = runpy.run_path(str(TOOL))['main']
LAYERS = ['backbone.first', 'backbone.depthwise', 'bbox_head.last']
BOXES = [[0, 0, 30, 60], [30, 0, 90, 60], [90, 0, 120, 90]]
COLOR = (100, 200, 50)
node = helper.make_node


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paint(name, color):
    """Write a picture of one colour, as large as the network's input."""
    Path(name).parent.mkdir(exist_ok=True)
    Image.new('RGB', (120, 90), color).save(name)


def save_network(outlier=0.0, **settings):
    """Write a detector of three things, what it says being known by hand.

    Of a picture of one colour (R, G, B) the scores are, times 255,
    (R, (G + 0.01 G) / 2, 0.7 R + 0.2 G); the boxes are BOXES times these
    scores.

    Args:
        outlier: Times R, it is what a fourth channel of the last layer
            gives, which nothing reads.
        settings: Of the metadata.
    """
    weights = {
        'backbone.first': [[1, 0, 0], [0, 1, 0], [0.7, 0.2, 0], [0, 0, 1]],
        'backbone.depthwise': [[1], [0.01], [1], [1]],
        'bbox_head.last': [*np.diag([0.5] * 4)[:3], [outlier / 2, 0, 0, 0]],
    }
    constants = {
        f'detector.{name}.weight': np.float32(value)[..., None, None]
        for name, value in weights.items()
    }
    first, depthwise, last = constants
    nodes = [
        node('Cast', ['image'], ['floats'], to=TensorProto.FLOAT),
        node('Transpose', ['floats'], ['pixels'], perm=[0, 3, 1, 2]),
        node('Conv', ['pixels', first], ['a'], 'conv_1'),
        node('Relu', ['a'], ['b'], 'relu'),
        node('Conv', ['b', depthwise], ['c'], 'conv_2', group=4),
        node('Add', ['b', 'c'], ['d'], 'add'),
        node('Conv', ['d', last], ['e'], 'conv_3'),
        node('GlobalAveragePool', ['e'], ['mean']),
        node('Reshape', ['mean', 'column'], ['values']),
        node('Gather', ['values', 'numbers'], ['three']),
        node('Div', ['three', 'white'], ['score_column']),
        node('Mul', ['places', 'score_column'], ['boxes']),
        node('Reshape', ['score_column', 'flat'], ['scores']),
        node('Identity', ['numbers'], ['labels']),
    ]
    constants |= dict(
        column=np.array([-1, 1]),
        flat=np.array([-1]),
        white=np.array([255], np.float32),
        numbers=np.arange(3),
        places=np.float32(BOXES),
    )
    metadata = METADATA | dict(classes=[*'rgb']) | settings
    metadata['resize'] = dict(scale=[120, 90], keep_ratio=True)
    save('float.onnx', nodes, constants, metadata)


def quantize(*options, target='int8.onnx'):
    """Run the tool, calibrating with black, white and bright pictures."""
    paint('train/black.png', (0, 0, 0))
    paint('train/white.png', (255, 255, 255))
    paint('train/yellow.png', (255, 255, 0))
    main(['float.onnx', target, '--calibrate', 'train', *options])


def scores(model, backend):
    """Return the scores times 255 of a picture of COLOR.

    One image at a time: OpenVINO 2026.4 builds the networks for several at
    once, and where it has to compute the weights of a fully connected layer,
    as of the first layer here, one of them may read those too early (6 of
    1,000 loads). In the exported detectors all weights are there as they are.
    """
    detector = Detector(model, backend, threads=1, parallel=1)
    picture = np.full((90, 120, 3), COLOR, np.uint8)
    return 255 * detector.predict(picture).scores


def weights(model):
    """Return weights of the layers, and the scales of integers among them."""
    graph = onnx.load(model).graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    convs = [n for n in graph.node if n.op_type == 'Conv']
    makers = {name: n for n in graph.node for name in n.output}
    found = []
    for conv in convs:
        maker = makers.get(conv.input[1])
        if maker is None:
            found.append((values[conv.input[1]], None))
        else:
            assert maker.op_type == 'DequantizeLinear'
            assert maker.attribute[0].name == 'axis'
            assert maker.attribute[0].i == 0
            found.append([values[name] for name in maker.input[:2]])
    return found


@pytest.mark.parametrize('backend', BACKENDS)
def test_integers_are_those_made_by_hand(backend):
    save_network()
    quantize()
    assert scores('float.onnx', backend) == pytest.approx([100, 101, 110])
    # The scale of all activations is 1 (of the sum 2), so that they are
    # exact, but for 0.7 R + 0.2 G. There 0.7 is 64 steps, and 0.2 is 18.3.
    # 18 steps make 0.1969, and the sum is 109.4. With steps of 8 bits it
    # would be 109.7; with steps of one size for the layer, 109.8.
    assert scores('int8.onnx', backend) == pytest.approx([100, 101, 109])


def test_weights_have_7_bits_and_a_scale_for_each_channel():
    save_network()
    quantize()
    onnx.checker.check_model('int8.onnx', full_check=True)
    first, depthwise, last = weights('int8.onnx')
    for values, scales in (first, depthwise, last):
        assert values.dtype == np.int8
        assert scales.shape == values.shape[:1]
        assert abs(values.astype(int)).max() == 64
    assert depthwise[1] == pytest.approx(np.array([1, 0.01, 1, 1]) / 64)
    expected = [[64, 0, 0], [0, 64, 0], [64, 18, 0], [0, 0, 64]]
    assert first[0][..., 0, 0].tolist() == expected


def test_layers_stay_in_float_as_asked(capsys):
    save_network()
    quantize('--float', 'bbox_head.*', '*.depthwise')
    types = [values.dtype for values, _ in weights('int8.onnx')]
    assert types == [np.int8, np.float32, np.float32]
    out = capsys.readouterr().out
    assert '1 of 3 layers are integers; in float are:' in out
    assert '  backbone.depthwise: as asked\n' in out


def test_metadata_say_what_was_done_and_nothing_else():
    save_network()
    before = read_metadata('float.onnx')
    quantize('--float', '*.last')
    after = read_metadata('int8.onnx')
    assert after.pop('int8')['float'] == ['bbox_head.last']
    assert after == before
    assert len(onnx.load('int8.onnx').metadata_props) == 1


def test_layers_that_cost_accuracy_stay_in_float(capsys):
    # of values up to 255000, steps of 1000 lose the colours
    save_network(outlier=1000)
    quantize('--max-drop', '100', target='all.onnx')
    assert scores('all.onnx', None).tolist() == [0, 0, 0]
    quantize()
    assert scores('int8.onnx', None) == pytest.approx([100, 101, 109])
    assert read_metadata('int8.onnx')['int8']['float'] == ['bbox_head.last']
    lines = capsys.readouterr().out.splitlines()
    line = '  bbox_head.last: costs 100.00 points alone (AP vs float)'
    assert line in lines


def test_bits_of_weights(capsys):
    save_network()
    for bits, largest in ((7, 64), (8, 127)):
        # 8 bits overflow on CPUs without VNNI, and would stay in float there
        options = ('--bits', str(bits), '--max-drop', '100')
        quantize(*options, target=f'{bits}.onnx')
        values = [abs(v.astype(int)).max() for v, _ in weights(f'{bits}.onnx')]
        assert values == [largest] * 3
        how = read_metadata(f'{bits}.onnx')['int8']['weights']
        assert how == f'int8 of {bits} bits, per channel'


def test_a_file_that_is_not_faster_is_told_of():
    figures = [
        FileFigures(*who, {}, ms, 1.0)
        for who, ms in {
            ('onnxruntime', 'float.onnx'): 9.14,
            ('onnxruntime', 'int8.onnx'): 11.3,
            ('openvino', 'float.onnx'): 9.5,
            ('openvino', 'int8.onnx'): 8.4,
        }.items()
    ]
    report = Report(figures, ['a'], Choice(['a'], {}))
    (line,) = report.not_faster()
    start = 'onnxruntime takes 11.3 ms with integers and 9.1 ms in float on th'
    assert line.startswith(start) and str(report).endswith(line)


def test_layers_are_measured_where_objects_are():
    save_network(outlier=1000)
    for i in range(16):
        paint(f'train/{i:02}.png', (0, 0, 0))
    quantize()
    assert read_metadata('int8.onnx')['int8']['float'] == ['bbox_head.last']


def test_table_compares_what_both_backends_find(capsys):
    save_network()
    quantize()
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split('|')] for line in lines]
    rows = [row for row in rows if len(row) > 2 and row[1] in BACKENDS]
    assert [row[2] for row in rows] == 2 * ['float.onnx', 'int8.onnx']
    for row in rows:
        size = Path(row[2]).stat().st_size / 1e6
        assert float(row[-2]) == pytest.approx(size, abs=0.005)


def annotate(boxes, names='rgb'):
    """Write annotations: an object in each box of white and of yellow."""
    annotations = [
        dict(
            id=10 * image + label,
            image_id=image,
            category_id=label,
            bbox=[x1, y1, x2 - x1, y2 - y1],
            area=(x2 - x1) * (y2 - y1),
            iscrowd=0,
        )
        for image in (7, 9)
        for label, (x1, y1, x2, y2) in enumerate(boxes, 1)
    ]
    images = [
        dict(id=i, file_name=f'{name}.png', width=120, height=90)
        for i, name in ((7, 'white'), (8, 'black'), (9, 'yellow'))
    ]
    categories = [dict(id=i, name=name) for i, name in enumerate(names, 1)]
    coco = dict(images=images, annotations=annotations, categories=categories)
    Path('train.json').write_text(json.dumps(coco))


def test_the_call_reports_what_the_annotations_say():
    save_network()
    for name in ('black', 'white', 'yellow'):
        paint(f'train/{name}.png', name)
    factors = np.array([[1], [0.505], [0.9]])
    boxes = (factors * BOXES).tolist()
    # the last of three objects is elsewhere
    annotate([*boxes[:2], [0, 60, 30, 90]])
    report = quantize_file(
        'float.onnx', 'int8.onnx', ['train'], annotations='train.json'
    )
    assert report.layers == report.choice.integers == LAYERS
    assert [(one.backend, one.path) for one in report.files] == [
        (backend, path)
        for backend in BACKENDS
        for path in ('float.onnx', 'int8.onnx')
    ]
    for one in report.files:
        assert one.scores['AP'] == pytest.approx(66.67, abs=0.01)
        assert one.scores['AP50'] == pytest.approx(66.67, abs=0.01)
        assert one.scores['AP vs float'] == pytest.approx(100)
        assert one.milliseconds > 0


def test_of_a_folder_the_annotated_images_are_taken():
    save_network()
    annotate(BOXES)
    paint('train/val.png', (255, 0, 0))
    Path('train/none.png').write_bytes(b'')
    quantize('--ann', 'train.json')
    assert Path('int8.onnx').is_file()


def fails(capsys, *options, target='int8.onnx'):
    """Return the one line in which the tool refuses."""
    with pytest.raises(SystemExit) as stop:
        quantize(*options, target=target)
    assert stop.value.code == 2
    assert not Path('int8.onnx').exists()
    assert not [*Path().glob('.partial*')]
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: ')
    return last


def test_quantized_files_are_refused(capsys):
    save_network()
    quantize(target='once.onnx')
    Path('once.onnx').replace('float.onnx')
    assert 'float.onnx is quantized already' in fails(capsys)


def test_other_files_are_refused(capsys):
    Path('float.onnx').write_bytes(b'no model')
    assert 'is no exported FBNetV3 detector' in fails(capsys)


def test_files_are_not_overwritten(capsys):
    save_network()
    Path('there.onnx').write_text('precious')
    assert "'there.onnx' exists" in fails(capsys, target='there.onnx')
    assert Path('there.onnx').read_text() == 'precious'


def test_unreadable_images_are_counted(capsys):
    save_network()
    Path('train').mkdir()
    Path('train/a.png').write_text('no image')
    Path('train/b.png').write_text('no image')
    assert '2 of 5 images cannot be read, such as: train' in fails(capsys)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--calibrate', 'empty'], "['empty'] has no files that end in"),
        (['--bits', '4'], '--bits=4 is no width of weights; give 7, or 8'),
        (['--num-images', '0'], '--num-images=0 is too low'),
        (['--max-drop', '-1'], '--max-drop=-1.0 is too low'),
        (['--float', 'neck.*'], "--float='neck.*' names no layer"),
        (['--ann', 'none.json'], "--ann='none.json' is not a file"),
        (['--calibrate', 'train/black.png'], 'sees no object in these ima'),
    ],
)
def test_mistakes(options, message, capsys):
    save_network()
    Path('empty').mkdir()
    assert message in fails(capsys, *options)


def test_annotations_of_other_images(capsys):
    save_network()
    annotate(BOXES)
    paint('more/red.png', (255, 0, 0))
    found = fails(capsys, '--ann', 'train.json', '--calibrate', 'more')
    assert "--ann='train.json' has no image more/red.png" in found


def test_a_class_that_the_annotations_lack_is_named():
    save_network()
    annotate(BOXES, 'xgb')
    with pytest.warns(UserWarning, match=r"has no category \['r'\]"):
        quantize('--ann', 'train.json')


class Losses(dict):
    """A sensitivity in which what layers lose is known, and adds up."""

    def ap50_loss(self, layers):
        return sum(self[name] for name in layers)

    def progress(self, layers, _):
        return layers

    ap_loss_alone = dict.__getitem__


@pytest.mark.parametrize(
    ('max_drop', 'kept'),
    [(20, ''), (8, 'b'), (7, 'bg'), (4, 'bg'), (3, 'bgd'), (2, 'bgdc')],
)
def test_the_fewest_worst_layers_stay_in_float(max_drop, kept):
    costs = Losses(a=0.25, b=8, c=1, d=1.5, e=1, f=0.25, g=4, h=0)
    choice = choose(costs, [*costs], max_drop)
    assert choice.integers == [name for name in costs if name not in kept]
    assert choice.losses == (costs if kept else {})


def test_accuracy_that_cannot_be_kept():
    costs = Losses(a=1, b=2, c=3, d=4)
    with pytest.raises(ValueError, match='--max-drop=0.5 cannot be met: 3.00'):
        choose(costs, [*costs], 0.5)
