"""An exported file in the place of a detector."""

from __future__ import annotations

import os

import torch
from mmdet.registry import MODELS
from mmdet.structures import SampleList
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from fbnetv3_runtime import Detector


@MODELS.register_module()
class ExportedDetector(BaseModel):
    """A file of ``tools/export.py`` that MMDetection tests.

    Each image file is given to the runtime as its users give it: what the
    test pipeline does to the image has no effect.

    Args:
        model (str): Path of the exported file.
        backend (str, optional): 'onnxruntime' or 'openvino'; None: the first
            of them that is installed.
        threads (int, optional): Threads of the CPU; None: the backend's
            choice.

    Raises:
        ValueError: The file is missing, damaged or from elsewhere.
        ImportError: The backend is not installed.
    """

    def __init__(
        self,
        model: str,
        backend: str | None = None,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self.detector = Detector(model, backend, threads)

    def forward(
        self,
        inputs: list[torch.Tensor],
        data_samples: SampleList,
        mode: str = 'predict',
    ) -> SampleList:
        """Return the samples with ``pred_instances``, as detectors do.

        Args:
            inputs: Of the pipeline; not used.
            data_samples: With the ``img_path`` of a local file.
            mode: 'predict'.

        Raises:
            ValueError: The mode is another, or a sample has no file.
        """
        if mode != 'predict':
            raise ValueError(
                f'mode={mode!r} is not for an exported file, which can be '
                'tested only; train the config that it was exported from'
            )
        for sample in data_samples:
            sample.pred_instances = self._detect(sample.get('img_path'))
        return data_samples

    def _detect(self, path: str | None) -> InstanceData:
        if not (path and os.path.isfile(path)):
            raise ValueError(
                f'img_path={path!r} of a sample is no file; an exported file '
                'is tested with local image files, which PackDetInputs must '
                "name: add 'img_path' to its meta_keys"
            )
        found = self.detector.predict(path)
        instances = InstanceData(
            bboxes=torch.from_numpy(found.boxes),
            scores=torch.from_numpy(found.scores),
            labels=torch.from_numpy(found.labels),
        )
        if found.masks is not None:
            full = [torch.from_numpy(mask.full()) for mask in found.masks]
            instances.masks = torch.stack(full) if full else torch.empty(0)
        return instances

    def __deepcopy__(self, memo: dict) -> ExportedDetector:
        """Return itself: there are no weights for hooks to average."""
        return self
