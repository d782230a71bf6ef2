"""D2Go's published checkpoints of the family, and how they get here."""

from __future__ import annotations

import http.client
import os
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.error import HTTPError

import torch
from filelock import FileLock  # torch depends on it
from mmengine.logging import print_log

from .reading import check_checkpoint

_TRIES = 3
_MODELS = 'https://mobile-cv.s3-us-west-2.amazonaws.com/d2go/models'


class Published(NamedTuple):
    """A file on the net."""

    url: str
    sha256: str = ''  # its first digits; empty where not known


# D2Go's MODEL_ZOO, trained on COCO 2017; no hash is published.
ZOO = {
    'faster_rcnn_fbnetv3a_C4': Published(
        f'{_MODELS}/246823121/model_0479999.pth'
    ),
    'faster_rcnn_fbnetv3a_dsmask_C4': Published(
        f'{_MODELS}/250414811/model_0399999.pth'
    ),
    'faster_rcnn_fbnetv3g_fpn': Published(
        f'{_MODELS}/250356938/model_0374999.pth'
    ),
    'mask_rcnn_fbnetv3a_C4': Published(f'{_MODELS}/268421013/model_final.pth'),
    'mask_rcnn_fbnetv3a_dsmask_C4': Published(
        f'{_MODELS}/268412271/model_0499999.pth'
    ),
    'mask_rcnn_fbnetv3g_fpn': Published(
        f'{_MODELS}/287445123/model_0409999.pth'
    ),
    'keypoint_rcnn_fbnetv3a_dsmask_C4': Published(
        f'{_MODELS}/250430934/model_0389999.pth'
    ),
}


def fetch(file: Published, name: str, scheme: str = '') -> str:
    """Return the path of a published file, downloading it the first time.

    It is kept where ``torch.hub`` keeps its own, ``$TORCH_HOME`` or
    ``~/.cache/torch``, in ``hub/checkpoints``. Of several processes one
    downloads, and the others wait for it.

    Args:
        file (Published): What to download.
        name (str): What to call it in the cache.
        scheme (str): What users write before the path of such a file.

    Raises:
        OSError: No whole checkpoint could be had from its URL.
    """
    path = Path(torch.hub.get_dir(), 'checkpoints', name)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{path}.lock'):
            if not path.exists():  # nobody else was first
                _download(file, path, scheme)
    return str(path)


def _download(file: Published, path: Path, scheme: str) -> None:
    print_log(f'Downloading {file.url} to {path}', logger='current')
    part = path.with_name(f'{path.name}.part')
    reason = ''
    for _ in range(_TRIES):
        try:
            torch.hub.download_url_to_file(
                file.url,
                str(part),
                file.sha256 or None,
                progress=sys.stderr.isatty(),
            )
            check_checkpoint(str(part))
            os.replace(part, path)
            return
        # torch.hub tells a wrong hash by a RuntimeError
        except (
            OSError,
            ValueError,
            RuntimeError,
            http.client.HTTPException,
        ) as error:
            reason = str(error) or type(error).__name__
            if isinstance(error, HTTPError) and error.code < 500:
                break  # will be the same next time
        finally:
            part.unlink(missing_ok=True)
    raise OSError(
        f'{file.url} could not be downloaded: {reason}; or download it by '
        f'hand and give {scheme}PATH instead'
    )
