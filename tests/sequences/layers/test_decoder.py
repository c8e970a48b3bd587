import pytest
import torch

from molgraph.sequences.layers.cells import CELLS
from molgraph.sequences.layers.decoder import RecurrentDecoder
from molgraph.sequences.layers.rnn import RecurrentShape
from molgraph.sequences.layers.transformer import TransformerShape
from molgraph.sequences.layers.transformer_decoder import TransformerDecoder
from molgraph.sequences.text.batch import Memory

KINDS = [
    RecurrentShape(cell, 16, 2, 0.1, attention=kind)
    for cell, kind in zip(CELLS, ("none", "dot", "additive", "dot", "additive", "bahdanau"), strict=True)
]
KINDS += [
    TransformerShape(16, 2, 4, 32, 0.1, positions, norm)
    for positions, norm in (("sinusoid", "pre"), ("learned", "post"), ("rotary", "pre"))
]
VOCABULARY, WIDTH = 9, 12


def make(shape, memory=0, condition=0):
    torch.manual_seed(0)
    kind = TransformerDecoder if isinstance(shape, TransformerShape) else RecurrentDecoder
    return kind(shape, VOCABULARY, memory, condition).eval()


def a_memory(rows=3, padding=0):
    torch.manual_seed(1)
    states = torch.cat([torch.randn(rows, 5, WIDTH), torch.full((rows, padding, WIDTH), 9.0)], 1)
    lengths = torch.tensor([5, 2, 4])[:rows, None]
    return Memory(states, torch.arange(5 + padding) < lengths, torch.randn(rows, WIDTH))


def inputs(shape, kind):
    memory = a_memory() if "memory" in kind else None
    condition = torch.randn(3, 2) if "condition" in kind else None
    return make(shape, WIDTH * (memory is not None), 2 * (condition is not None)), memory, condition


