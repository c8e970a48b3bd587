import numpy as np
import pytest
import torch

from molgraph.sequences.text.batch import masked_mean, pad
from molgraph.sequences.text.dataset import Corpus, bucket, number_of_batches, padding_waste
from molgraph.sequences.text.tokenizer import Vocabulary


def random_texts(rows=3000, seed=0):
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("CNOcn()"), size)) for size in random.integers(5, 50, rows)]


def test_padding_comes_after_the_end():
    batch = pad([[5, 6], [7]])
    assert batch.tokens.tolist() == [[5, 6], [7, 0]]
    assert batch.mask.tolist() == [[True, True], [True, False]]


def test_a_mean_leaves_the_padding_out_and_is_zero_for_nothing():
    states, mask = torch.tensor([[[1.0], [3.0], [9.0]]] * 2), torch.tensor([[True, True, False], [False] * 3])
    assert masked_mean(states, mask).tolist() == [[2.0], [0.0]]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_corpus_gives_its_rows_back(tmp_path, on_disk):
    texts = random_texts(100)
    vocabulary = Vocabulary.build(texts)
    corpus = Corpus.build(iter(texts), vocabulary, tmp_path if on_disk else None)
    assert len(corpus) == 100
    assert isinstance(corpus.tokens, np.memmap) == on_disk
    batch = corpus.batch([7, 3])
    assert [vocabulary.decode(row) for row in batch.tokens.tolist()] == [texts[7], texts[3]]
    assert batch.lengths.tolist() == corpus.sizes[[7, 3]].tolist()


def test_a_token_takes_one_byte_or_two():
    small, large = Vocabulary.build(["CCO"]), Vocabulary.build([chr(300 + code) for code in range(400)], "characters")
    assert Corpus.build(["CCO"], small).tokens.dtype == np.uint8
    assert Corpus.build([chr(301)], large).tokens.dtype == np.uint16


def test_buckets_waste_less_than_five_percent_and_random_batches_do_not():
    sizes = np.random.default_rng(0).integers(5, 50, 20_000)
    assert padding_waste(sizes, bucket(sizes, 64, epoch=0)) < 0.05
    random_rows = np.random.default_rng(1).permutation(20_000).reshape(-1, 50)
    assert padding_waste(sizes, random_rows) > 0.2


@pytest.mark.parametrize("epoch", [None, 0, 5])
def test_every_row_comes_exactly_once_an_epoch(epoch):
    sizes = np.random.default_rng(0).integers(5, 50, 1003)
    batches = list(bucket(sizes, 10, epoch=epoch))
    assert sorted(np.concatenate(batches)) == list(range(1003))
    assert len(batches) == number_of_batches(1003, 10)


def test_the_order_depends_on_seed_and_epoch_alone():
    sizes = np.random.default_rng(0).integers(5, 50, 500)

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(list(bucket(sizes, 10, seed, epoch))).tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2) != order(1, 2)


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        list(bucket(np.ones(3), 0))
