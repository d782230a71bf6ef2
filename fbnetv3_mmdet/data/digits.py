"""DigitScenes: a detection dataset that is drawn, not downloaded."""

import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from pycocotools import mask as mask_utils
from tqdm import tqdm

from ..files import complete_file
from .scenes import HEIGHT, SPLITS, VERSION, WIDTH, draw_scene, load_split

ONE = ('digit',)  # classes, where a digit is a digit


@DATASETS.register_module()
class DigitScenes(CocoDataset):
    """Scenes of handwritten digits, drawn on first use.

    A scene is 224x320 px (height x width): one to six digits, 24 to 96 px
    high, on a textured background. Later digits partly cover earlier ones;
    masks are what remains visible, boxes are tight around them. The same
    arguments give the same annotations and pixels everywhere, scene i does
    not depend on ``num_images``, and no digit image is in both splits.

    The set lies in ``data_root/<split>_n<num_images>_s<seed>_v<version>``:
    ``annotations.json`` (COCO; ``source`` is the digit's row in
    scikit-learn's ``load_digits``) and ``images/``. That folder appears
    when it is complete.

    Args:
        data_root (str): Folder of the drawn sets.
        split (str): 'train' or 'val'.
        num_images (int): Number of scenes, at least 1.
        seed (int): At least 0.
        ann_file (str): Annotation file, within the set's folder.
        metainfo (dict, optional): ``dict(classes=('digit',))`` makes one class
            of all digits, which is learnt in a fraction of the time.
        data_prefix (dict, optional): Image folder, within the set's folder.
            Defaults to ``dict(img='images/')``.
        **kwargs: Of MMDetection's ``CocoDataset``.

    Raises:
        ValueError: An argument is out of range, or the set's folder exists
            and holds something else.
        ImportError: The set is not yet drawn and scikit-learn is missing.
    """

    METAINFO = {
        'classes': tuple('0123456789'),
        'palette': [
            (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40),
            (148, 103, 189), (140, 86, 75), (227, 119, 194), (127, 127, 127),
            (188, 189, 34), (23, 190, 207),
        ],
    }  # fmt: skip

    def __init__(
        self,
        data_root: str = 'data/digits/',
        split: str = 'train',
        num_images: int = 2000,
        seed: int = 0,
        ann_file: str = 'annotations.json',
        data_prefix: dict | None = None,
        metainfo: dict | None = None,
        **kwargs,
    ) -> None:
        """Draw the set where it is absent, then load it."""
        _check_arguments(split, num_images, seed)
        one_class = (metainfo or {}).get('classes') in (ONE, list(ONE))
        name = f'{split}_n{num_images}_s{seed}_v{VERSION}'
        folder = _ensure_drawn(
            Path(data_root) / (f'{name}_digit' if one_class else name),
            lambda partial: _draw_set(
                partial, split, num_images, seed, one_class
            ),
        )
        super().__init__(
            data_root=str(folder),
            ann_file=ann_file,
            data_prefix=data_prefix or dict(img='images/'),
            metainfo=metainfo,
            **kwargs,
        )


def _check_arguments(split: str, num_images: int, seed: int) -> None:
    if split not in SPLITS:
        raise ValueError(
            f'split={split!r} is not a split of DigitScenes; choose one of '
            f'{list(SPLITS)}'
        )
    for name, value, least in (
        ('num_images', num_images, 1),
        ('seed', seed, 0),
    ):
        if type(value) is not int or value < least:  # a bool is no number
            raise ValueError(
                f'{name}={value!r} is not allowed in DigitScenes; give an '
                f'integer of at least {least}'
            )


def _ensure_drawn(folder: Path, draw: Callable[[Path], None]) -> Path:
    """Return the folder of the set, drawing it where it is absent.

    The set is drawn into a hidden folder beside its own and then renamed, so
    that it exists wholly or not at all. Only the holder of the lock touches
    the hidden folder: what it finds there was left by one that was killed.
    """
    root, name = folder.parent, folder.name
    partial = root / f'.{name}.partial'
    if not folder.exists():
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f'.{name}.lock'):
            if not folder.exists():  # nobody drew it while we waited
                shutil.rmtree(partial, ignore_errors=True)
                try:
                    draw(partial)
                    partial.rename(folder)
                finally:
                    shutil.rmtree(partial, ignore_errors=True)
    if not (folder / 'annotations.json').is_file():
        raise ValueError(
            f'data_root={str(root)!r} has a folder {name!r} that is no '
            'DigitScenes set; move it away or choose another data_root'
        )
    return folder


def _draw_set(
    folder: Path, split: str, num_images: int, seed: int, one_class: bool
) -> None:
    """Draw a set into ``folder``: its pictures, then its annotations."""
    digits = load_split(split)
    (folder / 'images').mkdir(parents=True)
    images, annotations = [], []
    numbers = range(1, num_images + 1)  # COCO's evaluation wants ids > 0
    for number in tqdm(numbers, f'Drawing {split} scenes', mininterval=1):
        rng = np.random.default_rng([seed, SPLITS.index(split), number])
        scene, rles, indices = draw_scene(rng, digits)
        name = f'{number:06d}.png'
        # run lengths take a quarter of the default's time, for 3 % more bytes
        with complete_file(folder / 'images' / name) as file:
            scene.save(file, 'PNG', compress_type=zlib.Z_RLE)
        images.append(
            dict(id=number, file_name=name, height=HEIGHT, width=WIDTH)
        )
        annotations += [
            _annotation(rle, 0 if one_class else int(digits.labels[index]))
            | dict(
                id=10 * number + k,
                image_id=number,
                source=int(digits.rows[index]),
            )
            for k, (rle, index) in enumerate(zip(rles, indices, strict=True))
        ]
    info = dict(split=split, num_images=num_images, seed=seed, version=VERSION)
    names = ONE if one_class else DigitScenes.METAINFO['classes']
    coco = dict(
        info={'description': 'DigitScenes of mmdet-fbnetv3'} | info,
        categories=[dict(id=i, name=name) for i, name in enumerate(names, 1)],
        images=images,
        annotations=annotations,
    )
    with complete_file(folder / 'annotations.json') as file:
        file.write_text(json.dumps(coco))


def _annotation(rle: dict, label: int) -> dict:
    """Return what COCO says of an object with this mask, but for its ids."""
    return dict(
        category_id=label + 1,
        bbox=mask_utils.toBbox(rle).tolist(),
        area=int(mask_utils.area(rle)),
        iscrowd=0,
        segmentation=rle | {'counts': rle['counts'].decode()},
    )
