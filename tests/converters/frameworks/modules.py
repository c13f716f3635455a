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


class Doubled(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Odd(nn.Module):
    """Shared weights, buffers of every kind, a hook and a function of its own; nested outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("order", torch.tensor([3, 1, 2, 0]))
        self.register_buffer("kept", torch.tensor([True, False, True, True]))
        self.register_buffer("turn", torch.tensor([1 + 2j, 0, 1j, 3.0]))
        self.first.register_forward_hook(lambda module, inputs, output: output + 1)

    def forward(self, *, x):
        h = Doubled.apply(self.second(torch.relu(self.first(x))))[:, self.order]
        parts = (h.masked_fill(~self.kept, 0), [(h * self.turn).abs()])
        return {"parts": parts, "none": None, "x": h > 0}


class AnyLength(nn.Module):
    """Sequences [N, T, 4] of any length to a vector, and to one with the rows along axis 1."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        h = self.layer(x).mean(1)
        return h, torch.stack([h, -h])


class Returns(nn.Module):
    """Whatever a function makes of the output of a layer."""

    def __init__(self, made, dtype=None) -> None:
        super().__init__()
        self.layer, self.made = nn.Linear(4, 3, dtype=dtype), made

    def forward(self, x):
        return self.made(self.layer(x))
