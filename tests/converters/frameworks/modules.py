"""Modules of PyTorch that the tests convert; imported only where PyTorch is installed."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    """Pictures [N, 3, 8, 8] to logits [N, 4]; dropout and batch norm are for training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.drop, self.head = nn.Dropout(), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.drop(torch.relu(self.norm(self.conv(x))).mean((2, 3))))


class Recurrent(nn.Module):
    """Sequences [N, T, 6] to logits [N, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(6, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        _, (last, _) = self.cells(x)
        return self.head(last[-1])


class TwoInputs(nn.Module):
    """A table and words to a dict, with an input that may be left out and an output that is not."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.words = nn.Linear(4, 3), nn.Embedding(10, 3)

    def forward(self, x, ids, mask=None):
        return {"logits": self.table(x) + self.words(ids).mean(1), "attention": mask}


class Bessel(nn.Module):
    def forward(self, x):
        return torch.special.bessel_j0(x)


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return x * 2


class FixedRows(nn.Module):
    def forward(self, x):
        return x.reshape(3, 4)


class OtherWhenAlone(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] > 2 else x * 3


class Noisy(nn.Module):
    def forward(self, x):
        return x + torch.rand_like(x)


class Words(nn.Module):
    def forward(self, x):
        return "words"
