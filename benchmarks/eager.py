"""Inference and training in MMDetection, stage by stage."""

from __future__ import annotations

from types import SimpleNamespace

import mmcv
import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.utils import get_test_pipeline_cfg, register_all_modules
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch import nn

from fbnetv3_mmdet.deploy.latency import initialise
from fbnetv3_mmdet.inference import TorchDetector
from fbnetv3_mmdet.training.ema import D2GoEMA
from fbnetv3_mmdet.training.hooks import ChannelsLastHook, ReuseMemoryHook

from .worker import Run, StageClock

INFERENCE = (  # what is watched of a detector, and the stage it belongs to
    ('data_preprocessor', 'forward', 'preprocess'),
    ('backbone', 'forward', 'backbone'),
    ('neck', 'forward', 'backbone'),
    ('rpn_head', 'forward', 'RPN'),
    ('rpn_head', 'predict_by_feat', 'proposals'),
    ('roi_head', 'predict', 'RoI head'),
    ('roi_head.bbox_head', 'predict_by_feat', 'postprocess'),
    ('roi_head.mask_head', 'predict_by_feat', 'postprocess'),
    # of one-stage detectors
    ('bbox_head', 'forward', 'head'),
    ('bbox_head', 'predict_by_feat', 'postprocess'),
)
TRAINING = (
    ('data_preprocessor', 'forward', 'data'),
    ('backbone', 'forward', 'forward'),
    ('rpn_head', 'forward', 'forward'),
    ('roi_head', '_bbox_forward', 'forward'),
    ('rpn_head', 'predict_by_feat', 'proposals'),
    ('rpn_head', 'get_targets', 'assign/sample'),
    ('roi_head.bbox_assigner', 'assign', 'assign/sample'),
    ('roi_head.bbox_sampler', 'sample', 'assign/sample'),
    ('roi_head.bbox_head', 'get_targets', 'assign/sample'),
)
COMPILED = ('backbone', 'rpn_head', 'roi_head.shared_head', 'bbox_head')


def inference(job: dict, clock: StageClock) -> Run:
    """Return inference from a decoded image to boxes in it."""
    torch.set_num_threads(job['threads'])
    cfg = Config.fromfile(job['model'])
    model = TorchDetector(cfg, job['checkpoint'], 'cpu').model
    if job.get('compile'):
        for name, part in model.named_modules():
            if name in COMPILED:
                part.forward = torch.compile(part.forward)
    _watch(clock, model, INFERENCE)
    image = mmcv.rgb2bgr(np.load(job['image']))
    _, *steps = get_test_pipeline_cfg(cfg)
    pipeline = Compose([dict(type='mmdet.LoadImageFromNDArray'), *steps])

    @torch.inference_mode()
    def run() -> None:
        with clock.stage('preprocess'):
            data = pipeline(dict(img=image, img_id=0))
        model.test_step(pseudo_collate([data]))

    return clock.timed(run)


def training(job: dict, clock: StageClock) -> Run:
    """Return a step on DigitScenes: loading, training, averaging weights."""
    torch.set_num_threads(job['threads'])
    register_all_modules()
    base = f'_base_ = {job["model"]!r}'  # also takes mmdet::
    cfg = Config.fromstring(base, '.py')
    torch.manual_seed(0)
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    initialise(model)
    if job['hooks']:
        runner = SimpleNamespace(model=model, optim_wrapper=None)
        ChannelsLastHook().before_run(runner)
        ReuseMemoryHook().before_train(runner)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    average = D2GoEMA(model)
    scenes = Config.fromfile(job['data']).train_dataloader
    scenes.update(batch_size=job['batch_size'], pin_memory=False)
    scenes.dataset.update(data_root=job['data_root'], num_images=64)
    batches = iter(Runner.build_dataloader(scenes, seed=0))
    _watch(clock, model.train(), TRAINING)
    clock.watch(wrapper, 'backward', 'backward')

    def run() -> None:
        with clock.stage('data'):
            data = next(batches)
        with clock.stage('optimizer, losses'):
            model.train_step(data, wrapper)
        with clock.stage('EMA'):
            average.update_parameters(model)

    return clock.timed(run)


def _watch(clock: StageClock, model: nn.Module, table: tuple) -> None:
    for path, method, stage in table:
        owner: object = model
        for name in path.split('.'):
            owner = getattr(owner, name, None)
        if owner is not None:
            clock.watch(owner, method, stage)
