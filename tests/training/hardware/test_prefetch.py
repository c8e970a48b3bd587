"""Batches made ahead are the same batches: bit by bit, in order, with their errors, and no thread is left behind."""

import threading

import numpy as np
import pytest
import torch

from molgraph.sequences.language.experiment import LanguageBatches
from molgraph.sequences.text.dataset import Corpus
from molgraph.sequences.text.tokenizer import Vocabulary
from molgraph.training.hardware.prefetch import AHEAD, ahead, pinned, prefetched
from molgraph.training.hardware.step import tensors_of

TEXTS = ["C" * n + end for n in range(1, 20) for end in ("O", "N", "Cl")]


@pytest.fixture
def batches():
    vocabulary = Vocabulary.build(TEXTS, "smiles")
    return LanguageBatches(Corpus.build(TEXTS, vocabulary), 8, np.arange(float(len(TEXTS)))[:, None], seed=3)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_they_are_bit_equal_and_in_order(batches):
    for epoch in range(2):
        for one, other in zip(batches.epoch(epoch), prefetched(batches.epoch(epoch)), strict=True):
            pairs = zip(tensors_of(one), tensors_of(other), strict=True)
            assert all(torch.equal(left, right) for left, right in pairs)
    assert not threads()


def test_an_error_comes_out_behind_the_batches_before_it():
    def failing():
        yield from range(3)
        raise ValueError("row 3 is bad")

    found = []
    with pytest.raises(ValueError, match="row 3 is bad"):
        for batch in prefetched(failing()):
            found.append(batch)
    assert found == [0, 1, 2]
    assert not threads()


def test_who_stops_early_leaves_no_thread_and_few_batches_are_made():
    made = []

    def many():
        for number in range(1000):
            made.append(number)
            yield number

    for batch in (epoch := prefetched(many())):
        if batch == 5:
            break
    epoch.close()
    assert len(made) <= 5 + AHEAD + 3
    assert not threads()


def test_on_a_cpu_nothing_is_made_ahead(batches):
    epoch = ahead(batches.epoch(0), torch.device("cpu"))
    next(epoch)
    assert not threads()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinned memory needs a GPU")
def test_batches_for_a_gpu_lie_in_pinned_memory(batches):
    ours = list(ahead(batches.epoch(0), torch.device("cuda")))
    assert all(tensor.is_pinned() for batch in ours for tensor in tensors_of(batch))
    for one, other in zip(batches.epoch(0), ours, strict=True):
        pairs = zip(tensors_of(one), tensors_of(other), strict=True)
        assert all(torch.equal(left, right) for left, right in pairs)


def test_what_is_no_tensor_is_left_as_it_is():
    assert pinned({"a": 1}) == {"a": 1}
