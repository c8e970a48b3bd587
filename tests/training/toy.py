"""A small task without molecules, for the tests of the trainer."""

from dataclasses import dataclass

import torch
from torch import nn

from molgraph.training.supervised import Regression, SupervisedBatch


@dataclass(frozen=True)
class Rows:
    """Batches of random rows, shuffled by epoch."""

    inputs: torch.Tensor
    targets: torch.Tensor
    size: int = 8
    shuffle: bool = True

    def __len__(self):
        return -(-len(self.inputs) // self.size)

    def epoch(self, number):
        order = torch.arange(len(self.inputs))
        if self.shuffle:
            order = torch.randperm(len(order), generator=torch.Generator().manual_seed(number))
        for chosen in order.split(self.size):
            yield SupervisedBatch(self.inputs[chosen], self.targets[chosen])


def make_data(count=60):
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(count, 5, generator=generator)
    targets = inputs @ torch.randn(5, 2, generator=generator) + 0.1 * torch.randn(count, 2, generator=generator)
    return Rows(inputs, targets), Rows(inputs[:20] + 0.1, targets[:20], shuffle=False)


def make_task(dropout=0.3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))
    return Regression(model, ["a", "b"], torch.zeros(2), torch.ones(2))


class Interrupted(Exception):
    """Stands for a lost machine."""


def interrupt(task, step):
    """Let the loss fail at its ``step``-th call."""
    loss, calls = task.loss, iter(range(10**9))

    def failing(batch):
        if next(calls) == step:
            raise Interrupted
        return loss(batch)

    task.loss = failing
    return task
