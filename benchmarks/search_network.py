"""The predictor of FBNetV3's paper, for comparison.

As in FBNetV3's paper, architecture and recipe go into one network whose
encoder is first taught statistics that cost nothing, of thousands of
candidates, and then the AP of few.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fbnetv3_mmdet.search.predictor import draw, inputs
from fbnetv3_mmdet.search.records import Candidate
from fbnetv3_mmdet.search.space import Space

MEMBERS = 5  # of the ensemble, whose spread is the doubt
HIDDEN = 64
DRAWN = 2048  # candidates, for the statistics
EPOCHS, BATCH = 30, 64  # of learning them
STEPS = 150  # of learning AP, each with all trials


class Network:
    """An ensemble of networks that was fitted to some trials.

    Args:
        space: Of the candidates.
        candidates: That were trained.
        scores: Their AP.
        seed: Of the random numbers.
        pretrained: Whether the encoder is taught statistics first.
    """

    def __init__(
        self,
        space: Space,
        candidates: Sequence[Candidate],
        scores: Sequence[float],
        seed: int = 0,
        pretrained: bool = True,
    ) -> None:
        self._space = space
        target = torch.tensor(scores, dtype=torch.float32)
        self._mean = target.mean()
        self._scale = target.std(unbiased=False).clamp(min=1e-4)
        x = _scaled(space, candidates)
        y = ((target - self._mean) / self._scale)[:, None]
        with torch.random.fork_rng(devices=[]):
            self._members = [
                _fit_score(space, x, y, seed * MEMBERS + i, pretrained)
                for i in range(MEMBERS)
            ]

    def __call__(
        self, candidates: Sequence[Candidate]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and spread of the predicted AP of candidates."""
        x = _scaled(self._space, candidates)
        with torch.no_grad():
            found = torch.cat([member(x) for member in self._members], 1)
        found = found * self._scale + self._mean
        return found.mean(1).numpy(), found.std(1).numpy()


def _scaled(space: Space, candidates: Sequence[Candidate]) -> Tensor:
    """Return genes and statistics of candidates, (N, F) float32."""
    _, mean, scale = _drawn(space)
    rows = torch.tensor(inputs(space, candidates), dtype=torch.float32)
    return (rows - mean) / scale


def _drawn(space: Space) -> tuple[Tensor, Tensor, Tensor]:
    """Return features of drawn candidates, their means and deviations."""
    key = repr(space)
    if key not in _DRAWN:
        _DRAWN.clear()
        rows = inputs(space, draw(space, DRAWN, seed=1))
        x = torch.tensor(rows, dtype=torch.float32)
        scale = x.std(0)
        _DRAWN[key] = x, x.mean(0), torch.where(scale > 1e-6, scale, 1.0)
    return _DRAWN[key]


_DRAWN: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
_ENCODERS: dict[tuple[str, int], dict[str, Tensor]] = {}


def _encoder(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN),
        nn.ReLU(),
    )  # fmt: skip


def _fit_score(
    space: Space, x: Tensor, y: Tensor, seed: int, pretrained: bool
) -> nn.Module:
    """Return a network that was taught the scores ``y`` of ``x``."""
    torch.manual_seed(seed)
    genes = len(space.features(space.baseline))
    encoder = _encoder(genes)
    known = x.shape[1] - genes
    if pretrained and known:
        encoder.load_state_dict(_fit_statistics(space, genes, seed % MEMBERS))
    model = _Scorer(encoder, genes, known)
    optimizer = torch.optim.AdamW(
        [
            dict(params=encoder.parameters(), lr=1e-3),
            dict(params=model.head.parameters(), lr=5e-3),
        ],
        weight_decay=0.05,
    )
    for _ in range(STEPS):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    return model.eval()


class _Scorer(nn.Module):
    """Encoded genes and statistics to AP."""

    def __init__(self, encoder: nn.Module, genes: int, known: int) -> None:
        super().__init__()
        self.encoder, self.genes = encoder, genes
        self.head = nn.Linear(HIDDEN + known, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores, (N, 1)."""
        encoded = self.encoder(x[:, : self.genes])
        return self.head(torch.cat([encoded, x[:, self.genes :]], 1))


def _fit_statistics(space: Space, genes: int, seed: int) -> dict[str, Tensor]:
    """Return the weights of an encoder that was taught statistics."""
    key = repr(space), seed
    if key not in _ENCODERS:
        x, mean, scale = _drawn(space)
        x = (x - mean) / scale
        x, y = x[:, :genes], x[:, genes:]
        encoder = _encoder(genes)
        head = nn.Linear(HIDDEN, y.shape[1])
        parameters = [*encoder.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=2e-3)
        for _ in range(EPOCHS):
            for part in torch.randperm(len(x)).split(BATCH):
                optimizer.zero_grad()
                loss = nn.functional.mse_loss(head(encoder(x[part])), y[part])
                loss.backward()
                optimizer.step()
        _ENCODERS[key] = {
            name: value.detach().clone()
            for name, value in encoder.state_dict().items()
        }
    return _ENCODERS[key]
