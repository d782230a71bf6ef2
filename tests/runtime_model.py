"""Exported files made by hand, for tests of the runtime."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fbnetv3_runtime import Detector

METADATA = dict(
    format=1,
    version='0.1.0',
    classes=['cell', 'red', 'green', 'blue'],
    resize=dict(scale=[480, 360], keep_ratio=True),
    size=None,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    score_thr=0.05,
    iou_thr=0.5,
    mask_thr=None,
    config='model = dict()',
)
F, I = TensorProto.FLOAT, TensorProto.INT64  # noqa: E741


def save(path, nodes, constants, metadata, masks=None):
    """Write a model of these nodes, which give boxes, scores and labels."""
    height, width = metadata['size'] or ('height', 'width')
    constants = dict(constants)
    outputs = [
        helper.make_tensor_value_info('boxes', F, ['D', 4]),
        helper.make_tensor_value_info('scores', F, ['D']),
        helper.make_tensor_value_info('labels', I, ['D']),
    ]
    if masks is not None:
        constants['mask_values'] = masks
        nodes = [
            *nodes,
            helper.make_node('Identity', ['mask_values'], ['masks']),
        ]
        shape = ['D', *masks.shape[1:]]
        outputs.append(helper.make_tensor_value_info('masks', F, shape))
    graph = helper.make_graph(
        nodes,
        'detector',
        [
            helper.make_tensor_value_info(
                'image', TensorProto.UINT8, [1, height, width, 3]
            )
        ],
        outputs,
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9
    )
    onnx.checker.check_model(model, full_check=True)
    helper.set_model_props(model, {'fbnetv3': json.dumps(metadata)})
    onnx.save(model, path)
    return path


def save_colors(path, masks=None, **metadata):
    """Write a detector of four things, whose results are known by hand.

    The first is always at BOX, with score 0.95. The others cover the whole
    input; their scores are red, green and blue of its first pixel, of 255.
    """
    node = helper.make_node
    nodes = [
        node('Reshape', ['image', 'flat'], ['values']),
        node('Gather', ['values', 'rgb'], ['first_pixel']),
        node('Cast', ['first_pixel'], ['pixel'], to=F),
        node('Div', ['pixel', 'white'], ['color']),
        node('Concat', ['sure', 'color'], ['scores'], axis=0),
        node('Identity', ['numbers'], ['labels']),
        node('Shape', ['image'], ['shape']),
        node('Gather', ['shape', 'wh'], ['input_size']),
        node('Cast', ['input_size'], ['corner'], to=F),
        node('Concat', ['origin', 'corner'], ['whole'], axis=0),
        node('Unsqueeze', ['whole', 'zero'], ['whole_row']),
        node('Expand', ['whole_row', 'three_rows'], ['wholes']),
        node('Concat', ['first', 'wholes'], ['boxes'], axis=0),
    ]
    constants = dict(
        flat=np.array([-1]),
        rgb=np.array([0, 1, 2]),
        white=np.array([255], np.float32),
        sure=np.array([0.95], np.float32),
        numbers=np.arange(4),
        wh=np.array([2, 1]),
        origin=np.zeros(2, np.float32),
        zero=np.array([0]),
        three_rows=np.array([3, 4]),
        first=np.array([BOX], np.float32),
    )
    return save(path, nodes, constants, METADATA | metadata, masks)


BOX = [30, 60, 90, 120]  # in pixels of the input


def save_echo(path, **metadata):
    """Write a detector whose scores are the pixels of its input, of 255."""
    node = helper.make_node
    nodes = [
        node('Cast', ['image'], ['pixels'], to=F),
        node('Reshape', ['pixels', 'flat'], ['values']),
        node('Div', ['values', 'white'], ['scores']),
        node('Cast', ['scores'], ['positive'], to=I),
        node('Mul', ['positive', 'nought'], ['labels']),
        node('Reshape', ['pixels', 'column'], ['values_column']),
        node('Mul', ['values_column', 'noughts'], ['boxes']),
    ]
    constants = dict(
        flat=np.array([-1]),
        white=np.array([255], np.float32),
        nought=np.array([0]),
        column=np.array([-1, 1]),
        noughts=np.zeros((1, 4), np.float32),
    )
    return save(path, nodes, constants, METADATA | metadata)


def network_input(echo, image, backend=None):
    """Return the pixels that the network of ``save_echo`` gets, flat."""
    scores = Detector(echo, backend, threads=1).predict(image).scores
    return (255 * scores).round().astype(np.uint8)
