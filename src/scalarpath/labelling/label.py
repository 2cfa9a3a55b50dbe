"""Resumable labelling: every label is a file of its own that appears whole or not at all.

    DIR/labels/000123.extxyz   one labelled frame (written beside its final name and renamed)
    DIR/logs/000123.txt        what the engine said while making it
    DIR/<name>.extxyz          all labelled frames in order, rewritten whenever a run ends

A run skips what is labelled already, so it may be killed at any time and started again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import iread, write

from scalarpath.core.errors import DataError
from scalarpath.core.files import put_in_place
from scalarpath.labelling.pulay import correct_stress
from scalarpath.labelling.tasks import LabelTask

Engine = Callable[[LabelTask, Path], Calculator]
"""Makes the calculator of a task; the path is where the engine may write its log. Must be picklable."""


@dataclass(frozen=True)
class LabelJob:
    """Everything a worker process needs.

    ``engine``: makes the calculator of a task; ``folder``: where the labels are written; ``pulay_constant_per_atom``:
    removed from the stress, eV per atom.
    """

    engine: Engine
    folder: Path
    pulay_constant_per_atom: float = 0.0

    def label_path(self, index: int) -> Path:
        """File of one labelled frame."""
        return self.folder / "labels" / f"{index:06d}.extxyz"

    def log_path(self, index: int) -> Path:
        """Log of the engine for one frame."""
        return self.folder / "logs" / f"{index:06d}.txt"


@dataclass
class LabelReport:
    """Outcome of a run, by task number.

    ``labelled``: labelled now; ``skipped``: found labelled; ``failed``: why there is no label.
    """

    labelled: list[int] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)


def label_all(
    tasks: Sequence[LabelTask],
    job: LabelJob,
    *,
    processes: int = 1,
    start: int = 0,
    stop: int | None = None,
    progress: Callable[[str], None] = print,
) -> LabelReport:
    """Label ``tasks[start:stop]`` that have no label yet, one process per task at a time.

    ``tasks``: all tasks; a task's number is its position here; ``job``: engine, folder, stress correction;
    ``processes``: worker processes; each is serial, so give one per core; ``start``: first task number; ``stop``: task
    number to stop before; ``progress``: receives one line per finished task. Raises DataError when a label in the
    folder belongs to another structure than the task of its number.
    """
    for path in (job.label_path(0), job.log_path(0)):
        path.parent.mkdir(parents=True, exist_ok=True)
    report = LabelReport()
    pending = []
    for index in range(*slice(start, stop).indices(len(tasks))):
        if job.label_path(index).exists():
            _require_same_structure(tasks[index].atoms, job.label_path(index))
            report.skipped.append(index)
        else:
            pending.append(index)
    if pending:
        # Fresh processes: the engines are neither thread-safe nor safe to fork, and take one core each.
        with ProcessPoolExecutor(max_workers=processes, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(label_one, tasks[index], index, job): index for index in pending}
            for future in as_completed(futures):
                progress(_record(future, futures[future], report))
    report.labelled.sort()
    return report


def label_one(task: LabelTask, index: int, job: LabelJob) -> str:
    """Label one task and write its file atomically; returns a line that says what came out.

    Raises DataError when the engine returned a value that is not finite.
    """
    calculator = job.engine(task, job.log_path(index))
    labelled = single_point(task, calculator, job.pulay_constant_per_atom)
    write_atomically(job.label_path(index), [labelled])
    largest = np.abs(labelled.get_forces()).max()
    return f"{len(labelled)} atoms, {labelled.get_potential_energy():.4f} eV, largest force {largest:.2f} eV/Å"


def single_point(task: LabelTask, calculator: Calculator, pulay_constant_per_atom: float = 0.0) -> Atoms:
    """The task's structure with labels: the free energy that the forces derive from, forces, and stress of a crystal.

    ``info["energy_sigma0"]`` is the energy extrapolated to zero smearing. A molecule in a box gets no stress.

    Raises DataError when a label is not finite.
    """
    atoms = task.atoms.copy()
    atoms.calc = calculator
    results = {"energy": atoms.get_potential_energy(force_consistent=True), "forces": atoms.get_forces().copy()}
    if task.repeat is not None:
        results["stress"] = correct_stress(atoms.get_stress(), atoms, pulay_constant_per_atom)
    for name, value in results.items():
        if not np.isfinite(value).all():
            raise DataError(f"the engine returned a {name} that is not finite.")
    labelled = task.atoms.copy()
    labelled.info = {**task.info, "energy_sigma0": atoms.get_potential_energy()}
    labelled.calc = SinglePointCalculator(labelled, **results)
    return labelled


def collect(job: LabelJob, name: str) -> Path:
    """Write all labels of the folder, in order, to ``<name>.extxyz`` in it, atomically; no label, no file."""
    path = job.folder / f"{name}.extxyz"
    labels = sorted((job.folder / "labels").glob("*.extxyz"))
    if labels:
        write_atomically(path, [next(iread(label)) for label in labels])
    return path


def write_atomically(path: Path, frames: Sequence[Atoms]) -> None:
    """Write an extxyz file that appears whole or not at all."""
    with put_in_place(path) as partial:
        write(partial, list(frames), format="extxyz")


def _record(future: "Future[str]", index: int, report: LabelReport) -> str:
    """Enter a finished task in the report; a failed one must not stop the others."""
    error = future.exception()
    if error is None:
        report.labelled.append(index)
        return f"{index}: {future.result()}"
    if isinstance(error, BrokenProcessPool):
        report.failed[index] = "a worker process died before or while labelling this frame; start the run again"
    else:
        report.failed[index] = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"{index}: FAILED, {report.failed[index]}"


def _require_same_structure(atoms: Atoms, path: Path) -> None:
    # Text keeps 8 decimals, and a sampler of another version may differ in the last digits.
    labelled = next(iread(path))
    same = (
        len(labelled) == len(atoms)
        and (labelled.numbers == atoms.numbers).all()
        and np.allclose(labelled.cell, atoms.cell, atol=1e-4)
        and np.allclose(labelled.positions, atoms.positions, atol=1e-4)
    )
    if not same:
        raise DataError(
            f"{path} holds the label of another structure than the frame list gives now; use an empty output folder."
        )
