"""A loss of one's own: the Huber loss, linear beyond one standard deviation."""

import torch
from torch import Tensor
from torch.nn import functional as F

from molgraph.molecules.experiment import PropertyExperiment
from molgraph.training.supervised import Regression


class HuberRegression(Regression):
    """Regression that a few wrong measurements do not pull away."""

    def loss_of(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = self.standardize(targets)
        measured = ~wanted.isnan()
        losses = F.huber_loss(outputs, wanted.nan_to_num(), reduction="none")
        return torch.where(measured, losses, 0.0).sum() / measured.sum().clamp(min=1)


class HuberExperiment(PropertyExperiment):
    """Training a property by the Huber loss."""

    def make_task(self, names: list[str]) -> HuberRegression:
        mean, std = (torch.tensor(self.statistics[key]) for key in ("mean", "std"))
        return HuberRegression(self.model, names, mean, std)
