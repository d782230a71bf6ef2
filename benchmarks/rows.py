"""What a benchmark compares: rows of a table, and the files they need."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from fbnetv3_mmdet.deploy.export import export
from fbnetv3_mmdet.deploy.int8.quantizer import Quantizer
from fbnetv3_mmdet.deploy.int8.score import Annotations, CocoScorer, detect
from fbnetv3_mmdet.deploy.latency import class_names, random_detector
from fbnetv3_mmdet.inference import TorchDetector
from fbnetv3_runtime import Detector, read_image

from .peers import PEERS, SHAPE, export_peer

ENGINES = {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}
NUM_SCENES = 16  # of DigitScenes' train, to calibrate with
NUM_VAL = 200  # of its val, for AP
DIGITS = [*'0123456789']  # the classes of DigitScenes
R50 = 'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py'


class Row(NamedTuple):
    """One line of a table: a model in an engine.

    Attributes:
        model: Its name.
        engine: The engine's name, or the settings of a training.
        job: What a process runs, see ``worker.py``.
        precision: 'float' or 'int8'.
        file: The file whose size is reported.
        ap: Its box AP on DigitScenes, in percent; None: it was not trained
            for them, or is no exported file.
    """

    model: str
    engine: str
    job: dict
    precision: str = 'float'
    file: Path | None = None
    ap: float | None = None


class BenchmarkFiles:
    """Makes the files that rows need, in one folder.

    Args:
        folder: Where checkpoints, exported files and images go.
        digits: Config of DigitScenes, which images are taken from.
    """

    def __init__(self, folder: Path, digits: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        register_all_modules()
        self._folder = folder
        self._digits = digits
        self._data_root = f'{folder}/digits/'
        self._scenes = _image_files(self._draw('train', NUM_SCENES))
        self._pixels = np.array(read_image(self._scenes[0]))
        self._image = str(folder / 'image.npy')
        np.save(self._image, self._pixels)

    def detector(
        self, config: str, checkpoint: str | None, compiled: bool
    ) -> Iterator[Row]:
        """Yield the rows of one config.

        Args:
            config: Path of the config.
            checkpoint: File of its weights; None: random ones.
            compiled: Whether to try ``torch.compile``.
        """
        name, cfg = Path(config).stem, Config.fromfile(config)
        is_trained = checkpoint is not None
        checkpoint = checkpoint or self._random_weights(name, cfg)
        job = dict(engine='eager', model=config, image=self._image)
        job |= dict(checkpoint=checkpoint)
        yield Row(name, 'MMDetection', job, file=Path(checkpoint))
        if compiled:
            yield Row(name, 'torch.compile', job | dict(compile=True))
        files = self._export(name, cfg, checkpoint)
        for precision, file in files.items():
            for backend, engine in ENGINES.items():
                job = dict(engine='exported', model=str(file))
                job |= dict(image=self._image, backend=backend)
                ap = self._average_precision(file, backend, is_trained)
                yield Row(name, engine, job, precision, file, ap)

    def peers(self) -> Iterator[Row]:
        """Yield the rows of torchvision's detectors."""
        for name in PEERS:
            job = dict(engine='torchvision', model=name, image=self._image)
            yield Row(name, 'torchvision', job)
            file = self._folder / f'{name}.onnx'
            export_peer(name, file)
            for backend, engine in ENGINES.items():
                job = dict(engine='network', model=str(file), shape=SHAPE)
                job |= dict(backend=backend)
                yield Row(name, engine, job, file=file)

    def training(self, config: str) -> Iterator[Row]:
        """Yield training of a config, plain and with our hooks, and R-50's."""
        r50 = R50.rsplit('/')[-1]
        for name, model, settings, hooks, batch_size in (
            (Path(config).stem, config, 'default format', False, 8),
            (Path(config).stem, config, 'our hooks', True, 8),
            # 8 images of 512 regions would take 20 GiB
            (r50, R50, 'default format, batch 1', False, 1),
        ):
            job = dict(engine='training', model=model, hooks=hooks)
            job |= dict(batch_size=batch_size, data=self._digits)
            yield Row(name, settings, job | dict(data_root=self._data_root))

    def _draw(self, split: str, number: int) -> CocoDataset:
        dataset = Config.fromfile(self._digits).val_dataloader.dataset
        dataset.update(
            data_root=self._data_root, split=split, num_images=number
        )
        return DATASETS.build(dataset)

    @cached_property
    def _val(self) -> tuple[list[Path], CocoScorer]:
        """The files of DigitScenes' val, and what knows what is in them."""
        scenes = self._draw('val', NUM_VAL)
        files = [*map(Path, _image_files(scenes))]
        known = Annotations(scenes.ann_file, scenes.metainfo['classes'])
        return files, known.scorer(files)

    def _average_precision(
        self, file: Path, backend: str, is_trained: bool
    ) -> float | None:
        detector = Detector(file, backend, threads=1)
        if not (is_trained and detector.metadata['classes'] == DIGITS):
            return None
        files, scorer = self._val
        return scorer.score(detect(detector, files))['AP']

    def _random_weights(self, name: str, cfg: Config) -> str:
        model = random_detector(cfg, self._pixels)
        meta = dict(dataset_meta=dict(classes=class_names(model)))
        path = str(self._folder / f'{name}.pth')
        torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
        return path

    def _export(
        self, name: str, cfg: Config, checkpoint: str
    ) -> dict[str, Path]:
        """Return an exported file by precision; in int8 every layer is."""
        files = {
            precision: self._folder / f'{name}.{precision}.onnx'
            for precision in ('float', 'int8')
        }
        trained = TorchDetector(cfg, checkpoint, 'cpu')
        export(cfg, trained.model, trained.meta['classes'], files['float'])
        detector = Detector(files['float'], 'onnxruntime')
        quantizer = Quantizer(files['float'])
        quantizer.calibrate(
            detector.resize(read_image(file))[0][None] for file in self._scenes
        )
        onnx.save(quantizer.build([*quantizer.layers]), files['int8'])
        return files


def _image_files(scenes: CocoDataset) -> list[str]:
    return [scenes.get_data_info(i)['img_path'] for i in range(len(scenes))]
