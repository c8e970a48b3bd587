import numpy as np
import pytest
import torch
import yaml
from rich.console import Console

from molgraph.molecules.graphs.dataset import PropertyBatches
from molgraph.molecules.reading.smiles import Standardization, parse
from molgraph.sequences.property.sequence_predictor import AtomPredictor, SequencePredictor, average_over_writings
from molgraph.testing import SMILES as EIGHT
from molgraph.testing import PropertyModelContract
from molgraph.training.config import CONF

SMILES = [
    "CCO",
    "c1ccccc1C(=O)O",
    "C[C@H](N)C(=O)O",
    "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "C",
    "[Na+].[Cl-]",
    "FC(F)(F)Br",
    "O=C=O",
]
SHAPES = [{"cell": cell, "width": 16, "layers": 1} for cell in ("rnn", "lstm", "lstm_peephole", "lstm_coupled", "gru")]
SHAPES += [{"width": 16, "layers": 1, "heads": 2, "feed_forward": 32, "dropout": 0.0}]
SHAPES += [SHAPES[-1] | {"attention": kind} for kind in ("set_transformer", "linformer", "bigbird", "perceiver")]
NAMES = [path.stem for path in sorted((CONF / "model").glob("*.yaml")) if "SequencePredictor" in path.read_text()]
IDS = [shape.get("cell") or shape.get("attention", "transformer") for shape in SHAPES]


def build(shape, **options):
    torch.manual_seed(0)
    return SequencePredictor.build(SMILES, 2, shape, **({"randomize": False} | options))


class TestSequenceModels(PropertyModelContract):
    """Every `model=` that reads a string, small and without dropout."""

    @pytest.fixture(params=NAMES)
    def options(self, request):
        options = yaml.safe_load((CONF / "model" / f"{request.param}.yaml").read_text())
        options.pop("_target_")
        options["shape"] |= {"width": 16, "layers": 1, "dropout": 0.0}
        options["shape"] |= {"heads": 2, "feed_forward": 32} if "heads" in options["shape"] else {}
        return options | {"longest": 1024}

    @pytest.fixture
    def model(self, options):
        return SequencePredictor.build(EIGHT, 2, **options)

    @pytest.fixture
    def twin(self, options):
        return SequencePredictor.build(EIGHT, 2, **options)


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
class TestEveryModel:
    @pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", "pma"])
    def test_a_gradient_reaches_every_parameter(self, shape, pooling):
        model = build(shape, pooling=pooling)
        model(model.encode(SMILES).batch(range(len(SMILES)))).square().sum().backward()
        missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
        assert not missing

    def test_it_comes_back_from_its_state_and_weights(self, shape):
        model = build(shape, pooling="attention").eval()
        copy = SequencePredictor.restore(model.state(), 2, shape=shape, pooling="attention").eval()
        copy.load_state_dict(model.state_dict())
        batch = model.encode(SMILES).batch(range(3))
        assert torch.equal(copy(batch), model(batch))

    def test_it_predicts_for_each_atom(self, shape):
        torch.manual_seed(0)
        model = AtomPredictor.build(SMILES, 3, shape).eval()
        data = model.encode(SMILES)
        together = model(data.atom_batch(range(len(SMILES))))
        atoms = [parse(text).GetNumAtoms() for text in SMILES]
        assert together.shape == (sum(atoms), 3)
        alone = torch.cat([model(data.atom_batch([row])) for row in range(len(SMILES))])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_random_writings_change_with_the_epoch_and_repeat_with_it():
    data = build(SHAPES[4], randomize=True).encode(SMILES)
    first, again, other = (data.for_epoch(epoch).tokens for epoch in (0, 0, 1))
    assert first == again != other
    assert data.batch([3]).groups[0].tokens.tolist() == [data.tokens[3]]
    assert data.for_epoch(0).batch([3]).groups[0].tokens.tolist() == [first[3]]


def test_the_way_a_molecule_is_written_does_not_change_the_prediction():
    model = build(SHAPES[4]).eval()
    data = model.encode(["OCC", "C(O)C", "CCO"])
    assert data.smiles == ["CCO"] * 3
    assert model(data.batch([0, 1, 2])).std(dim=0).max() < 1e-6


