"""Detection of objects in images outside a training or test run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial

import mmcv
import numpy as np
import torch
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS, MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import get_test_pipeline_cfg
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.device import get_device
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader
from mmengine.structures import InstanceData
from torch import nn

from fbnetv3_runtime import Mask, Result
from fbnetv3_runtime.images import Photo, Picture, Size, read_photo

from .checkpoints import load_safely, without_counters
from .data.datasets import find_brightest, leaves
from .gathering import Gather


class TorchDetector:
    """A trained detector of a config, used as the runtime's ``Detector``.

    MMDetection's ``init_detector`` builds the whole test dataset for the
    names of its classes, and its inferencer stops at the first image that it
    cannot read.

    Args:
        cfg (Config): Of a detector of MMDetection, with a test pipeline.
        checkpoint (str): Anything ``mmengine.runner.load_checkpoint`` takes.
        device (str, optional): Such as 'cpu' or 'cuda:1'; None: the first
            accelerator, or else the CPU.
        score_thr (float): Least score of what :meth:`predict` returns.
        batch_size (int): How many images of one size the network may get at
            the same time, of those that threads ask for.

    Attributes:
        model (nn.Module): The detector, in eval mode.
        workers (int): How many threads keep it busy: while it detects in
            some images, others are read and drawn.
        meta (dict): ``classes``, and ``palette`` where there is one, as the
            checkpoint says, or else the config's test dataset.

    Raises:
        ValueError: There is no such device, or the checkpoint does not fit.
        FileNotFoundError: There is no such checkpoint.
    """

    def __init__(
        self,
        cfg: Config,
        checkpoint: str,
        device: str | None = None,
        score_thr: float = 0,
        batch_size: int = 1,
    ) -> None:
        device = _check_device(device or get_device())
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        loaded = load_weights(model, checkpoint)
        meta = loaded.get('meta', {}).get('dataset_meta')
        self.meta = meta or _dataset_meta(cfg)
        self.model: nn.Module = model.to(device).eval()
        self.score_thr = score_thr
        transforms = get_test_pipeline_cfg(cfg)
        self._pipeline = Compose(_from_pixels(transforms))
        self._fit = _find_fit(transforms)
        self._brightest = find_brightest(cfg)
        self.workers = 2 * batch_size
        self._gather = Gather(self._detect, _shape, batch_size)

    def predict(self, image: Picture | Photo) -> Result:
        """Detect the objects in an image.

        Threads may call it.

        Args:
            image: What :meth:`read` returned, or takes.

        Raises:
            ValueError: There is no such image, or it cannot be read.
        """
        photo = image if isinstance(image, Photo) else self.read(image)
        found = self.detect(self.prepare(photo))
        found = found[found.scores >= self.score_thr].numpy()
        classes = dict(enumerate(self.meta['classes']))
        names = [classes.get(i, f'class {i}') for i in found.labels.tolist()]
        masks = None
        if 'masks' in found:
            masks = [Mask(m, (0, 0), m.shape[::-1]) for m in found.masks]
        return Result(found.bboxes, found.scores, found.labels, names, masks)

    def read(self, image: Picture) -> Photo:
        """Return an image, of a large JPEG a smaller version.

        Args:
            image: A path, a Pillow image or an array, as the runtime's
                ``Detector.predict`` takes them.

        Raises:
            ValueError: The image is missing, damaged or no image.
        """
        return read_photo(image, self._fit, self._brightest)

    def prepare(self, photo: Photo) -> dict:
        """Return what the test pipeline makes of an image.

        What is detected in a smaller version is scaled to the whole image.
        """
        pixels = np.asarray(photo.picture)[..., ::-1]  # BGR, as OpenCV reads
        info = dict(img=np.ascontiguousarray(pixels), img_id=0)
        if photo.path:
            info['img_path'] = photo.path
        data = self._pipeline(info)
        if photo.picture.size != photo.size:
            sample = data['data_samples']
            sides = zip(sample.img_shape[::-1], photo.size, strict=True)
            sample.set_metainfo(
                dict(
                    ori_shape=photo.size[::-1],
                    scale_factor=tuple(new / old for new, old in sides),
                )
            )
        return data

    def detect(self, data: dict) -> InstanceData:
        """Return what is found in what :meth:`prepare` made.

        Returns:
            InstanceData: On the CPU: ``bboxes`` (N, 4) in pixels of the
            image file, x1, y1, x2, y2; ``scores`` (N,); ``labels`` (N,);
            ``masks`` (N, H, W), bool, from models that have them.
        """
        return self._gather(data)

    def _detect(self, batch: Sequence[dict]) -> list[InstanceData]:
        with torch.no_grad():
            samples: list[DetDataSample] = self.model.test_step(
                pseudo_collate(batch)
            )
        return [sample.pred_instances.cpu() for sample in samples]


def _shape(data: dict) -> tuple[int, ...]:
    """Return what images of a batch have in common: padding would count."""
    return tuple(data['inputs'].shape)


def _find_fit(transforms: list[dict]) -> Callable[[Size], Size] | None:
    """Return what tells the size to which a pipeline resizes an image.

    It is None where that is not known: then it gets all pixels.
    """
    names = [str(t['type']).rpartition('.')[2] for t in transforms]
    known = {'LoadImageFromFile', 'Resize', 'LoadAnnotations', 'PackDetInputs'}
    if not known.issuperset(names) or names.count('Resize') != 1:
        return None
    resize = transforms[names.index('Resize')]
    scale = resize.get('scale')
    if not isinstance(scale, Sequence) or not resize.get('keep_ratio'):
        return None
    return partial(mmcv.rescale_size, scale=tuple(scale))


def _from_pixels(pipeline: list[dict]) -> list[dict]:
    """Return a pipeline that begins with pixels, where it began with a file.

    A loader that is not MMDetection's, or reads no colours, stays.
    """
    load, *rest = deepcopy(pipeline)
    name = str(load['type']).rpartition('.')[2]
    if (name, load.get('color_type', 'color')) == (
        'LoadImageFromFile',
        'color',
    ):
        load['type'] = 'mmdet.LoadImageFromNDArray'
    return [load, *rest]


def ground_truth(info: dict, with_mask: bool) -> InstanceData:
    """Return the objects of an image that are not to be ignored.

    Args:
        info: Of the dataset, about the image.
        with_mask: Whether to load masks.
    """
    load = LoadAnnotations(with_mask=with_mask, box_type=None)
    loaded = load({**info, 'ori_shape': (info['height'], info['width'])})
    truth = InstanceData(
        bboxes=loaded['gt_bboxes'], labels=loaded['gt_bboxes_labels']
    )
    if with_mask:
        truth.masks = loaded['gt_masks'].masks
    return truth[~loaded['gt_ignore_flags']]


def load_weights(model: nn.Module, checkpoint: str) -> Mapping:
    """Load a checkpoint into a detector, and leave no weight random.

    MMEngine loads what fits, and prints the rest.

    Args:
        model (nn.Module): A detector, or a wrapper of one.
        checkpoint (str): Anything ``mmengine.runner.load_checkpoint`` takes.

    Returns:
        Mapping: What the checkpoint holds.

    Raises:
        ValueError: It does not fit.
        FileNotFoundError: There is no such checkpoint.
    """
    while isinstance(getattr(model, 'module', None), nn.Module):
        model = model.module
    load_safely()
    loaded = CheckpointLoader.load_checkpoint(
        checkpoint, map_location='cpu', logger=None
    )
    if not isinstance(loaded, Mapping):
        raise ValueError(
            f'checkpoint={checkpoint!r} holds no weights; give one that a '
            'training has saved'
        )
    state = loaded.get('state_dict', loaded)
    try:
        missing = model.load_state_dict(state, strict=False).missing_keys
    except RuntimeError as error:
        wrong = [line.strip() for line in str(error).splitlines()[1:]]
    else:
        wrong = [f'no {name}' for name in without_counters(missing)]
    if wrong:
        raise ValueError(
            f'checkpoint={checkpoint!r} does not fit the config in '
            f'{len(wrong)} tensors, of which the first: {wrong[0]}; give the '
            'config that it was trained with'
        )
    return loaded


def _check_device(device: str) -> str:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition('\n')[0]
        raise ValueError(
            f'device={device!r} cannot be used: {reason}; leave it out for '
            "the first accelerator, or else 'cpu'"
        ) from error
    return device


def _dataset_meta(cfg: Config) -> dict:
    """Return classes and palette without building, or drawing, a dataset."""
    _, dataset = next(leaves(cfg.test_dataloader.dataset))
    known = DATASETS.get(dataset.type).METAINFO
    return {**known, **dataset.get('metainfo', {})}
