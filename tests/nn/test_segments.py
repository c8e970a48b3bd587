import pytest
import torch

from molgraph.nn.segments import bag, segment_max, segment_mean, segment_softmax, segment_sum

SEGMENTS = {
    "empty ones between": [0, 0, 2, 2, 2, 5],
    "empty at both ends": [1, 1, 2],
    "one": [0, 0, 0],
    "no rows": [],
}
COUNT = 7


def segments(name):
    segment = torch.tensor(SEGMENTS[name], dtype=torch.long)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(segment, minlength=COUNT).cumsum(0)])
    return segment, offsets


def rows(count, width=3):
    return torch.randn(count, width, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", SEGMENTS)
def test_sums_equal_a_plain_loop_and_an_empty_segment_is_zero(name):
    segment, offsets = segments(name)
    values = rows(len(segment))
    loop = torch.stack([values[segment == number].sum(0) for number in range(COUNT)])
    torch.testing.assert_close(segment_sum(values, segment, offsets), loop)
    counts = torch.bincount(segment, minlength=COUNT).clamp(min=1).unsqueeze(1)
    torch.testing.assert_close(segment_mean(values, segment, offsets), loop / counts)
    added = torch.zeros(COUNT, 3, dtype=torch.float64).index_add(0, segment, values)
    torch.testing.assert_close(segment_sum(values, segment, offsets), added)


@pytest.mark.parametrize("name", SEGMENTS)
def test_the_largest_row_equals_a_plain_loop_and_an_empty_segment_is_zero(name):
    segment, offsets = segments(name)
    values = rows(len(segment))
    none = torch.zeros(3, dtype=torch.float64)
    loop = [values[segment == number] for number in range(COUNT)]
    expected = torch.stack([part.amax(0) if len(part) else none for part in loop])
    torch.testing.assert_close(segment_max(values, offsets), expected.detach())


@pytest.mark.parametrize("name", SEGMENTS)
def test_the_softmax_equals_a_plain_loop_and_adds_up_to_one(name):
    segment, offsets = segments(name)
    scores = rows(len(segment), 2)
    weights = segment_softmax(scores, segment, offsets)
    for number in segment.unique():
        torch.testing.assert_close(weights[segment == number], scores[segment == number].softmax(0))


def test_the_softmax_is_finite_for_huge_scores():
    segment, offsets = segments("empty ones between")
    scores = torch.tensor([[1e30], [-1e30], [3e4], [3e4], [-1e38], [1e38]])
    weights = segment_softmax(scores, segment, offsets)
    assert weights.flatten().tolist() == [1, 0, 0.5, 0.5, 0, 1]


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("function", [segment_sum, segment_mean, segment_softmax])
def test_gradients_over_segments_are_exact(name, function):
    segment, offsets = segments(name)
    assert torch.autograd.gradcheck(lambda v: function(v, segment, offsets), rows(len(segment)))


def test_a_bag_adds_rows_in_any_order_with_weights():
    values, index = torch.eye(4), torch.tensor([3, 0, 0, 2])
    sums = bag(values, index, torch.tensor([0, 1, 1, 4]), torch.tensor([2.0, 3.0, 5.0, 7.0]))
    assert sums.tolist() == [[0, 0, 0, 2], [0, 0, 0, 0], [8, 0, 7, 0]]
