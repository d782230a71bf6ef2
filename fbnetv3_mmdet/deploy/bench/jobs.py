"""What a benchmark compares: a declarative list of rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from mmdet.registry import DATASETS
from mmdet.utils import register_all_modules
from mmengine.config import Config

from fbnetv3_runtime import Detector as ExportedDetector
from fbnetv3_runtime import read_image

from ...inference import Detector
from ..export import export
from ..quantize import Quantizer
from .mmdet_jobs import save_random
from .parts import cut
from .peers import PEERS, SHAPE, export_peer

ENGINES = {'onnxruntime': 'ONNX Runtime', 'openvino': 'OpenVINO'}
KINDS = 'float', 'int8'
PARTS = ', networks alone'
SCENES = 16  # to calibrate with
R50 = 'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py'


class Row(NamedTuple):
    """One line of a table: a model in an engine."""

    model: str
    engine: str
    job: dict
    file: Path | None = None  # whose size is reported


class Workshop:
    """Makes the files that rows need, in one folder.

    Args:
        folder: Of checkpoints, exported files and images.
        digits: Config of DigitScenes, which images are taken from.
    """

    def __init__(self, folder: Path, digits: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        register_all_modules()
        self.folder = folder
        self.digits = digits
        self.image = folder / 'image.npy'
        scenes = self._scenes()
        self._scene_files = [
            scenes.get_data_info(i)['img_path'] for i in range(SCENES)
        ]
        self._pixels = np.array(read_image(self._scene_files[0]))
        np.save(self.image, self._pixels)

    def detector(
        self, config: str, checkpoint: str | None, compiled: bool
    ) -> Iterator[Row]:
        """Yield the rows of one config.

        Args:
            config: Path.
            checkpoint: Of weights; None: random ones.
            compiled: Whether to try ``torch.compile``.
        """
        name, cfg = Path(config).stem, Config.fromfile(config)
        if checkpoint is None:
            checkpoint = str(self.folder / f'{name}.pth')
            save_random(cfg, self._pixels, checkpoint)
        job = self._job('eager', config, checkpoint=checkpoint)
        yield Row(name, 'MMDetection', job, Path(checkpoint))
        if compiled:
            yield Row(name, 'torch.compile', job | dict(compile=True))
        files = self._export(name, cfg, checkpoint)
        rois = cfg.model.test_cfg.rpn.max_per_img
        layers = Quantizer(files['float']).layers
        for kind, file in files.items():
            parts = cut(file, layers, self._pixels.shape[:2], rois)
            for backend, engine in ENGINES.items():
                engine = f'{engine} {kind}'
                job = self._job('exported', str(file), backend=backend)
                yield Row(name, engine, job, file)
                if parts:
                    own = dict(models=parts, backend=backend)
                    job = dict(engine='networks', **own)
                    yield Row(name, engine + PARTS, job)

    def peers(self) -> Iterator[Row]:
        """Yield the rows of torchvision's detectors."""
        for name in PEERS:
            yield Row(name, 'torchvision', self._job('torchvision', name))
            file = self.folder / f'{name}.onnx'
            export_peer(name, file)
            for backend, engine in ENGINES.items():
                models = {'network': (str(file), SHAPE)}
                job = dict(engine='networks', models=models, backend=backend)
                yield Row(name, f'{engine} float', job, file)

    def training(self, config: str) -> Iterator[Row]:
        """Yield training of a config, plain and with our hooks, and R-50's."""
        job = dict(
            engine='training',
            data=self.digits,
            data_root=f'{self.folder}/digits/',
        )
        name = Path(config).stem
        for engine, hooks in (('default format', False), ('our hooks', True)):
            own = dict(model=config, hooks=hooks, batch_size=8)
            yield Row(name, engine, job | own)
        # 8 images of 512 regions would take 20 GiB
        own = dict(model=R50, hooks=False, batch_size=1)
        yield Row(R50.rsplit('/')[-1], 'default format, batch 1', job | own)

    def _job(self, engine: str, model: str, **more) -> dict:
        image = str(self.image)
        return dict(engine=engine, model=model, image=image, **more)

    def _scenes(self):
        dataset = Config.fromfile(self.digits).val_dataloader.dataset
        data_root = f'{self.folder}/digits/'
        dataset.update(data_root=data_root, num_images=SCENES)
        return DATASETS.build(dataset)

    def _export(
        self, name: str, cfg: Config, checkpoint: str
    ) -> dict[str, Path]:
        """Return an exported file by kind; in int8 every layer is."""
        files = {k: self.folder / f'{name}.{k}.onnx' for k in KINDS}
        trained = Detector(cfg, checkpoint, 'cpu')
        classes = trained.meta['classes']
        export(cfg, trained.model, classes, files['float'])
        detector = ExportedDetector(files['float'], 'onnxruntime')
        quantizer = Quantizer(files['float'])
        quantizer.calibrate(
            detector.resize(read_image(file))[0][None]
            for file in self._scene_files
        )
        onnx.save(quantizer.build([*quantizer.layers]), files['int8'])
        return files
