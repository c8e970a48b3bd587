"""What a committee's members are worth: ``left-out predictions -> weights, nested predictions -> a table``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table
from torch import Tensor

from molgraph.molecules.models.committee import combine
from molgraph.training.metrics import shown
from molgraph.training.supervised import Supervised

Rows = NDArray[np.int64]

SHRINK = 0.1
"""How strongly weights are drawn to the plain mean, against the variance of its error."""
FEWEST = 20
"""Left-out values from which on weights are worth finding."""


@dataclass(frozen=True)
class Weighing:
    """Finds weights on what members say of molecules that they have not seen."""

    said: Tensor
    """Outputs of each member ``[P, M, outputs]``; NaN where it has seen the molecule."""
    wanted: Tensor
    """Standardized targets or class numbers ``[M, T]``; NaN where nothing was measured."""
    kind: str
    """``regression``, ``classification`` or ``multiclass``."""

    def weights(self, members: Sequence[int], rows: Rows) -> Tensor:
        """Return the weight of each of some members, found on some rows; equal ones where there is little to see."""
        said = self.said[list(members)][:, rows]
        plain = torch.full((len(said),), 1 / len(said))
        if self.kind == "multiclass":
            return plain
        outputs = said.sigmoid() if self.kind == "classification" else said
        known = ~outputs.isnan().any(0) & ~self.wanted[rows].isnan()
        if int(known.sum()) < FEWEST:
            return plain
        return mixture(outputs[:, known].T.double(), self.wanted[rows][known].double()).float()

    def nested(self, fold: Rows) -> Tensor:
        """Return what the committee says of each row ``[M, outputs]``, weighed on the other folds alone.

        Args:
            fold: number of the fold of each row.
        """
        combined = torch.full_like(self.said[0], torch.nan)
        for number in np.unique(fold):
            rows, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
            weights = self.weights(range(len(self.said)), rest)
            combined[rows] = combined_of(self.said[:, rows], weights, self.kind == "classification")
        return combined

    def without(self, member: int) -> Tensor | None:
        """Return what the committee would say without a member; None where nobody is left."""
        others = [other for other in range(len(self.said)) if other != member]
        if not others:
            return None
        weights = self.weights(others, np.arange(self.said.shape[1]))
        return combined_of(self.said[others], weights, self.kind == "classification")


def combined_of(said: Tensor, weights: Tensor, two_classes: bool) -> Tensor:
    """Return the weighted mean of those members that have said something of a molecule ``[M, outputs]``."""
    known = ~said.isnan()
    if bool(known.all()):
        return combine(said, weights, two_classes)
    shares = known * weights.clamp(min=1e-6)[:, None, None]  # where only a member without weight speaks, it is heard
    shares = shares / shares.sum(0)
    values = said.sigmoid() if two_classes else said
    mean = (shares * values.nan_to_num()).sum(0)
    mean = torch.where(known.any(0), mean, torch.nan)
    return torch.logit(mean, 1e-4) if two_classes else mean


def account(
    weighing: Weighing, combined: Tensor, facts: dict[str, dict[str, Any]], task: Supervised, values: Tensor
) -> dict[str, Any]:
    """Return what each member adds: its weight, its error alone, and that of the committee without it.

    Args:
        weighing: of the members.
        combined: what the committee says of left-out molecules ``[M, outputs]``.
        facts: what else to keep of each member.
        task: knows units and metrics.
        values: targets ``[M, T]``.
    """
    common = ~weighing.said.isnan().any(0).any(1) & ~combined.isnan().any(1)

    def score(outputs: Tensor | None) -> float | None:
        if outputs is None or not bool(common.any()):
            return None
        device = next(iter(task.state_dict().values())).device
        metrics = task.table(task.in_units(outputs[common].to(device)).cpu().double(), values[common])
        return torch.tensor([target[task.monitor] for target in metrics.values()]).nanmean().item()

    weights = weighing.weights(range(len(facts)), np.arange(len(values)))
    members = {}
    for number, (name, known) in enumerate(facts.items()):
        weight = round(float(weights[number]), 4)
        alone, without = score(weighing.said[number]), score(weighing.without(number))
        members[name] = {**known, "weight": weight, "alone": alone, "without": without}
    return {"members": members, "left_out": score(combined)}


def shown_account(results: dict[str, Any], monitor: str) -> Table:
    """Return the account as a table for the terminal."""
    table = Table(title=f"committee, {monitor.upper()} of left-out molecules", title_justify="left")
    for title in ("member", "models", "weight", "alone", "without it", "seconds"):
        table.add_column(title, justify="left" if title == "member" else "right")
    for name, entry in results["members"].items():
        errors = ["" if entry[key] is None else shown(entry[key]) for key in ("alone", "without")]
        table.add_row(name, str(entry["models"]), f"{entry['weight']:.2f}", *errors, f"{entry['seconds']:.0f}")
    table.add_section()
    table.add_row("committee", "", "", "" if results["left_out"] is None else shown(results["left_out"]), "", "")
    return table


def mixture(outputs: Tensor, wanted: Tensor, shrink: float = SHRINK) -> Tensor:
    """Return weights of at least 0 with sum 1 whose mixture errs least, drawn to the plain mean.

    Least ``|wanted - outputs w|² + shrink n var(wanted - plain mean) |w - 1/P|²``.

    Args:
        outputs: left-out predictions of each member ``[n, P]``.
        wanted: true values ``[n]``.
        shrink: strength of the pull.
    """
    from scipy.optimize import nnls

    count = outputs.shape[1]
    pull = float((shrink * len(wanted) * (wanted - outputs.mean(1)).square().mean()).sqrt())
    # A sum of 1 makes the residual of each row a mixture of the members' residuals.
    rows = [outputs - wanted[:, None], pull * torch.eye(count, dtype=torch.float64)]
    goal = [torch.zeros(len(wanted), dtype=torch.float64), torch.full((count,), pull / count, dtype=torch.float64)]
    heavy = 1e4 * float(torch.cat(rows).norm() + 1e-12)
    rows.append(torch.full((1, count), heavy, dtype=torch.float64))
    goal.append(torch.tensor([heavy], dtype=torch.float64))
    found = torch.from_numpy(nnls(torch.cat(rows).numpy(), torch.cat(goal).numpy())[0])
    return found / found.sum()
