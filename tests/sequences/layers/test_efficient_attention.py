import math

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from molgraph.sequences.layers.attention import MultiHeadAttention
from molgraph.sequences.layers.efficient_attention import (
    BigBirdAttention,
    InducedSetAttention,
    LinformerAttention,
    PerceiverAttention,
    SeedAttention,
)
from molgraph.sequences.layers.transformer import TransformerShape, self_attention

LINEAR = ("set_transformer", "linformer", "bigbird", "perceiver")
WIDTH, HEADS = 64, 4


def attention(kind: str, longest: int = 4096):
    torch.manual_seed(0)
    return self_attention(TransformerShape(WIDTH, heads=HEADS, attention=kind), longest).eval()


def flops(kind: str, length: int) -> int:
    # The fused kernel is not counted: with it even full attention would seem linear.
    module = attention(kind)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module(torch.randn(1, length, WIDTH))
    return counter.get_total_flops()


@pytest.mark.parametrize("kind", ["full", *LINEAR])
def test_the_work_grows_linearly_and_that_of_full_attention_does_not(kind):
    slope = math.log(flops(kind, 4096) / flops(kind, 512)) / math.log(8)
    assert slope >= 1.75 if kind == "full" else slope <= 1.05


@pytest.mark.parametrize("kind", LINEAR)
def test_the_memory_that_backward_keeps_grows_linearly(kind):
    def kept(length: int) -> int:
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (sizes.append(t.numel()), t)[1], lambda t: t):
            attention(kind)(torch.randn(1, length, WIDTH, requires_grad=True)).sum()
        return sum(sizes)

    assert math.log(kept(4096) / kept(1024)) / math.log(4) <= 1.1


@pytest.mark.parametrize("kind", ["full", *LINEAR])
def test_padding_never_changes_a_result(kind):
    module, x = attention(kind, 300), torch.randn(2, 100, WIDTH)
    alone = module(x)
    padded = torch.cat([x, torch.full((2, 180, WIDTH), 7.0)], dim=1)
    mask = (torch.arange(280) < 100).expand(2, -1)
    torch.testing.assert_close(module(padded, mask=mask)[:, :100], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["full", *LINEAR])
def test_rows_of_one_batch_do_not_know_of_each_other(kind):
    module, x = attention(kind, 300), torch.randn(3, 150, WIDTH)
    lengths = torch.tensor([150, 20, 97])
    together = module(x, mask=torch.arange(150) < lengths[:, None])
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(together[row, :length], module(x[row : row + 1, :length])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", LINEAR)
def test_a_gradient_reaches_every_position(kind):
    # BigBird needs two layers: the second hears of every position through the global block.
    first, second, x = attention(kind, 300), attention(kind, 300), torch.randn(1, 300, WIDTH, requires_grad=True)
    second(first(x))[0, 299].sum().backward()
    assert (x.grad[0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("kind", ["set_transformer", "perceiver"])
def test_the_order_of_a_set_does_not_matter(kind):
    module, x = attention(kind), torch.randn(2, 50, WIDTH)
    order = torch.randperm(50)
    torch.testing.assert_close(module(x[:, order]), module(x)[:, order], atol=1e-5, rtol=1e-5)


def test_pooling_by_attention_does_not_see_the_order_or_the_padding():
    torch.manual_seed(0)
    pool, x = SeedAttention(WIDTH, HEADS, seeds=3), torch.randn(2, 50, WIDTH)
    assert pool(x).shape == (2, 3, WIDTH)
    torch.testing.assert_close(pool(x[:, torch.randperm(50)]), pool(x), atol=1e-5, rtol=1e-5)
    mask = (torch.arange(60) < 50).expand(2, -1)
    torch.testing.assert_close(pool(torch.cat([x, torch.ones(2, 10, WIDTH)], 1), mask), pool(x), atol=1e-5, rtol=1e-5)


def same_projections(module: torch.nn.Module, inner: MultiHeadAttention) -> MultiHeadAttention:
    full = MultiHeadAttention(WIDTH, HEADS)
    full.load_state_dict(inner.state_dict())
    return full


def test_linformer_with_identity_projections_is_full_attention():
    torch.manual_seed(0)
    module, x = LinformerAttention(WIDTH, HEADS, 40, rank=40), torch.randn(2, 40, WIDTH)
    module.keys.data = module.values.data = torch.eye(40)
    torch.testing.assert_close(module(x), same_projections(module, module.attention)(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("length", [7, 64, 100])
def test_bigbird_with_a_window_over_everything_is_full_attention(length):
    torch.manual_seed(0)
    module, x = BigBirdAttention(WIDTH, HEADS, block=16, window=7), torch.randn(2, length, WIDTH)
    mask = torch.arange(length) < torch.tensor([length, length // 2 + 1])[:, None]
    full = same_projections(module, module.attention)(x, mask=mask)
    torch.testing.assert_close(module(x, mask=mask), full, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", [InducedSetAttention, PerceiverAttention])
def test_with_all_positions_for_the_summary_set_attention_is_full_attention(kind, monkeypatch):
    torch.manual_seed(0)
    module, x = kind(WIDTH, HEADS), torch.randn(2, 30, WIDTH)
    mask = torch.arange(30) < torch.tensor([30, 11])[:, None]
    inner = module.scatter if kind is InducedSetAttention else module.write
    monkeypatch.setattr(module, "summarize", lambda x, mask: (x, mask))
    torch.testing.assert_close(module(x, mask), same_projections(module, inner)(x, mask=mask), atol=1e-6, rtol=1e-5)


def test_bigbird_sees_each_block_once_and_the_far_ones_lie_within_the_row():
    module = BigBirdAttention(WIDTH, HEADS, block=4, window=1, global_blocks=1, far_blocks=2)
    chosen, real = module.chosen_blocks(torch.tensor([9, 3]), 9)
    for row, blocks in ((0, 9), (1, 3)):
        for block in range(blocks):
            seen = chosen[row, block][real[row, block]].tolist()
            assert len(seen) == len(set(seen))
            assert {0, block} <= set(seen) <= set(range(blocks))


def test_linformer_says_that_a_sequence_is_too_long():
    with pytest.raises(ValueError, match="50 positions, and this linformer was made for 40"):
        LinformerAttention(WIDTH, HEADS, 40)(torch.randn(1, 50, WIDTH))


def test_bigbird_is_full_attention_up_to_three_of_its_blocks_and_not_beyond():
    torch.manual_seed(0)
    shape = TransformerShape(width=16, heads=2, attention="bigbird", block=4)
    sparse = self_attention(shape)
    full = MultiHeadAttention(16, 2)
    full.load_state_dict(sparse.attention.state_dict())
    short, long = torch.randn(2, 12, 16), torch.randn(2, 40, 16)
    torch.testing.assert_close(sparse(short), full(short))
    assert not torch.allclose(sparse(long), full(long), atol=1e-3)


def test_the_rank_is_a_key_of_the_shape():
    def rank(kind):
        return self_attention(TransformerShape(width=16, heads=2, attention=kind, rank=5), 64)

    assert rank("set_transformer").points.shape[1] == 5
    assert rank("linformer").keys.shape == (64, 5)
    assert rank("perceiver").latents.shape[1] == 5
    with pytest.raises(ValueError, match=r"model\.shape\.rank is 0; it has to be at least 1"):
        TransformerShape(rank=0)
