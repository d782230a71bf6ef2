"""What tests of imports share: pictures with a cat and a dog each."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
main = runpy.run_path(str(ROOT / 'tools' / 'import_dataset.py'))['main']
WIDTH, HEIGHT = 64, 48
CAT, DOG = [8, 6, 16, 12], [32, 12, 24, 30]  # x, y, width, height


def picture(path, seed):
    """Write a picture unlike those of other seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(
        0, 256, (12, 16, 3), np.uint8
    )
    image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.BICUBIC)
    image.save(path)


def run(source, *options):
    """Import; return train and val as lists of name, class and box."""
    out = source.parent / 'out'
    main([str(source), '--out', str(out), *options])
    return read(out, 'train'), read(out, 'val')


def read(out, part):
    data = json.loads((out / f'{part}.json').read_text())
    files = {image['id']: image['file_name'] for image in data['images']}
    names = {item['id']: item['name'] for item in data['categories']}
    for entries in data.values():
        assert [e['id'] for e in entries] == [*range(1, len(entries) + 1)]
    assert all((out / 'images' / name).is_file() for name in files.values())
    return sorted(
        (files[a['image_id']], names[a['category_id']], a['bbox'])
        for a in data['annotations']
    )


def refused(source, capsys, *options):
    """Return the line of an import that was refused and wrote nothing."""
    before = sorted(source.parent.rglob('*'))
    with pytest.raises(SystemExit) as stop:
        run(source, *options)
    assert stop.value.code == 2
    assert sorted(source.parent.rglob('*')) == before
    (line,) = capsys.readouterr().err.splitlines()
    return line


def coco(source, count=4, name='train.json', folder='images', start=1):
    """Write pictures with a cat and a dog each; return COCO's labels."""
    images, annotations = [], []
    for i in range(start, start + count):
        picture(source / folder / f'{i}.png', i)
        size = {'width': WIDTH, 'height': HEIGHT}
        images.append({'id': i, 'file_name': f'{i}.png', **size})
        for label, (x, y, w, h) in enumerate((CAT, DOG), 1):
            polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
            annotations.append(
                {
                    'id': len(annotations) + 1,
                    'image_id': i,
                    'category_id': label,
                    'bbox': [x, y, w, h],
                    'area': w * h,
                    'iscrowd': 0,
                    'segmentation': [polygon],
                }
            )
    categories = [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}]
    data = {'images': images, 'annotations': annotations}
    return {**data, 'categories': categories}


def save(source, data, name='train.json'):
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def both(*names):
    """Return what each picture has."""
    return sorted(
        (name, label, box)
        for name in names
        for label, box in (('cat', CAT), ('dog', DOG))
    )
