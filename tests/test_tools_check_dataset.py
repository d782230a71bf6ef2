"""tools/check_dataset.py: what a user sees of a data set's defects."""

import json
import os
import runpy
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fbnetv3_mmdet.data import DigitScenes

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / 'tools' / 'check_dataset.py'
MASKS = 'mask-rcnn_fbnetv3-a-dsmask-c4_finetune_1xb4-1k_custom.py'
main = runpy.run_path(str(TOOL))['main']
WIDTH, HEIGHT = 64, 48
SIZE = (WIDTH, HEIGHT)
TURNED = 6  # EXIF: to be turned by 90 degrees


def noise(seed, size=SIZE):
    """A picture unlike those of other seeds, also where it is shrunk."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(coarse).resize(size, Image.BICUBIC)


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def bomb(file, side):
    """Write a PNG whose header announces side x side pixels."""

    def chunk(kind, data):
        crc = zlib.crc32(kind + data)
        return (
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', crc)
        )

    header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
    file.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + chunk(b'IHDR', header)
        + chunk(b'IDAT', zlib.compress(bytes(100)))
        + chunk(b'IEND', b'')
    )


class DataSet:
    """A folder of images and their annotation file, as it is built."""

    def __init__(self, folder, name='train'):
        self.images = folder / 'images'
        self.images.mkdir(exist_ok=True)
        self.file = folder / f'{name}.json'
        self.data = dict(
            images=[],
            annotations=[],
            categories=[dict(id=1, name='cat')],
        )

    def add(self, name, picture=None, size=SIZE, box=(8, 8, 24, 24), **save):
        """Add an image with one object."""
        number = len(self.data['images']) + 1
        width, height = size
        entry = dict(id=number, file_name=name, width=width, height=height)
        self.data['images'].append(entry)
        box = dict(bbox=list(box), area=100, iscrowd=0)
        self.data['annotations'].append(
            dict(id=number, image_id=number, category_id=1) | box
        )
        if picture:
            picture.save(self.images / name, **save)

    def check(self, *options):
        """Run the tool; return its status."""
        self.file.write_text(json.dumps(self.data))
        return status_of(str(self.file), str(self.images), *options)


def status_of(*args):
    try:
        main([*map(str, args)])
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.fixture
def dataset(tmp_path):
    dataset = DataSet(tmp_path)
    dataset.add('good.png', noise(0))
    return dataset


def counts_in(out_dir):
    report = json.loads((out_dir / 'report.json').read_text())
    return {f['kind']: f['count'] for f in report['findings']}


def plant_pictures(dataset):
    """Plant every defect of picture files; return their counts."""
    images = dataset.images
    dataset.add('missing.png')
    (images / 'folder.png').mkdir()
    dataset.add('folder.png')
    dataset.add('empty.png')
    (images / 'empty.png').touch()
    dataset.add('text.png')
    (images / 'text.png').write_text('<html>404</html>' * 20)
    dataset.add('script.png')
    (images / 'script.png').write_text('%!PS-Adobe-3.0 EPSF-3.0\n')
    for kind in ('png', 'jpg', 'bmp', 'webp'):
        file = images / f'cut.{kind}'
        dataset.add(file.name, noise(1))
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    file = images / 'tail.png'  # only the end mark is missing
    dataset.add(file.name, noise(2))
    file.write_bytes(file.read_bytes()[:-12])
    dataset.add('small.png', noise(3, (32, 24)))
    dataset.add('bomb.png')
    bomb(images / 'bomb.png', 50_000)
    upright = SIZE[::-1]
    dataset.add('stored.jpg', noise(4), exif=exif(TURNED))
    dataset.add('fits.jpg', noise(5), upright, exif=exif(TURNED))
    dataset.add('odd.jpg', noise(6), (10, 64), (1, 8, 8, 8), exif=exif(TURNED))
    dataset.add('upside.jpg', noise(7), exif=exif(3))
    dataset.add('square.png', noise(8, (50, 50)), (50, 50), exif=exif(TURNED))
    dataset.add('thin.png', noise(9, (64, 1)), (64, 1), (2, 0, 9, 1))
    dataset.add('grey.jpg', noise(10).convert('L'))
    dataset.add('line.png', noise(11).convert('1'))
    deep = np.asarray(noise(12).convert('L'), np.uint16) * 257
    dataset.add('deep.png', Image.fromarray(deep))
    dataset.add('alpha.png', noise(13).convert('RGBA'))
    dataset.add('print.jpg', noise(14).convert('CMYK'))
    dataset.add('few.png', noise(15).quantize(16))
    dataset.add('twin.png')
    (images / 'twin.png').write_bytes((images / 'good.png').read_bytes())
    return {
        'missing file': 2,
        'empty file': 1,
        'not an image': 2,
        'truncated picture': 5,
        'size differs from the JSON': 2,
        'enormous picture': 1,
        'EXIF-rotated, JSON fits the stored size': 1,
        'EXIF-rotated, JSON fits what is read': 1,
        'EXIF-turned, the size does not tell': 2,
        'one pixel high or wide': 1,
        'image below min_size': 2,  # thin.png, odd.jpg
        'greyscale': 3,
        '16 bit': 1,
        'alpha': 1,
        'CMYK': 1,
        'palette': 1,
        'same bytes as another image': 1,
    }


def test_every_planted_defect_of_pictures_is_counted(dataset, tmp_path):
    planted = plant_pictures(dataset)
    out = tmp_path / 'out'
    assert dataset.check('--images', '--out-dir', out) == 1
    assert counts_in(out) == planted
    with Image.open(out / 'defects.png') as sheet:
        assert sheet.width > 4 * 240


def test_pictures_are_opened_only_when_asked(dataset, tmp_path):
    plant_pictures(dataset)
    out = tmp_path / 'out'
    assert dataset.check('--out-dir', out) == 1
    assert counts_in(out) == {
        'missing file': 2,
        'empty file': 1,
        'image below min_size': 2,
    }


def test_table_names_file_and_id(dataset, capsys):
    dataset.add('a.png', noise(1), box=(100, 8, 9, 9))
    assert dataset.check() == 1
    (row,) = [
        line
        for line in capsys.readouterr().out.splitlines()
        if 'outside' in line
    ]
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    assert cells == [
        'dropped',
        'box outside its image',
        '1',
        'left out',
        'a.png #2',
    ]


def test_notes_alone_are_no_failure(dataset):
    dataset.add('grey.png', noise(1).convert('L'), box=(50, 8, 24, 24))
    assert dataset.check('--images') == 0


def test_clean_set_is_clean(tmp_path, capsys):
    scenes = DigitScenes(str(tmp_path), 'val', 20, ann_file='annotations.json')
    folder = Path(scenes.ann_file).parent
    args = [scenes.ann_file, folder / 'images', '--images']
    assert status_of(*args, '--out-dir', tmp_path / 'out') == 0
    assert 'Nothing is wrong.' in capsys.readouterr().out
    assert counts_in(tmp_path / 'out') == {}
    names = sorted(path.name for path in (tmp_path / 'out').iterdir())
    assert names == ['boxes.png', 'report.json']


def test_masks_of_the_config_count(dataset, tmp_path):
    config = ROOT / 'configs/fbnetv3' / MASKS
    out = tmp_path / 'out'
    dataset.data['categories'].append(dict(id=2, name='dog'))
    assert dataset.check('--config', config, '--out-dir', out) == 1
    assert counts_in(out) == {
        'object without segmentation': 1,
        'image of whose objects none is usable': 1,
        'file without a usable object': 1,
        'class without a usable object': 2,
    }
    dataset.data['annotations'][0]['segmentation'] = [[8, 8, 30, 8, 30, 30]]
    dataset.check('--config', config, '--out-dir', out)
    assert counts_in(out) == {'class without a usable object': 1}  # no dog


def test_images_that_val_has_too(dataset, tmp_path):
    for i in range(1, 4):
        dataset.add(f'{i}.png', noise(i))
    val = DataSet(tmp_path, 'val')
    val.add('good.png')  # the same file
    val.add('v1.jpg', noise(1), quality=60)
    val.add('v2.png')
    pixels = (dataset.images / '2.png').read_bytes()
    (val.images / 'v2.png').write_bytes(pixels)
    val.add('v9.png', noise(9))
    val.add('gone.png')
    val.file.write_text(json.dumps(val.data))
    out = tmp_path / 'out'
    options = ['--val', val.file, '--out-dir', out]
    assert dataset.check(*options) == 1
    assert counts_in(out) == {'image is in val too': 1}
    assert dataset.check(*options, '--images') == 1
    assert counts_in(out) == {
        'image is in val too': 2,
        'looks like one in val': 1,
    }


def disc(x, y):
    picture = Image.new('RGB', (320, 240), 'white')
    box = (x - 15, y - 15, x + 15, y + 15)
    ImageDraw.Draw(picture).ellipse(box, fill=(40, 90, 160))
    return picture


def test_other_things_on_one_background_do_not_look_alike(dataset, tmp_path):
    places = [(x, y) for x in range(40, 300, 50) for y in (50, 110, 170)]
    val = DataSet(tmp_path, 'val')
    for i, place in enumerate(places):
        owner = dataset if i % 2 else val
        owner.add(f'disc{i}.png', disc(*place), size=(320, 240))
    # a disc of both, saved with loss
    val.add('same.jpg', disc(*places[1]), size=(320, 240), quality=90)
    val.file.write_text(json.dumps(val.data))
    out = tmp_path / 'out'
    dataset.check('--val', val.file, '--images', '--out-dir', out)
    assert counts_in(out) == {'looks like one in val': 1}


def test_val_is_examined_too(dataset, tmp_path, capsys):
    val = DataSet(tmp_path, 'val')
    val.add('v.png', noise(1))
    val.data['annotations'][0]['bbox'] = [8, 8, -5, 24]
    val.file.write_text(json.dumps(val.data))
    assert dataset.check('--val', val.file) == 1
    report, _, of_val = capsys.readouterr().out.partition(f'In {val.file}:')
    assert 'Nothing is wrong.' in report and 'v.png' in of_val


def test_other_folder_of_val(dataset, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    val = DataSet(other, 'val')
    val.add('good.png', noise(1))  # another picture of that name
    val.file.write_text(json.dumps(val.data))
    options = ['--val', val.file, '--val-images', val.images]
    assert dataset.check(*options) == 0
    assert dataset.check(*options, '--images') == 0


def test_hostile_names_touch_and_print_nothing(dataset, tmp_path, capsys):
    outside = tmp_path / 'outside.png'
    noise(1).save(outside)
    if hasattr(os, 'mkfifo'):
        os.mkfifo(dataset.images / 'pipe.png')  # opening it would hang
        dataset.add('pipe.png')
    dataset.add('../outside.png')
    dataset.add(str(outside))
    dataset.add('\x1b[2J\r\n.png')
    dataset.add('x' * 10_000)
    dataset.data['categories'][0]['name'] = '$\\frac{$\n\x1b[2J\ud800'
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*')}
    out = tmp_path / 'out' / 'deep'
    assert dataset.check('--images', '--out-dir', out) == 1
    assert counts_in(out) == {
        'file name leaves the folder': 2,
        'missing file': 2 + hasattr(os, 'mkfifo'),
    }
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    after = {path for path in tmp_path.rglob('*') if path != dataset.file}
    new = after - {*before} - {out, out.parent}
    assert {path.parent for path in new} == {out}


@pytest.mark.parametrize(
    'args, message',
    [
        (['none.json'], "'none.json' cannot be read"),
        (['deep.json'], 'nested too deeply'),
        (['good.json', 'none'], "'none' is not a folder"),
        (['good.json', '--images'], '--images needs the folder'),
        (['good.json', '--val', 'none.json'], "'none.json' cannot be read"),
        (['good.json', '--config', 'none.py'], 'none.py'),
    ],
    ids=lambda value: str(value),
)
def test_users_mistakes_are_one_line(
    args, message, dataset, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path('deep.json').write_text('[' * 10**6)
    Path('good.json').write_text(json.dumps(dataset.data))
    assert status_of(*args) == 2
    printed = capsys.readouterr()
    assert printed.out == '' and message in printed.err
    assert printed.err.count('\n') == 1


def test_set_without_objects(dataset, tmp_path):
    dataset.data['annotations'].clear()
    out = tmp_path / 'out'
    assert dataset.check('--out-dir', out) == 1
    assert counts_in(out) == {
        'image without objects': 1,
        'file without a usable object': 1,
        'class without a usable object': 1,
    }


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='needs /proc')
def test_file_larger_than_the_memory_is_one_line(tmp_path):
    """A list of lists takes some twenty times its file's size."""
    file = tmp_path / 'large.json'
    file.write_text('[' + '[],' * 8_000_000 + '[]]')
    code = (
        'import re, resource, runpy, sys\n'
        'main = runpy.run_path(sys.argv[1])["main"]\n'
        'used = int(re.search("VmSize:(.*)kB",'
        ' open("/proc/self/status").read())[1]) << 10\n'
        'resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28),) * 2)\n'
        'main(sys.argv[2:])'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, TOOL, file],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 2
    assert 'too large for the memory' in done.stderr.splitlines()[-1]
