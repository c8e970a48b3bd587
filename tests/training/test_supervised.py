import math

import pytest
import torch
from torch import nn

from molgraph.training.supervised import Classification, MultiClass, Regression, SupervisedBatch

NAN = math.nan
LOGITS = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.1], [0.1, 0.2]])


class Fixed(nn.Module):
    """A model that says the same whatever it reads."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = nn.Parameter(outputs.clone())

    def forward(self, inputs):
        return self.outputs


def batch(targets):
    return SupervisedBatch(torch.zeros(1), torch.tensor(targets))


def losses_of(task, targets):
    """Return the loss and its gradient with respect to the model's outputs."""
    loss = task.loss(batch(targets))
    (gradient,) = torch.autograd.grad(loss, task.model.outputs)
    return loss.item(), gradient


TARGETS = [[1.0, NAN], [0.0, 1.0], [NAN, NAN], [1.0, 0.0]]


def test_the_loss_of_a_regression_is_the_mean_over_measured_values():
    mean, std = torch.tensor([1.0, -2.0]), torch.tensor([2.0, 0.5])
    loss, gradient = losses_of(Regression(Fixed(LOGITS), ["a", "b"], mean, std), TARGETS)
    terms = [
        (LOGITS[row, column].item() - (value - mean[column].item()) / std[column].item()) ** 2
        for row, values in enumerate(TARGETS)
        for column, value in enumerate(values)
        if not math.isnan(value)
    ]
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert (gradient[torch.tensor(TARGETS).isnan()] == 0).all()
    assert gradient.isfinite().all()


def test_the_loss_of_a_classification_is_the_mean_over_measured_values_with_weights():
    weight = torch.tensor([3.0, 0.5])
    loss, gradient = losses_of(Classification(Fixed(LOGITS), ["a", "b"], weight), TARGETS)
    terms = []
    for row, values in enumerate(TARGETS):
        for column, value in enumerate(values):
            if not math.isnan(value):
                share = 1 / (1 + math.exp(-LOGITS[row, column].item()))
                terms.append(-math.log(share) * weight[column].item() if value else -math.log(1 - share))
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert (gradient[torch.tensor(TARGETS).isnan()] == 0).all()


def test_the_loss_of_several_classes_is_the_mean_over_measured_values_with_weights():
    logits = torch.randn(4, 5)
    classes, weight = [3, 2], [1.0, 2.0, 0.5, 4.0, 1.0]
    targets = [[2.0, NAN], [0.0, 1.0], [NAN, NAN], [1.0, 0.0]]
    loss, gradient = losses_of(MultiClass(Fixed(logits), ["a", "b"], classes, torch.tensor(weight)), targets)
    terms = []
    for row, values in enumerate(targets):
        for start, count, value in zip((0, 3), classes, values, strict=True):
            if not math.isnan(value):
                exponentials = [math.exp(x) for x in logits[row, start : start + count].tolist()]
                share = exponentials[int(value)] / sum(exponentials)
                terms.append(-math.log(share) * weight[start + int(value)])
    assert loss == pytest.approx(sum(terms) / len(terms), rel=1e-5)
    assert (gradient[2] == 0).all()
    assert (gradient[0, 3:] == 0).all()


@pytest.mark.parametrize("kind", ["regression", "classification", "multiclass"])
def test_a_batch_without_any_label_has_no_loss_and_no_gradient(kind):
    tasks = {
        "regression": Regression(Fixed(LOGITS), ["a", "b"], torch.zeros(2), torch.ones(2)),
        "classification": Classification(Fixed(LOGITS), ["a", "b"], torch.ones(2)),
        "multiclass": MultiClass(Fixed(LOGITS), ["a"], [2], torch.ones(2)),
    }
    targets = [[NAN] * len(tasks[kind].names)] * 4
    loss, gradient = losses_of(tasks[kind], targets)
    assert loss == 0
    assert (gradient == 0).all()


def test_predictions_come_in_the_units_of_the_targets():
    task = Regression(Fixed(LOGITS), ["a", "b"], torch.tensor([1.0, 0.0]), torch.tensor([2.0, 0.0]))
    wanted = LOGITS.double() * torch.tensor([2.0, 1.0]) + torch.tensor([1.0, 0.0])
    torch.testing.assert_close(task.predict(None), wanted)
    assert torch.equal(Classification(Fixed(LOGITS), ["a", "b"], torch.ones(2)).predict(None), LOGITS.sigmoid())
    shares = MultiClass(Fixed(torch.randn(4, 5)), ["a", "b"], [3, 2], torch.ones(5)).predict(None)
    torch.testing.assert_close(shares[:, :3].sum(1), torch.ones(4))
    torch.testing.assert_close(shares[:, 3:].sum(1), torch.ones(4))


def test_metrics_are_those_of_scikit_learn_over_measured_rows():
    from sklearn import metrics

    truth = torch.tensor([[1.0, 0.0], [2.0, NAN], [4.0, 1.0], [NAN, 1.0], [3.0, 0.0]])
    said = torch.tensor([[1.5, 0.2], [1.0, 0.9], [4.5, 0.8], [9.0, 0.4], [3.0, 0.6]])
    regression = Regression(Fixed(LOGITS), ["a", "b"], torch.zeros(2), torch.ones(2)).table(said, truth)
    rows = [0, 1, 2, 4]
    assert regression["a"]["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth[rows, 0], said[rows, 0]))
    assert regression["a"]["mae"] == pytest.approx(metrics.mean_absolute_error(truth[rows, 0], said[rows, 0]))
    assert regression["a"]["r2"] == pytest.approx(metrics.r2_score(truth[rows, 0], said[rows, 0]))
    classes = Classification(Fixed(LOGITS), ["b"], torch.ones(1)).table(said[:, 1:], truth[:, 1:])
    rows = [0, 2, 3, 4]
    assert classes["b"]["auroc"] == pytest.approx(metrics.roc_auc_score(truth[rows, 1], said[rows, 1]))
    expected = metrics.average_precision_score(truth[rows, 1], said[rows, 1])
    assert classes["b"]["average_precision"] == pytest.approx(expected)


def test_a_metric_that_is_not_defined_is_nan_and_left_out_of_the_mean():
    truth = torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    task = Classification(Fixed(torch.tensor([[3.0, 0.0], [-3.0, 1.0]])), ["a", "b"], torch.ones(2))
    table = task.table(task.predict(None), truth)
    assert math.isnan(table["b"]["auroc"])
    assert task.evaluate([SupervisedBatch(torch.zeros(1), truth)])["auroc"] == 1.0
    nothing = Regression(Fixed(LOGITS), ["a", "b"], torch.zeros(2), torch.ones(2)).table(LOGITS, LOGITS * NAN)
    assert all(math.isnan(value) for value in nothing["a"].values())


def test_a_batch_moves_as_a_whole():
    moved = batch(TARGETS).to(torch.device("meta"))
    assert (moved.inputs.device.type, moved.targets.device.type) == ("meta", "meta")
