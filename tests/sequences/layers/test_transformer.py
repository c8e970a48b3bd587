import pytest
import torch
from torch import nn

from molgraph.sequences.layers.transformer import EncoderLayer, TransformerEncoder, TransformerShape
from molgraph.sequences.text.batch import pad

ROWS = [[1, 5, 6, 7, 8, 2], [1, 5, 2], [1, 9, 9, 4, 2]]
ALL = [
    {"positions": positions, "norm": norm}
    for positions in ("sinusoid", "learned", "rotary", "none")
    for norm in ("pre", "post")
]
ALL += [{"attention": kind} for kind in ("set_transformer", "linformer", "bigbird", "perceiver")]


def encoder(**options):
    torch.manual_seed(0)
    return TransformerEncoder(TransformerShape(16, 2, 4, 32, **options), 10, 64).eval()


@pytest.mark.parametrize("options", ALL)
def test_padding_never_changes_a_result(options):
    model = encoder(**options)
    together = model(pad(ROWS))
    for row, numbers in enumerate(ROWS):
        alone = model(pad([numbers]))
        torch.testing.assert_close(together.summary[row], alone.summary[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(together.states[row, : len(numbers)], alone.states[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_layer_equals_pytorchs_own_layer(norm):
    torch.manual_seed(0)
    layer = EncoderLayer(TransformerShape(16, heads=4, feed_forward=32, norm=norm)).eval()
    reference = nn.TransformerEncoderLayer(
        16, 4, 32, activation="gelu", batch_first=True, norm_first=norm == "pre"
    ).eval()
    reference.self_attn.in_proj_weight.data = layer.attention.project_in.weight.data
    reference.self_attn.in_proj_bias.data = layer.attention.project_in.bias.data
    reference.self_attn.out_proj.load_state_dict(layer.attention.project_out.state_dict())
    reference.linear1.load_state_dict(layer.feed_forward[0].state_dict())
    reference.linear2.load_state_dict(layer.feed_forward[2].state_dict())
    x, mask = torch.randn(2, 6, 16), torch.arange(6) < torch.tensor([6, 4])[:, None]
    expected = reference(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(layer(x, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("options", ALL)
def test_a_gradient_reaches_every_parameter(options):
    model = encoder(**options)
    states = model(pad(ROWS)).states
    (states * torch.randn_like(states)).sum().backward()
    reached = {name: p.grad is not None and p.grad.abs().sum() > 0 for name, p in model.named_parameters()}
    assert all(reached.values()), [name for name, good in reached.items() if not good]


def test_without_positions_the_order_does_not_matter_and_with_them_it_does():
    for positions in ("none", "sinusoid", "learned", "rotary"):
        model = encoder(positions=positions)
        same = torch.allclose(model(pad([[5, 6, 7]])).summary, model(pad([[7, 5, 6]])).summary, atol=1e-5)
        assert same == (positions == "none")


def test_attention_maps_are_weights_of_every_layer_and_head():
    maps = encoder().attention_maps(pad(ROWS))
    assert maps.shape == (2, 3, 4, 6, 6)
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 3, 4, 6))
    assert maps[:, 1, :, :, 3:].abs().max() == 0
    with pytest.raises(ValueError, match="BigBirdAttention has no weight for each pair"):
        encoder(attention="bigbird").attention_maps(pad(ROWS))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"positions": "absolute"}, "positions 'absolute' is unknown"),
        ({"norm": "mid"}, "norm 'mid' is unknown"),
        ({"attention": "flash"}, "attention 'flash' is unknown"),
        ({"positions": "rotary", "attention": "bigbird"}, "rotary positions need attention=full"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TransformerShape(**options)


def test_a_sequence_beyond_the_learned_positions_is_refused():
    with pytest.raises(ValueError, match="70 tokens, and the model has learned 64"):
        encoder(positions="learned")(pad([[5] * 70]))
