"""The verbs ``molgraph simulate`` and ``molgraph rollout``: arguments here, work in modules imported when called."""

import argparse
from pathlib import Path


def add_simulate(subparsers: argparse._SubParsersAction) -> None:
    """Add ``molgraph simulate SET``."""
    parser = subparsers.add_parser(
        "simulate",
        help="make a particle set with a real solver, or from trajectories of your own",
        description="Make a particle set: HDF5 in LagrangeBench's layout with a metadata file.",
    )
    parser.add_argument("set", nargs="?", help="name of a set in conf/data (water_drop, sand_3d, ...) or a YAML file")
    parser.add_argument("--list", action="store_true", help="list the named sets")
    parser.add_argument("-o", "--out", help="folder to write; the user's cache by default")
    parser.add_argument("--train", type=int, help="number of training trajectories")
    parser.add_argument("--valid", type=int, help="number of validation trajectories")
    parser.add_argument("--test", type=int, help="number of test trajectories")
    parser.add_argument("--frames", type=int, help="frames of each trajectory")
    parser.add_argument("--seed", type=int, help="seed of the set")
    parser.add_argument("--workers", type=int, help="processes; one per core by default")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--import", dest="files", nargs="+", metavar="FILE", help="convert .npz, .extxyz, .traj instead"
    )
    parser.add_argument("--dt", type=float, default=1.0, help="with --import: time between two frames")
    parser.set_defaults(run_verb=simulate)


def add_rollout(subparsers: argparse._SubParsersAction) -> None:
    """Add ``molgraph rollout RUN``."""
    parser = subparsers.add_parser(
        "rollout",
        help="let a learned simulator run",
        description="Roll a learned simulator out from a stored state, an ASE file or a scene file.",
    )
    parser.add_argument("run", help="run folder of molgraph train")
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--set", help="folder of a particle set; the run's own by default")
    start.add_argument("--atoms", help="file that ASE reads; its last frame and velocities are the start")
    start.add_argument("--scene", help="YAML file with box, gravity, spacing, blocks and obstacles")
    parser.add_argument("--split", default="test", help="with a set: train, valid or test")
    parser.add_argument("--number", type=int, default=0, help="with a set: which trajectory")
    parser.add_argument("--steps", type=int, help="frames to make; those of the stored trajectory by default")
    parser.add_argument(
        "-o", "--out", action="append", default=[], help="where to write: .h5 .extxyz .traj .pvd .gif .mp4"
    )
    parser.add_argument("--color", default="material", help="of the picture: material or speed")
    parser.add_argument("--skin", type=float, default=0.0, help="extra search radius; saves searches in large systems")
    parser.add_argument("--no-guard", action="store_true", help="go on after NaN, escapes and exploding energy")
    parser.add_argument("--relax", type=int, default=0, help="density relaxation steps after each frame")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.set_defaults(run_verb=rollout)


def simulate(arguments: argparse.Namespace) -> None:
    """Run ``molgraph simulate``."""
    from rich.console import Console

    from molgraph.particles.data import named

    console = Console()
    if arguments.list:
        named.print_names(console)
        return
    if arguments.files:
        if not arguments.out:
            raise ValueError("--import needs -o FOLDER, the folder of the new set")
        made = named.import_files(arguments.files, Path(arguments.out), arguments.dt)
    elif arguments.set:
        changes = {k: getattr(arguments, k) for k in ("frames", "seed") if getattr(arguments, k) is not None}
        counts = {k: getattr(arguments, k) for k in ("train", "valid", "test") if getattr(arguments, k) is not None}
        made = named.named_set(arguments.set, arguments.out, changes, counts).ensure(
            arguments.workers, arguments.device
        )
    else:
        raise ValueError("give the name of a set, --list, or --import FILE")
    named.print_set(made, console)


def rollout(arguments: argparse.Namespace) -> None:
    """Run ``molgraph rollout``; exit code 1 where it had to stop."""
    from molgraph.particles.rollout.session import RolloutSession

    if not RolloutSession.of(arguments).run():
        raise SystemExit(1)
