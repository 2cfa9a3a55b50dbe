"""Files for what fine-tuning forgets (docs/finetuning.md): python docs/results/forgetting.py MODEL RUN FOLDER

Silicon with its PBE labels in the parts of RUN, a training on data=si; LiF and silver with the labels of MODEL itself:
every fourth frame to be trained along (replay), and every second one, none of these, to say how far others are.
"""

import json
import sys
from pathlib import Path

from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from scalarpath.deploy import ScalarPathCalculator

DATA = Path(__file__).parents[2] / "data"
model, run, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
folder.mkdir(parents=True, exist_ok=True)
silicon = read(DATA / "si/frames.extxyz", ":")
for part, numbers in json.loads((run / "splits.json").read_text()).items():
    write(folder / f"si_{part}.extxyz", [silicon[number] for number in numbers])
calculator, replay = ScalarPathCalculator(model), []
for name in ("lif", "ag"):
    frames = []
    for atoms in read(DATA / name / "frames.extxyz", ":"):
        atoms.calc = calculator
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces(), "stress": atoms.get_stress()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        atoms.info = {"config_type": atoms.info["config_type"]}
        atoms.arrays = {key: atoms.arrays[key] for key in ("numbers", "positions")}
        frames.append(atoms)
    replay += frames[::4]
    write(folder / f"{name}_held_out.extxyz", frames[1::2])
write(folder / "replay.extxyz", replay)
