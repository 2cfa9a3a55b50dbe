"""What fine-tuning on silicon forgets of LiF and silver (docs/finetuning.md).

    python docs/results/forgetting.py files MODEL RUN FOLDER     # RUN: a training on data=si, whose split is taken
    python docs/results/forgetting.py errors FOLDER MODEL RUN...

FOLDER gets silicon with its PBE labels, and LiF and silver with the labels of MODEL itself: frames to be trained along,
replay (rattled and hot cells) and replay_all (strained and compressed ones too), and others to say how far a potential
has gone from MODEL. The bundled files have their kinds in turn.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from scalarpath.deploy import ScalarPathCalculator

DATA = Path(__file__).parents[2] / "data"
COMPRESSED = "compressed"  # in config_type


def files(model: str, run: str, folder: Path) -> None:
    """Write the frames."""
    folder.mkdir(parents=True, exist_ok=True)
    silicon = read(DATA / "si/frames.extxyz", ":")
    for part, numbers in json.loads((Path(run) / "splits.json").read_text()).items():
        write(folder / f"si_{part}.extxyz", [silicon[number] for number in numbers])
    calculator, replay, more = ScalarPathCalculator(model), [], []
    for name in ("lif", "ag"):
        frames = []
        for atoms in read(DATA / name / "frames.extxyz", ":"):
            atoms.calc = calculator
            labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
            atoms.calc = SinglePointCalculator(atoms, **labels, stress=atoms.get_stress())
            atoms.info = {"config_type": atoms.info["config_type"]}
            atoms.arrays = {key: atoms.arrays[key] for key in ("numbers", "positions")}
            frames.append(atoms)
        replay += frames[::4]
        more += frames[3::8]
        write(folder / f"{name}_held_out.extxyz", frames[1::4])
    assert not any(COMPRESSED in atoms.info["config_type"] for atoms in replay)
    write(folder / "replay.extxyz", replay)
    write(folder / "replay_all.extxyz", replay + more)


def errors(folder: Path, *models: str) -> None:
    """Print MAEs of forces (meV/Å) and energies (meV/atom) on the frames of the folder as CSV."""
    sets = {"si": read(folder / "si_test.extxyz", ":")}
    for name in ("lif", "ag"):
        for atoms in read(folder / f"{name}_held_out.extxyz", ":"):
            kind = f"{name}_compressed" if COMPRESSED in atoms.info["config_type"] else name
            sets.setdefault(kind, []).append(atoms)
    table = csv.writer(sys.stdout)
    table.writerow(["model", *(f"{name}_{kind}" for name in sets for kind in ("forces", "energy"))])
    for model in models:
        calculator, row = ScalarPathCalculator(model), [Path(model).name]
        for frames in sets.values():
            forces, energies = [], []
            for labelled in frames:
                atoms = labelled.copy()
                atoms.calc = calculator
                forces.append(np.abs(atoms.get_forces() - labelled.get_forces()).ravel())
                energies.append(abs(atoms.get_potential_energy() - labelled.get_potential_energy()) / len(atoms))
            row += [f"{1e3 * np.concatenate(forces).mean():.4g}", f"{1e3 * np.mean(energies):.4g}"]
        table.writerow(row)


if __name__ == "__main__":
    if sys.argv[1] == "files":
        files(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    else:
        errors(Path(sys.argv[2]), *sys.argv[3:])
