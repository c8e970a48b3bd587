import pytest
import torch
from torch import nn

from molgraph.sequences.layers.attention import (
    AdditiveScore,
    DotScore,
    MultiHeadAttention,
    attend,
    attention_weights,
    rotate,
    sinusoid,
)

CLOSE = {"atol": 1e-6, "rtol": 1e-6}


def heads(*sizes):
    return [torch.randn(*sizes, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_explicit_path_equals_the_fused_kernel_forward_and_gradient(causal, masked):
    torch.manual_seed(0)
    q, k, v = heads(2, 3, 7, 8)
    mask = (torch.arange(7) < torch.tensor([7, 4])[:, None])[:, None, None] if masked else None
    explicit = attention_weights(q, k, mask, causal) @ v
    fused = attend(q, k, v, mask, causal)
    torch.testing.assert_close(explicit, fused, **CLOSE)
    for mine, theirs in zip(
        torch.autograd.grad(explicit.square().mean(), (q, k, v)),
        torch.autograd.grad(fused.square().mean(), (q, k, v)),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, **CLOSE)


def test_weights_sum_to_one_and_are_zero_on_padding_and_on_the_future():
    q, k, _ = heads(2, 3, 7, 8)
    mask = (torch.arange(7) < torch.tensor([7, 4])[:, None])[:, None, None]
    weights = attention_weights(q, k, mask, causal=True)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3, 7))
    assert weights[1, :, :, 4:].abs().max() == 0
    assert weights.triu(1).abs().max() == 0


@pytest.mark.parametrize("cross", [False, True])
def test_multi_head_attention_equals_pytorchs_own_module(cross):
    torch.manual_seed(0)
    mine, reference = MultiHeadAttention(16, 4), nn.MultiheadAttention(16, 4, batch_first=True)
    mine.project_in.load_state_dict({"weight": reference.in_proj_weight, "bias": reference.in_proj_bias})
    mine.project_out.load_state_dict(reference.out_proj.state_dict())
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    y = memory if cross else x
    mask = torch.arange(y.shape[1]) < torch.tensor([y.shape[1], 3])[:, None]
    expected, weights = reference(x, y, y, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(mine(x, memory if cross else None, mask), expected, **CLOSE)
    torch.testing.assert_close(mine.weights(x, memory if cross else None, mask), weights, **CLOSE)


def test_causal_attention_does_not_see_the_future():
    attention, x = MultiHeadAttention(16, 4, rotary=True), torch.randn(1, 6, 16)
    changed = x.clone()
    changed[:, 4:] = 0
    torch.testing.assert_close(attention.causal(x)[:, :4], attention.causal(changed)[:, :4], **CLOSE)


def test_causal_attention_on_a_cache_is_refused():
    q, k, v = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 5, 8), torch.randn(1, 1, 5, 8)
    with pytest.raises(ValueError, match="1 queries on 5 keys"):
        attend(q, k, v, causal=True)


def test_rotary_scores_depend_on_the_distance_alone():
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    scores = [(rotate(q, first=p) * rotate(k, first=p + 3)).sum() for p in (0, 5, 40)]
    torch.testing.assert_close(torch.stack(scores), scores[0].expand(3), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(rotate(torch.cat([q, q], 2))[:, :, 1:], rotate(q, first=1), **CLOSE)


def test_sinusoids_are_those_of_the_paper():
    table = sinusoid(10, 6)
    for position in (0, 3, 9):
        for pair in range(3):
            angle = torch.tensor(position / 10_000 ** (pair / 3))
            torch.testing.assert_close(table[position, 2 * pair], angle.sin(), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(table[position, 2 * pair + 1], angle.cos(), atol=1e-5, rtol=1e-5)
    assert sinusoid(4, 5).shape == (4, 5)
    torch.testing.assert_close(sinusoid(3, 6, first=7), table[7:])


def test_additive_scores_are_those_of_the_paper():
    score, s, h = AdditiveScore(4, 6, 5), torch.randn(2, 3, 4), torch.randn(2, 7, 6)
    got = score(s, score.keys(h))
    by_hand = score.score.weight[0] @ torch.tanh(score.query(s[1, 2]) + score.memory(h[1, 4]))
    torch.testing.assert_close(got[1, 2, 4], by_hand, **CLOSE)
    assert got.shape == (2, 3, 7)


def test_dot_scores_are_those_of_the_paper():
    score, s, h = DotScore(4, 6), torch.randn(2, 3, 4), torch.randn(2, 7, 6)
    torch.testing.assert_close(score(s, score.keys(h))[1, 2, 4], s[1, 2] @ score.memory.weight @ h[1, 4] / 2, **CLOSE)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="width 10 cannot be divided among 4 heads"):
        MultiHeadAttention(10, 4)
    with pytest.raises(ValueError, match="even head size, not 3"):
        MultiHeadAttention(6, 2, rotary=True)
