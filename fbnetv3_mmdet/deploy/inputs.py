"""Pictures that a detector is given without an image file."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.structures import DetDataSample
from PIL import Image


def random_picture(height: int, width: int) -> np.ndarray:
    """Return clouds of random colours, uint8 (height, width, 3), RGB.

    It is the same picture each time.
    """
    noise = np.random.default_rng(0).integers(0, 256, (14, 20, 3), np.uint8)
    small = Image.fromarray(noise)
    return np.array(small.resize((width, height), Image.Resampling.BILINEAR))


def as_batch(picture: np.ndarray) -> dict:
    """Return what ``model.test_step`` takes, of one picture.

    Args:
        picture: uint8 (H, W, 3), RGB, of the network's input size.
    """
    size = picture.shape[:2]
    sample = DetDataSample(
        metainfo=dict(
            img_id=0, ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0)
        )
    )
    pixels = torch.from_numpy(picture[..., ::-1].copy()).permute(2, 0, 1)
    return dict(inputs=[pixels], data_samples=[sample])
