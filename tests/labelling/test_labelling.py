"""Labelling can be killed and continued, never leaves half a frame, and reports what it could not label."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.io import read

from scalarpath.core.errors import DataError
from scalarpath.labelling import label as labelling
from scalarpath.labelling.label import LabelJob, LabelReport, collect, label_all, label_one, single_point
from scalarpath.labelling.tasks import LabelTask


def silver_task(index: int, *, broken: bool = False) -> LabelTask:
    atoms = bulk("Ag", "fcc", a=4.1, cubic=True)
    atoms.rattle(0.05, seed=index)
    return LabelTask(atoms, info={"config_type": "broken" if broken else "rattled", "frame": index})


def emt_engine(task, log):
    """Leaves a trace of every calculation in the log, and fails where the task asks for it."""
    with log.open("a") as file:
        file.write("calculated\n")
    if task.info["config_type"] == "broken":
        raise RuntimeError("SCF did not converge\nafter 120 iterations")
    return EMT()


class _NotFinite(EMT):
    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        self.results["forces"][0, 0] = np.nan


def calculations(job: LabelJob) -> list[int]:
    """How often each task has been computed."""
    return [log.read_text().count("calculated") for log in sorted(job.log_path(0).parent.iterdir())]


def run(tasks, job, **options) -> LabelReport:
    return label_all(tasks, job, progress=lambda line: None, **options)


def test_a_run_is_continued_without_repeating_a_label(tmp_path):
    tasks, job = [silver_task(i) for i in range(4)], LabelJob(emt_engine, tmp_path)
    first = run(tasks, job, start=0, stop=2)
    second = run(tasks, job, processes=2)
    assert (first.labelled, first.skipped) == ([0, 1], [])
    assert (second.labelled, second.skipped) == ([2, 3], [0, 1])
    assert calculations(job) == [1, 1, 1, 1]
    frames = read(collect(job, "frames"), ":")
    assert [frame.info["frame"] for frame in frames] == [0, 1, 2, 3]


def test_labels_are_those_of_the_engine_with_the_pulay_error_removed(tmp_path):
    job = LabelJob(emt_engine, tmp_path, pulay_constant_per_atom=0.5)
    job.label_path(0).parent.mkdir()
    job.log_path(0).parent.mkdir()
    task = silver_task(0)
    label_one(task, 0, job)
    frame = read(job.label_path(0))
    expected = task.atoms.copy()
    expected.calc = EMT()
    assert frame.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-10)
    assert frame.info["energy_sigma0"] == pytest.approx(expected.get_potential_energy(), abs=1e-10)
    assert np.allclose(frame.get_forces(), expected.get_forces(), atol=1e-7)
    difference = expected.get_stress() - frame.get_stress()
    assert np.allclose(difference, np.array([1, 1, 1, 0, 0, 0]) * 0.5 * 4 / task.atoms.get_volume(), atol=1e-12)


def test_the_energy_is_the_one_that_the_forces_derive_from():
    class Smeared(Calculator):
        implemented_properties = ("energy", "free_energy", "forces", "stress")

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            self.results = {"energy": -1.0, "free_energy": -1.5, "forces": np.zeros((4, 3)), "stress": np.zeros(6)}

    frame = single_point(silver_task(0), Smeared())
    assert frame.get_potential_energy() == -1.5
    assert frame.info["energy_sigma0"] == -1.0


def test_a_molecule_in_a_box_gets_no_stress():
    atoms = molecule("N2", vacuum=3.0, pbc=True)
    frame = single_point(LabelTask(atoms, info={"config_type": "dimer"}, repeat=None), EMT())
    assert set(frame.calc.results) == {"energy", "forces"}


def test_a_frame_that_fails_is_reported_and_stops_no_other(tmp_path):
    tasks, job = [silver_task(i, broken=i == 1) for i in range(3)], LabelJob(emt_engine, tmp_path)
    report = run(tasks, job)
    assert report.labelled == [0, 2]
    assert report.failed == {1: "RuntimeError: SCF did not converge"}
    assert [frame.info["frame"] for frame in read(collect(job, "frames"), ":")] == [0, 2]
    assert run(tasks, job).failed.keys() == {1}  # it is tried again, the others are not
    assert calculations(job) == [1, 2, 1]


def test_nothing_is_collected_where_there_is_no_label(tmp_path):
    job = LabelJob(emt_engine, tmp_path)
    assert run([silver_task(0, broken=True)], job).failed.keys() == {0}
    assert not collect(job, "frames").exists()


def test_a_crash_while_writing_leaves_no_label(tmp_path, monkeypatch):
    job = LabelJob(emt_engine, tmp_path)
    job.label_path(0).parent.mkdir()
    job.log_path(0).parent.mkdir()

    def crash(path, atoms, format):
        path.write_text("4\nLattice=")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(labelling, "write", crash)
        with pytest.raises(KeyboardInterrupt):
            label_one(silver_task(0), 0, job)
    assert not job.label_path(0).exists()
    assert run([silver_task(0)], job).labelled == [0]
    assert len(read(collect(job, "frames"), ":")) == 1


def test_a_label_that_is_not_finite_is_no_label():
    with pytest.raises(DataError, match="forces that is not finite"):
        single_point(silver_task(0), _NotFinite())


def test_a_folder_of_other_structures_is_refused(tmp_path):
    job = LabelJob(emt_engine, tmp_path)
    run([silver_task(0)], job)
    with pytest.raises(DataError, match="another structure"):
        run([silver_task(1)], job)
