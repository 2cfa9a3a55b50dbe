"""Command line: ``python -m scalarpath.labelling {label,curves,pulay,ethanol,oracle,artifacts}``."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ase.io import iread
from ase.io.formats import UnknownFileTypeError

from scalarpath.core.errors import ConfigError, DataError, ScalarPathError
from scalarpath.labelling.curves import CURVES, curve_tasks
from scalarpath.labelling.engines import MolecularEngine, PlaneWaveEngine, load_engine
from scalarpath.labelling.ethanol import relabel_tasks, sample_trajectory
from scalarpath.labelling.frames import frame_list, stored_frame_list, unseen_frame_list
from scalarpath.labelling.label import LabelJob, LabelReport, collect, label_all, write_atomically
from scalarpath.labelling.oracle_sets import ORACLE_SETS, write_oracle_set
from scalarpath.labelling.pulay import fit_pulay_constant
from scalarpath.labelling.settings import CRYSTALS, crystal_settings

_say = partial(print, flush=True)  # a log file shows each label as it is made


_LISTS = {"frames": frame_list, "unseen": unseen_frame_list}
"""What ``label`` can label, by the name of the file that holds it."""


def _label(arguments: argparse.Namespace) -> int:
    load_engine("gpaw")
    crystal = crystal_settings(arguments.system)
    job = LabelJob(PlaneWaveEngine(crystal), arguments.out, crystal.pulay_constant_per_atom)
    for name in _LISTS:
        if name != arguments.frames and (arguments.out / f"{name}_inputs.extxyz").exists():
            raise ConfigError(f"--out {arguments.out} holds labels of --frames {name}; use another folder.")
    inputs = arguments.out / f"{arguments.frames}_inputs.extxyz"
    _say(f"frames to label: {inputs}{'' if inputs.exists() else ' (drawn now, which can take minutes)'}")
    tasks = stored_frame_list(crystal, inputs, _LISTS[arguments.frames])
    report = label_all(
        tasks, job, processes=arguments.processes, start=arguments.start, stop=arguments.stop, progress=_say
    )
    return _finish(report, job, arguments.frames)


def _curves(arguments: argparse.Namespace) -> int:
    load_engine("gpaw")
    crystal = crystal_settings(arguments.system)
    status = 0
    for curve in arguments.curve or CURVES:
        job = LabelJob(PlaneWaveEngine(crystal), arguments.out / curve, crystal.pulay_constant_per_atom)
        report = label_all(curve_tasks(crystal, curve), job, processes=arguments.processes, progress=_say)
        status = max(status, _finish(report, job, curve))
    return status


def _pulay(arguments: argparse.Namespace) -> int:
    try:
        curve = list(iread(arguments.eos))
    except (OSError, UnknownFileTypeError) as error:
        raise DataError(f"cannot read the equation of state {arguments.eos}: {error}.") from error
    print(f"Pulay constant left in the stress labels of {arguments.eos}: {fit_pulay_constant(curve):.5f} eV per atom")
    return 0


def _ethanol(arguments: argparse.Namespace) -> int:
    arguments.out.mkdir(parents=True, exist_ok=True)
    trajectory = arguments.out / "frames.extxyz"
    if not trajectory.exists():
        relaxed, frames = sample_trajectory(arguments.frames)
        write_atomically(arguments.out / "relaxed_gfn2.extxyz", [relaxed])
        write_atomically(trajectory, frames)
    load_engine("pyscf")
    job = LabelJob(MolecularEngine(), arguments.out / "pbe_def2svp")
    tasks = relabel_tasks(list(iread(trajectory)), arguments.relabel)
    report = label_all(tasks, job, processes=arguments.processes, progress=_say)
    return _finish(report, job, "pbe_def2svp")


def _oracle(arguments: argparse.Namespace) -> int:
    print(write_oracle_set(arguments.system, arguments.out))
    return 0


def _artifacts(arguments: argparse.Namespace) -> int:
    from scalarpath.artifacts.materials import MATERIALS
    from scalarpath.labelling.stored_values import write_stored_values

    for path in write_stored_values(arguments.data, arguments.out, tuple(arguments.material or MATERIALS)):
        print(path)
    return 0


def _finish(report: LabelReport, job: LabelJob, name: str) -> int:
    """Collect the labels, say what is missing; non-zero status if anything failed."""
    path = collect(job, name)
    print(f"{path}: {len(report.labelled)} labelled now, {len(report.skipped)} before, {len(report.failed)} failed")
    for index, reason in sorted(report.failed.items()):
        print(f"no label for {index}: {reason} (log: {job.log_path(index)})", file=sys.stderr)
    return 1 if report.failed else 0


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scalarpath.labelling", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    label = commands.add_parser("label", help="label the frames of a crystal (resumable)")
    label.add_argument(
        "--frames", choices=_LISTS, default="frames", help="those of training, or those that no training part holds"
    )
    label.add_argument("--start", type=int, default=0, help="first frame")
    label.add_argument("--stop", type=int, default=None, help="frame to stop before")
    label.set_defaults(run=_label)

    curves = commands.add_parser("curves", help="label the curves of a crystal (resumable)")
    curves.add_argument("--curve", action="append", choices=CURVES, help="only this curve; may be repeated")
    curves.set_defaults(run=_curves)

    pulay = commands.add_parser("pulay", help="measure the Pulay error that the stress labels of a curve contain")
    pulay.add_argument("eos", type=Path, help="labelled equation of state")
    pulay.set_defaults(run=_pulay)

    ethanol = commands.add_parser("ethanol", help="sample and label the ethanol trajectory")
    ethanol.add_argument("--frames", type=_positive, default=1000, help="frames of the GFN2-xTB trajectory")
    ethanol.add_argument("--relabel", type=_positive, default=30, help="how many of them PBE/def2-SVP labels")
    ethanol.set_defaults(run=_ethanol)

    oracle = commands.add_parser("oracle", help="sample and label a data set with an analytic potential")
    oracle.add_argument("--system", required=True, choices=sorted(ORACLE_SETS))
    oracle.add_argument("--out", type=Path, required=True, help="folder for frames.extxyz")
    oracle.set_defaults(run=_oracle)

    artifacts = commands.add_parser("artifacts", help="derive the stored values of the physical artifacts")
    artifacts.add_argument("--data", type=Path, required=True, help="folder with si/, lif/, ag/ and their curves")
    artifacts.add_argument("--out", type=Path, required=True, help="folder for the JSON files")
    artifacts.add_argument("--material", action="append", help="only this material; may be repeated")
    artifacts.set_defaults(run=_artifacts)

    for command in (label, curves):
        command.add_argument("--system", required=True, choices=sorted(CRYSTALS))
    for command in (label, curves, ethanol):
        command.add_argument("--out", type=Path, required=True, help="folder for labels and logs")
        command.add_argument("--processes", type=_positive, default=1, help="worker processes, one per core")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 1 if a frame got no label, 2 for an error of the user."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # inherited by the worker processes, which use one core each
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except ScalarPathError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


if __name__ == "__main__":
    sys.exit(main())
