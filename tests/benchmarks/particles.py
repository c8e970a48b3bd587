"""Neighbour search and forward step of the simulator from 1,000 to 19,000 particles, against the plain formulation.

    python tests/benchmarks/particles.py            all sizes, 10 blocks of width 128
    python tests/benchmarks/particles.py --sizes 1000 5000 --threads 1

The plain formulation is what most implementations do: gather both ends, concatenate, multiply, ``index_add_``.
"""

import argparse
import resource
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from molgraph.particles.interaction import InteractionBlock
from molgraph.particles.neighbors import Edges, radius_edges
from molgraph.particles.space import Box
from molgraph.training.precision import set_precision


def best(run: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Best wall time in milliseconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def plain_block(block: InteractionBlock, nodes: Tensor, links: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
    """The same block with a concatenated first layer and ``index_add_``."""
    messages = block.edge_mlp(torch.cat([links, nodes[edges.src], nodes[edges.dst]], dim=1))
    received = torch.zeros_like(nodes).index_add_(0, edges.dst, messages)
    return nodes + block.node_mlp(torch.cat([nodes, received], dim=1)), links + messages


def run_blocks(blocks: nn.ModuleList, nodes: Tensor, links: Tensor, edges: Edges, plain: bool) -> Tensor:
    for block in blocks:
        nodes, links = plain_block(block, nodes, links, edges) if plain else block(nodes, links, edges)
    return nodes


def measure(number: int, width: int, count: int, repeats: int, device: torch.device) -> None:
    """Print one row."""
    generator = torch.Generator().manual_seed(0)
    positions = torch.rand(number, 3, generator=generator).to(device)
    box, radius = Box((0, 0, 0), (1, 1, 1)), (20 * 3 / (4 * torch.pi * number)) ** (1 / 3)
    search = best(lambda: radius_edges(positions, radius, box), 5, device)
    edges = radius_edges(positions, radius, box)
    blocks = nn.ModuleList(InteractionBlock(width) for _ in range(count)).to(device)
    nodes, links = torch.randn(number, width, device=device), torch.randn(len(edges.dst), width, device=device)
    with torch.no_grad():
        set_precision("float32", device)
        same = run_blocks(blocks, nodes, links, edges, True)
        difference = (run_blocks(blocks, nodes, links, edges, False) - same).abs().max() / same.abs().max()
        plain = best(lambda: run_blocks(blocks, nodes, links, edges, True), repeats, device)
        split = best(lambda: run_blocks(blocks, nodes, links, edges, False), repeats, device)
        chosen = set_precision("auto", device)
        ours = best(lambda: run_blocks(blocks, nodes, links, edges, False), repeats, device)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{number:7d} {len(edges.dst):9d} {search:10.1f} {plain:10.0f} {split:10.0f} {ours:10.0f} "
        f"{plain / ours:6.2f}x {1e3 * ours / number:10.1f} {memory:8.1f}   {difference:.0e}  {chosen}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2500, 5000, 10000, 19000])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"{options.blocks} blocks x {options.width}, {options.threads} threads, {options.device}; ms, best of several"
    )
    columns = ("search", "plain", "split", "ours")
    titles = " ".join(f"{column:>10s}" for column in columns)
    print(f"{'N':>7s} {'E':>9s} {titles}   ratio us/particle      GiB   error")
    for number in options.sizes:
        measure(number, options.width, options.blocks, options.repeats, torch.device(options.device))


if __name__ == "__main__":
    main()
