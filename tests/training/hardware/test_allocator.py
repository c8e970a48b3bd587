import os
import subprocess
import sys

import pytest

COUNT = """
import resource, sys, torch
from molgraph.training.hardware.allocator import keep_memory
torch.set_num_threads(1)
kept = keep_memory() if sys.argv[1] == "keep" else None
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.zeros(10_000_000) + 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(kept, faults())
"""


def run(word, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, word], env=clean | environment, capture_output=True, text=True, check=True
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_large_tensors_cost_no_page_faults_after_the_first():
    (_, before), (kept, after) = run("leave"), run("keep")
    if kept == "False":
        pytest.skip("this C library is not glibc")
    assert after < before / 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_what_the_environment_says_is_left_alone():
    assert run("keep", MALLOC_ARENA_MAX="4")[0] == "False"


GROW = """
import torch
from molgraph.training.hardware.allocator import Growth, _resident, keep_memory
kept = keep_memory()
growth = Growth()
growth.check()
many = [torch.ones(10_000_000) for _ in range(20)]
del many
before = _resident()
growth.check()
print(kept, before, _resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_process_that_has_doubled_gives_freed_memory_back():
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", GROW], env=clean, capture_output=True, text=True, check=True)
    kept, before, after = done.stdout.split()
    if kept == "False":
        pytest.skip("this C library is not glibc")
    assert int(after) < int(before) / 2
