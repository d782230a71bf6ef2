"""The commands of README and docs, run as they stand, one after the other."""

import contextlib
import json
import os
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import torch
from exported import picture
from mmengine.config import Config
from PIL import Image
from random_detector import random_model
from trainings import FOLDER, PROCESSES, finish

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
# Short, from weights at hand, which tell nothing apart by more than roundings.
MORE = {
    'train': (
        '--cfg-options',
        'train_cfg.max_iters=2',
        'load_from=random.pth',
    ),
    'quantize': ('--max-drop', '100'),
}
# What each leaves behind, or prints.
OUTCOMES = {
    'README.md': (
        ('import_dataset export/', 'data/mine/mine.py'),
        ('train data/mine/mine.py', 'work_dirs/mine/iter_2.pth'),
        ('check_dataset.py data/', 'checked/boxes.png'),
        ('train.py mine.py', 'work_dirs/mine/iter_2.pth'),
        ('test.py mine.py work_dirs/', 'coco/bbox_mAP:'),
        ('predict.py mine.py', 'found/4.jpg'),
        ('export.py mine.py', 'mine.onnx'),
        ('quantize.py mine.onnx', 'int8.onnx'),
        ('test.py mine.py int8.onnx', 'coco/bbox_mAP:'),
        ('fbnetv3_runtime mine.onnx', 'found.json'),
    ),
    'docs/data.md': (
        ('import_dataset export/', 'mine/mine.py'),
        ('train mine/mine.py', 'work_dirs/mine/iter_2.pth'),
        ('check_dataset train.json', 'mended.json'),
        ('check_dataset mine/', 'Nothing is wrong'),
    ),
}


@pytest.mark.parametrize('page', OUTCOMES)
def test_commands_do_what_the_page_says(page, tmp_path):
    text = (ROOT / page).read_text()
    found = [*commands(text)]
    assert len(found) == len(OUTCOMES[page])
    prepare(tmp_path, text)
    for arguments, (name, outcome) in zip(found, OUTCOMES[page], strict=True):
        assert name in ' '.join(arguments)
        (tmp_path / outcome).unlink(missing_ok=True)  # of one before
        status, said = run(arguments, tmp_path)
        assert status == 0, said
        assert outcome in said or (tmp_path / outcome).stat().st_size


def commands(text):
    """Yield the arguments of a page's commands in Python."""
    for block in re.findall(r'```bash\n(.*?)```', text, re.DOTALL):
        for line in block.splitlines():
            if line.startswith('python '):
                yield shlex.split(line, comments=True)[1:]


def prepare(folder, text):
    """Write what the commands begin with: an export, photos, weights."""
    (folder / 'tools').symlink_to(ROOT / 'tools')
    for name in ('export', 'photos', 'images'):
        (folder / name).mkdir()
    images, annotations = [], []
    for number in range(1, 7):
        name = f'{number}.png'
        image = Image.fromarray(picture(number, 96, 128))
        for place in ('export', 'photos', 'images'):
            image.save(folder / place / name)
        images.append(dict(id=number, file_name=name, width=128, height=96))
        for category in (1, 2):
            box = [50 * category - 40, 10, 30, 50]
            ids = dict(id=len(annotations) + 1, image_id=number)
            annotations.append(ids | dict(category_id=category, bbox=box))
    classes = [dict(id=1, name='cat'), dict(id=2, name='dog')]
    content = dict(images=images, annotations=annotations, categories=classes)
    for place in ('export/train.json', 'train.json'):
        (folder / place).write_text(json.dumps(content))
    for code in re.findall(r"```python\n(_base_ = 'PATH.*?)```", text, re.S):
        (folder / 'mine.py').write_text(code.replace('PATH', str(ROOT)))
    config = next(FOLDER.glob('faster-rcnn_*_custom.py'))
    # less amplifies the roundings that tell an exported file from its model
    model = random_model(Config.fromfile(config).model, residual=0.2)
    torch.save(dict(state_dict=model.state_dict()), folder / 'random.pth')


def run(arguments, folder):
    """Run a command in a folder; return its status and what it prints."""
    arguments = [text.replace('iter_1000', 'iter_2') for text in arguments]
    if arguments[:2] == ['-m', 'fbnetv3_mmdet']:  # runs tools
        arguments = [f'tools/{arguments[2]}.py', *arguments[3:]]
    arguments += MORE.get(Path(arguments[0]).stem, ())
    output = folder / 'output.txt'
    process = PROCESSES.Process(target=_run, args=(arguments, folder, output))
    process.start()
    return finish(process), output.read_text()


def _run(arguments, folder, output):
    with (
        open(output, 'w') as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        os.chdir(folder)
        torch.set_num_threads(1)
        if arguments[0] == '-m':
            sys.argv = arguments[1:]
            runpy.run_module(sys.argv[0], run_name='__main__')
        else:
            sys.argv = arguments
            runpy.run_path(sys.argv[0], run_name='__main__')
