import pytest
import torch

from molgraph.sequences.decoding.decode import decode, exhaustive, in_batches
from molgraph.sequences.decoding.strategies import Beam, Greedy, Sampling
from molgraph.sequences.layers.decoder import RecurrentDecoder
from molgraph.sequences.layers.rnn import RecurrentShape
from molgraph.sequences.layers.transformer import TransformerShape
from molgraph.sequences.layers.transformer_decoder import TransformerDecoder
from molgraph.sequences.text.batch import Memory
from molgraph.sequences.text.tokenizer import BOS, EOS, PAD, UNK

WIDTH, VOCABULARY = 12, 9
KINDS = [
    RecurrentShape(cell, 16, 2, 0.1, attention=kind)
    for cell, kind in (("lstm", "none"), ("gru", "dot"), ("rnn", "additive"))
]
KINDS += [TransformerShape(16, 2, 4, 32, 0.1, positions) for positions in ("sinusoid", "rotary")]
SMALL = [RecurrentShape("lstm", 8, 1), TransformerShape(8, 1, 2, 16)]


def sharp(shape, vocabulary, memory=0):
    """A decoder whose probabilities differ clearly."""
    torch.manual_seed(3)
    kind = TransformerDecoder if isinstance(shape, TransformerShape) else RecurrentDecoder
    decoder = kind(shape, vocabulary, memory).eval()
    decoder.out.weight.data.mul_(4)
    return decoder


def make(shape, memory=0):
    torch.manual_seed(0)
    kind = TransformerDecoder if isinstance(shape, TransformerShape) else RecurrentDecoder
    return kind(shape, VOCABULARY, memory).eval()


def a_memory(padding=0):
    torch.manual_seed(1)
    states = torch.cat([torch.randn(3, 5, WIDTH), torch.full((3, padding, WIDTH), 9.0)], 1)
    return Memory(states, torch.arange(5 + padding) < torch.tensor([5, 2, 4])[:, None], torch.randn(3, WIDTH))


@pytest.mark.parametrize("penalty", [0.0, 1.0])
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_a_beam_that_is_wide_enough_equals_exhaustive_decoding(shape, penalty):
    decoder, limit = sharp(shape, 7), 3
    everything = exhaustive(decoder, limit, penalty)
    assert len(everything) == 1 + 3 + 9 + 27
    (beams,) = decode(decoder, Beam(40, penalty), 1, limit)
    assert [beam.tokens for beam in beams] == [other.tokens for other in everything]
    assert [beam.finished for beam in beams] == [other.finished for other in everything]
    torch.testing.assert_close(
        [beam.log_prob for beam in beams], [other.log_prob for other in everything], atol=1e-5, rtol=1e-5
    )
    total = torch.tensor([other.log_prob for other in everything]).exp().sum()
    torch.testing.assert_close(total, torch.tensor(1.0))


def test_a_beam_of_one_is_greedy_and_a_wider_one_is_never_worse():
    decoder = sharp(SMALL[1], 12, WIDTH)
    memory = a_memory()
    greedy = decode(decoder, Greedy(), 3, 12, memory)
    one = decode(decoder, Beam(1, 0.0), 3, 12, memory)
    assert [row[0].tokens for row in greedy] == [row[0].tokens for row in one]
    wide = decode(decoder, Beam(50, 0.0), 3, 12, memory)
    assert all(w[0].log_prob >= g[0].log_prob - 1e-5 for w, g in zip(wide, greedy, strict=True))


@pytest.mark.parametrize("strategy", [Greedy(), Beam(4)], ids=str)
@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_decoding_together_equals_decoding_one_by_one(shape, strategy):
    decoder, memory = make(shape, WIDTH), a_memory(padding=2)
    decoder.out.weight.data.mul_(4)
    together = decode(decoder, strategy, 3, 20, memory)
    for row in range(3):
        (alone,) = decode(decoder, strategy, 1, 20, memory.select(torch.tensor([row])))
        assert [h.tokens for h in together[row]] == [h.tokens for h in alone]


@pytest.mark.parametrize("shape", KINDS, ids=str)
def test_the_log_likelihood_is_that_of_teacher_forcing(shape):
    decoder = make(shape)
    for (hypothesis,) in decode(decoder, Sampling(0.7, seed=1), 20, 15):
        tokens = [*hypothesis.tokens, EOS] if hypothesis.finished else hypothesis.tokens
        logits = decoder(torch.tensor([[BOS, *tokens[:-1]]]))[0]
        logits[:, [PAD, BOS, UNK]] = -torch.inf
        expected = logits.log_softmax(-1)[torch.arange(len(tokens)), tokens].sum().item()
        assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)


def test_samples_follow_the_probabilities_of_the_model():
    decoder = sharp(SMALL[0], 7)
    everything = {tuple(h.tokens): h.log_prob for h in exhaustive(decoder, 2) if h.finished}
    samples = decode(decoder, Sampling(seed=0), 20_000, 2)
    for tokens, log_prob in everything.items():
        share = sum(row[0].finished and tuple(row[0].tokens) == tokens for row in samples) / 20_000
        assert share == pytest.approx(torch.tensor(log_prob).exp().item(), abs=0.015)


def test_a_seed_repeats_a_sample_and_special_tokens_are_never_drawn():
    decoder = make(KINDS[1])
    samples = [decode(decoder, Sampling(2.0, seed=seed), 50, 20) for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]
    assert not {PAD, BOS, EOS, UNK} & {token for row in samples[0] for token in row[0].tokens}


def test_top_k_and_top_p_cut_the_unlikely_tokens_off():
    log_probs = torch.tensor([[[0.5, 0.3, 0.15, 0.05]]]).log()

    def kept(**options):
        return [round(p, 3) for p in Sampling(**options).filtered(log_probs).flatten().tolist()]

    assert kept() == [0.5, 0.3, 0.15, 0.05]
    assert kept(top_k=2) == [0.625, 0.375, 0, 0]
    assert kept(top_p=0.7) == [0.5, 0.3, 0, 0]  # multinomial takes weights that do not sum to 1
    assert kept(top_p=0.01) == [0.5, 0, 0, 0]
    assert kept(temperature=0.5)[0] > 0.65


def test_a_prompt_is_what_the_text_goes_on_from():
    decoder = make(KINDS[-1])
    decoder.out.weight.data.mul_(4)
    (whole,), (rest,) = decode(decoder, Greedy(), 1, 10)[0], [None]
    (rest,) = decode(decoder, Greedy(), 1, 8, prompt=whole.tokens[:2])[0]
    assert rest.tokens == whole.tokens[2:]


def test_a_batch_that_does_not_fit_is_halved():
    sizes = []

    def run(start, stop):
        sizes.append(stop - start)
        if stop - start > 3:
            raise torch.OutOfMemoryError("too many")
        return list(range(start, stop))

    assert in_batches(run, 10, 8) == list(range(10))
    assert sizes[:3] == [8, 4, 2]
    with pytest.raises(torch.OutOfMemoryError):
        in_batches(lambda start, stop: (_ for _ in ()).throw(torch.OutOfMemoryError("one")), 2, 2)


@pytest.mark.parametrize(
    ("make_strategy", "message"),
    [
        (lambda: Sampling(0.0), "temperature is 0.0"),
        (lambda: Sampling(float("nan")), "temperature is nan"),
        (lambda: Sampling(top_p=0.0), "top_p=0.0"),
        (lambda: Beam(0), "at least 1 wide"),
    ],
)
def test_a_strategy_that_cannot_be_is_refused(make_strategy, message):
    with pytest.raises(ValueError, match=message):
        make_strategy()