def test_without_randomization_training_sees_the_canonical_text():
    data = build(SHAPES[4], average=10).encode(SMILES)
    assert data.for_epoch(5).tokens == data.tokens
    assert data.for_epoch(5).batch([3]).copies == 1


@pytest.mark.parametrize("randomize", [False, True])
def test_less_than_a_twentieth_of_what_training_reads_is_padding(randomize):
    generator = np.random.default_rng(0)
    smiles = ["C" * int(n) + "(C)" * int(n % 3) + "O" for n in generator.gamma(3, 8, 700) + 1]
    data = build(SHAPES[4], randomize=randomize).encode(smiles)
    batches = PropertyBatches(data, np.zeros((700, 1)), np.arange(700), 64, shuffle=True)
    groups = [group for batch in batches.epoch(0) for group in batch.inputs.groups]
    read, real = sum(group.tokens.numel() for group in groups), sum(int(group.lengths.sum()) for group in groups)
    assert real > 0.95 * read


def test_a_vocabulary_for_random_writings_knows_their_tokens():
    model = build(SHAPES[4], randomize=True)
    data = model.encode(SMILES)
    assert not any(3 in data.for_epoch(epoch).tokens[2] for epoch in range(20))


def test_averaging_over_writings_gives_a_mean_and_a_spread():
    model = build(SHAPES[4], randomize=True).eval()
    mean, spread = average_over_writings(model, SMILES, 10, batch_size=3)
    assert mean.shape == spread.shape == (len(SMILES), 2)
    assert spread[4].max() < 1e-6  # methane can be written in one way only
    assert spread[3].min() > 1e-6
    encoded = model.encode(SMILES, average=10)
    torch.testing.assert_close(model(encoded.batch(range(len(SMILES)))), mean, atol=1e-6, rtol=1e-6)
    with pytest.raises(ValueError, match="at least 2 writings"):
        average_over_writings(model, SMILES, 1)


def test_a_smiles_that_is_too_long_is_named_with_its_length():
    with pytest.raises(ValueError, match=r"row 1: .* has 14 tokens and the model reads 10; .* model.longest=16"):
        build(SHAPES[-5], longest=12).encode(SMILES)


def test_a_token_unseen_in_training_is_reported_and_predicted():
    model = build(SHAPES[4]).eval()
    data = model.encode(["CCO", "C[Si](C)C"])
    assert data.unknown == {1: ["[Si]"]}
    assert model(data.batch([0, 1])).isfinite().all()


def test_unknown_tokens_are_told():
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    build(SHAPES[4]).encode(["CCO", "C[Si](C)C"], console=console)
    assert "exact for 1 of 2 texts; 1 rows with unknown tokens ([Si] x1), first row 1" in console.export_text()


def test_any_text_is_read_or_told_why_not():
    encoded, errors = build(SHAPES[4], longest=20).featurizer()(["CCO", "C1CC", "C" * 30, " CC "])
    assert encoded.smiles == ["CCO", "CC"]
    assert "unclosed ring" in errors[1]
    assert "has 30 tokens and the model reads 18" in errors[2]


def test_salts_are_dropped_before_reading_when_asked():
    model = build(SHAPES[4], standardization=Standardization(salts="largest"))
    assert model.encode(["OCC.[Na+]"]).smiles == ["CCO"]


def test_an_unknown_option_names_those_that_there_are():
    with pytest.raises(ValueError, match="model does not take augment; it takes shape, pooling, notation"):
        build(SHAPES[4], augment=True)


def test_an_empty_training_part_is_refused():
    with pytest.raises(ValueError, match="vocabulary is empty"):
        SequencePredictor.build([], 1, SHAPES[0])


def test_an_unknown_key_of_the_shape_names_those_that_there_are():
    with pytest.raises(ValueError, match=r"does not take heads; a RecurrentShape takes cell, width"):
        build({"cell": "gru", "heads": 2, "dropout": 0.0})
