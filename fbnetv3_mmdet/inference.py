"""Detection of objects in images outside a training or test run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy

import numpy as np
import torch
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
from PIL import Image
from torch import nn

from fbnetv3_runtime import Result, read_image
from fbnetv3_runtime.images import Picture

from .checkpoints import load_safely, without_counters
from .data.datasets import leaves


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

    Attributes:
        model (nn.Module): The detector, in eval mode.
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
    ) -> None:
        device = _check_device(device or get_device())
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        loaded = load_weights(model, checkpoint)
        meta = loaded.get('meta', {}).get('dataset_meta')
        self.meta = meta or _dataset_meta(cfg)
        self.model: nn.Module = model.to(device).eval()
        self.score_thr = score_thr
        self._pipeline = Compose(_from_pixels(get_test_pipeline_cfg(cfg)))

    def predict(self, image: Picture) -> Result:
        """Detect the objects in an image.

        Args:
            image: A path, a Pillow image or an array, as the runtime's
                ``Detector.predict`` takes them.

        Raises:
            ValueError: There is no such image, or it cannot be read.
        """
        _, data = self.read(image)
        found = self.detect(data)
        found = found[found.scores >= self.score_thr]
        classes = dict(enumerate(self.meta['classes']))
        labels = found.labels.numpy()
        return Result(
            boxes=found.bboxes.numpy(),
            scores=found.scores.numpy(),
            labels=labels,
            names=[classes.get(i, f'class {i}') for i in labels.tolist()],
            masks=found.masks.numpy() if 'masks' in found else None,
        )

    def read(self, image: Picture) -> tuple[Image.Image, dict]:
        """Return an image, and what the test pipeline makes of it.

        The image is decoded once.

        Raises:
            ValueError: The image is missing, damaged or no image.
        """
        picture = read_image(image)
        pixels = np.asarray(picture)[..., ::-1]  # BGR, as OpenCV reads
        info = dict(img=np.ascontiguousarray(pixels), img_id=0)
        if isinstance(image, str | os.PathLike):
            info['img_path'] = os.fspath(image)
        return picture, self._pipeline(info)

    def detect(self, data: dict) -> InstanceData:
        """Return what is found in what :meth:`read` has read.

        Returns:
            InstanceData: On the CPU: ``bboxes`` (N, 4) in pixels of the
            image file, x1, y1, x2, y2; ``scores`` (N,); ``labels`` (N,);
            ``masks`` (N, H, W), bool, from models that have them.
        """
        with torch.no_grad():
            sample: DetDataSample = self.model.test_step(
                pseudo_collate([data])
            )[0]
        return sample.pred_instances.cpu()


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
