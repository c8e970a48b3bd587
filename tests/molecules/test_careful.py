"""Whatever a row does becomes that row's reason: it raises, hangs, or kills the process that reads it."""

import os
import signal
import time

import pytest

from molgraph.molecules import careful
from molgraph.molecules.careful import ReaderPool, read_carefully


def naughty(rows):
    """Read texts as their lengths, but for those that misbehave."""
    good, errors = [], {}
    for place, text in enumerate(rows):
        if text == "raise":
            raise RuntimeError("a library's own mistake")
        if text == "hang":
            time.sleep(60)
        if text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "bad":
            errors[place] = "it is bad"
        else:
            good.append(len(text))
    return good, errors


ROWS = ["a", "raise", "bb", "bad", "kill", "ccc", "hang", "kill", "dddd"]
REASONS = {1: "RuntimeError: a library's own mistake", 3: "it is bad", 4: "ended the process", 6: "more than 0 s"}


def check(read):
    good, errors = read
    assert good == [1, 2, 3, 4]
    assert sorted(errors) == [1, 3, 4, 6, 7]
    assert all(reason in errors[row] for row, reason in REASONS.items())


def test_each_bad_row_has_its_reason_and_the_others_are_read():
    check(read_carefully(naughty, ROWS, seconds=0.4))


def test_a_pool_goes_on_after_its_processes_are_killed_or_hang(monkeypatch):
    monkeypatch.setattr(careful, "CHUNK_SECONDS", 2.0)
    monkeypatch.setattr(careful, "read_carefully", lambda *given: read_carefully(*given, seconds=0.4))
    with ReaderPool(naughty, 2) as pool:
        chunks = [["a"], ["x", "kill"], ["bb"], ["hang", "y"], ["raise"], ["ccc"]]
        reads = [pool.submit(chunk) for chunk in chunks]
        found = [pool.result(chunk, read) for chunk, read in zip(chunks, reads, strict=True)]
        again = pool.result(["dddd"], pool.submit(["dddd"]))
    assert [good for good, _ in found] == [[1], [1], [2], [1], [], [3]]
    assert [sorted(errors) for _, errors in found] == [[], [1], [], [0], [0], []]
    assert again == ([4], {})


@pytest.mark.parametrize("rows", [[], ["a"]])
def test_nothing_special_is_read_as_ever(rows):
    assert read_carefully(naughty, rows) == ([len(row) for row in rows], {})
