import os
import pickle
import random
from pathlib import Path

import pytest
import torch

from molgraph.training.checkpoint import load_checkpoint, save_checkpoint


class Evil:
    """A pickle that would run a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    save_checkpoint(tmp_path / "a.pt", {"task": {"w": torch.ones(3)}, "note": "x", "list": [1, 2.5, None]})
    content = load_checkpoint(tmp_path / "a.pt")
    assert torch.equal(content["task"]["w"], torch.ones(3))
    assert (content["note"], content["list"]) == ("x", [1, 2.5, None])
    assert [path.name for path in tmp_path.iterdir()] == ["a.pt"]


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    save_checkpoint(tmp_path / "a.pt", {"task": {"w": torch.ones(3000)}})
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"a.pt is truncated or not a checkpoint of molgraph"):
        load_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("write", ["torch", "torch inside ours", "plain pickle"])
def test_a_foreign_pickle_is_refused_and_never_run(tmp_path, write):
    path, trap = tmp_path / "evil.pt", tmp_path / "it_ran"
    if write == "torch":
        torch.save(Evil(trap), path)
    elif write == "torch inside ours":
        save_checkpoint(path, {"task": Evil(trap)})
    else:
        path.write_bytes(pickle.dumps(Evil(trap)))
    with pytest.raises(ValueError, match=r"evil.pt is truncated or not a checkpoint of molgraph"):
        load_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [{"weights": torch.ones(2)}, [1, 2], torch.ones(2), {"format": "other"}])
def test_tensors_of_another_program_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"is not a checkpoint of molgraph; give the folder"):
        load_checkpoint(tmp_path / "other.pt")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    (tmp_path / "zip.pt").write_bytes(b"PK\x03\x04" + b"\x00" * 200)
    for name in ("text.pt", "zip.pt"):
        with pytest.raises(ValueError, match="truncated or not a checkpoint"):
            load_checkpoint(tmp_path / name)
    with pytest.raises(ValueError, match=r"none.pt does not exist; a run folder has best.pt"):
        load_checkpoint(tmp_path / "none.pt")


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "a.pt", {"number": 1})
    monkeypatch.setattr(torch, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path / "a.pt", {"number": 2})
    assert load_checkpoint(tmp_path / "a.pt")["number"] == 1


def test_one_flipped_bit_anywhere_is_refused(tmp_path):
    path = tmp_path / "best.pt"
    save_checkpoint(path, {"task": {"weight": torch.randn(40, 40)}, "config": "a: 1\n"})
    whole, generator = path.read_bytes(), random.Random(0)
    for _ in range(200):
        place, bit = generator.randrange(len(whole)), generator.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"best\.pt is (damaged|truncated or not a checkpoint)"):
            load_checkpoint(path)


def test_a_flipped_bit_in_a_file_of_the_first_version_changes_nothing_in_silence(tmp_path):
    path, generator = tmp_path / "best.pt", random.Random(2)
    whole = (Path(__file__).parents[1] / "runs" / "gatv2" / "best.pt").read_bytes()
    path.write_bytes(whole)
    right = load_checkpoint(path)
    for _ in range(200):
        place, bit = generator.randrange(len(whole)), generator.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        try:
            found = load_checkpoint(path)
        except ValueError as error:
            assert "best.pt" in str(error)
        else:
            assert found["config"] == right["config"] and found["state"] == right["state"]
            assert all(torch.equal(found["task"][name], value) for name, value in right["task"].items())


def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path):
    path = tmp_path / "best.pt"
    save_checkpoint(path, {"task": {"weight": torch.randn(10, 10)}})
    whole, generator = path.read_bytes(), random.Random(1)
    for _ in range(100):
        path.write_bytes(whole[: generator.randrange(len(whole))])
        with pytest.raises(ValueError, match=r"best\.pt is (damaged|truncated or not a checkpoint)"):
            load_checkpoint(path)