@pytest.mark.parametrize("kind", ["language", "condition", "memory", "memory and condition"])
@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_step_by_step_equals_all_at_once(shape, kind):
    decoder, memory, condition = inputs(shape, kind)
    tokens = torch.randint(4, VOCABULARY, (3, 7))
    state = decoder.start(3, 7, memory, condition)
    steps = []
    for token in tokens.unbind(1):
        logits, state = decoder.step(token, state)
        steps.append(logits)
    torch.testing.assert_close(torch.stack(steps, 1), decoder(tokens, memory, condition), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_selected_rows_go_on_as_if_they_had_been_alone(shape):
    decoder, memory, condition = inputs(shape, "memory and condition")
    tokens, rows = torch.randint(4, VOCABULARY, (3, 4)), torch.tensor([2, 0, 2, 2])
    state = decoder.start(3, 4, memory, condition)
    for token in tokens[:, :3].unbind(1):
        _, state = decoder.step(token, state)
    logits, _ = decoder.step(tokens[rows, 3], state.select(rows))
    torch.testing.assert_close(logits, decoder(tokens, memory, condition)[rows, 3], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_no_logit_sees_a_later_token_or_the_padding_of_the_source(shape):
    decoder, tokens = make(shape, WIDTH), torch.randint(4, VOCABULARY, (3, 7))
    changed = tokens.clone()
    changed[:, 4:] = 5
    plain = decoder(tokens, a_memory())
    torch.testing.assert_close(decoder(changed, a_memory())[:, :4], plain[:, :4], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(decoder(tokens, a_memory(padding=3)), plain, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["language", "memory and condition"])
@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_a_gradient_reaches_every_parameter(shape, kind):
    decoder, memory, condition = inputs(shape, kind)
    logits = decoder(torch.randint(4, VOCABULARY, (3, 7)), memory, condition)
    (logits * torch.randn_like(logits)).sum().backward()
    reached = {name: p.grad is not None and p.grad.abs().sum() > 0 for name, p in decoder.named_parameters()}
    assert all(reached.values()), [name for name, good in reached.items() if not good]


@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_attention_on_the_source_sums_to_one_and_leaves_padding_out(shape):
    decoder, tokens = make(shape, WIDTH), torch.randint(4, VOCABULARY, (3, 7))
    if getattr(shape, "attention", "") == "none":
        with pytest.raises(ValueError, match="attention=none"):
            decoder.attention(tokens, a_memory())
        return
    weights = decoder.attention(tokens, a_memory())
    assert weights.shape == (3, 7, 5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 7))
    assert weights[1, :, 2:].abs().max() == 0


def test_a_source_or_a_condition_that_does_not_fit_the_model_is_refused():
    for shape in (KINDS[1], KINDS[-1]):
        tokens = torch.randint(4, VOCABULARY, (3, 2))
        with pytest.raises(ValueError, match="needs a source"):
            make(shape, WIDTH)(tokens)
        with pytest.raises(ValueError, match="takes none"):
            make(shape)(tokens, a_memory())
        with pytest.raises(ValueError, match="trained for 2 conditions and got none"):
            make(shape, condition=2)(tokens)
        with pytest.raises(ValueError, match="trained for no conditions and got 1"):
            make(shape)(tokens, condition=torch.zeros(3, 1))


def test_a_linear_attention_cannot_decode():
    for kind in ("set_transformer", "linformer", "bigbird", "perceiver"):
        with pytest.raises(ValueError, match=f"attention={kind} mixes all positions"):
            TransformerDecoder(TransformerShape(16, attention=kind), VOCABULARY)


def test_an_unknown_attention_is_refused():
    with pytest.raises(ValueError, match="unknown attention 'local'"):
        make(RecurrentShape(attention="local"), WIDTH)


def test_steps_beyond_the_cache_are_refused():
    decoder = make(KINDS[-1])
    _, state = decoder.step(torch.tensor([1]), decoder.start(1, 1))
    with pytest.raises(ValueError, match="started for 1 steps"):
        decoder.step(torch.tensor([1]), state)


@pytest.mark.parametrize("kind", ["additive", "dot"])
def test_in_autocast_the_states_of_the_source_are_cast_once_and_not_at_every_step(kind):
    decoder, memory, copies = make(RecurrentShape("gru", 16, 1, 0.0, attention=kind), WIDTH), a_memory(), set()

    def keep(tensor):
        if tensor.shape == memory.states.shape:
            copies.add(tensor.data_ptr())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
        decoder(torch.randint(4, VOCABULARY, (3, 20)), memory)
    assert len(copies) <= 2


def test_bahdanaus_decoder_is_the_loop_of_his_equations():
    torch.manual_seed(0)
    shape = RecurrentShape(cell="gru_reset_first", width=6, layers=1, dropout=0.0, attention="bahdanau")
    decoder = RecurrentDecoder(shape, tokens=9, memory=4).eval()
    memory = Memory(torch.randn(2, 5, 4), torch.tensor([[True] * 5, [True] * 3 + [False] * 2]), torch.randn(2, 4))
    tokens = torch.tensor([[1, 5, 6, 7], [1, 8, 5, 4]])
    logits, maps = decoder(tokens, memory), decoder.attention(tokens, memory)
    (cell,), score = decoder.cells, decoder.score
    state = torch.tanh(decoder.first(memory.summary))
    for step, token in enumerate(tokens.unbind(1)):
        word = decoder.embedding(token)
        for row in range(2):  # e_j = v tanh(W s' + U h_j), over the real positions alone
            real = memory.states[row][memory.mask[row]]
            query, keys = state[row].view(1, 1, -1), [score.keys(h.view(1, 1, -1)) for h in real]
            weights = torch.stack([score(query, key).squeeze() for key in keys])
            torch.testing.assert_close(maps[row, step, : len(real)], weights.softmax(0))
        context = (maps[:, step].unsqueeze(-1) * memory.states).sum(1)
        (state,) = cell.step(cell.project(torch.cat([word, context], 1)), (state,))
        seen = torch.tanh(decoder.combine(torch.cat([context, state, word], 1)))
        torch.testing.assert_close(logits[:, step], decoder.out(seen))
