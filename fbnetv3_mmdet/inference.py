"""Detection of objects in images outside a training or test run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import mmcv
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

from .checkpoints import load_safely, without_counters
from .data.datasets import leaves


class Detector:
    """A trained detector and what it needs to read an image.

    MMDetection's ``init_detector`` builds the whole test dataset for the
    names of its classes, and its inferencer stops at the first image that it
    cannot read.

    Args:
        cfg (Config): Of a detector of MMDetection, with a test pipeline.
        checkpoint (str): Anything ``mmengine.runner.load_checkpoint`` takes.
        device (str, optional): Such as 'cpu' or 'cuda:1'; None: the first
            accelerator, or else the CPU.

    Attributes:
        model (nn.Module): The detector, in eval mode.
        meta (dict): ``classes``, and ``palette`` where there is one, as the
            checkpoint says, or else the config's test dataset.

    Raises:
        ValueError: There is no such device, or the checkpoint does not fit.
        FileNotFoundError: There is no such checkpoint.
    """

    def __init__(
        self, cfg: Config, checkpoint: str, device: str | None = None
    ) -> None:
        device = _check_device(device or get_device())
        init_default_scope(cfg.get('default_scope', 'mmdet'))
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        loaded = load_weights(model, checkpoint)
        meta = loaded.get('meta', {}).get('dataset_meta')
        self.meta = meta or _dataset_meta(cfg)
        self.model: nn.Module = model.to(device).eval()
        self._pipeline = Compose(get_test_pipeline_cfg(cfg))

    def read(self, path: str | Path) -> tuple[Image.Image, dict]:
        """Return an image, and what the test pipeline makes of it.

        Raises:
            ValueError: The file is missing, damaged or no image.
        """
        try:
            with Image.open(path) as image:
                image.load()  # older OpenCV fills what is missing with grey
            picture = mmcv.imread(str(path), channel_order='rgb')
            data = self._pipeline(dict(img_path=str(path), img_id=0))
        except Exception as error:  # decoders raise anything
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise ValueError(
                f'{path} is no readable image: {reason}'
            ) from error
        return Image.fromarray(picture), data

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
