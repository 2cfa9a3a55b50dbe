"""Speed against sevenn's own calculator: ``python docs/results/pretrained/speed.py FILE OUTPUT.json [ROUNDS]``.

FILE is a checkpoint of sevenn, in an environment that has both packages. Energy, forces and stress of one structure,
the neighbour list included, one thread, float32, processor time; both calculators take turns in every round.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from sevenn.calculator import SevenNetCalculator

from scalarpath.deploy import ScalarPathCalculator
from scalarpath.upstream.command import read_upstream

STRUCTURES = {
    "Si, 64 atoms": bulk("Si", a=5.47, cubic=True) * (2, 2, 2),
    "LiF, 64 atoms": bulk("LiF", "rocksalt", a=4.07, cubic=True) * (2, 2, 2),
    "ethanol, 9 atoms": molecule("CH3CH2OH"),
}
WARM_UP = 3


def seconds(calculator: Calculator, atoms: Atoms) -> float:
    """Processor time of one calculation."""
    start = time.process_time()
    calculator.calculate(atoms)
    return time.process_time() - start


def main(file: str, output: str, rounds: str = "15") -> None:
    """Measure, show and write."""
    torch.set_num_threads(1)
    ours, theirs = ScalarPathCalculator(read_upstream("sevennet", Path(file))), SevenNetCalculator(file, device="cpu")
    found: dict[str, dict[str, Any]] = {}
    rng = np.random.default_rng(0)
    for name, start in STRUCTURES.items():
        taken = []
        for number in range(WARM_UP + int(rounds)):
            atoms = start.copy()
            atoms.rattle(0.05, seed=number)
            taken.append([seconds(calculator, atoms) for calculator in (ours, theirs)])
        times = np.array(taken[WARM_UP:])
        ratios = times[:, 1] / times[:, 0]
        medians = np.median(rng.choice(ratios, (2000, len(ratios))), axis=1)
        found[name] = {
            "scalarpath_ms": 1e3 * np.median(times[:, 0]),
            "sevenn_ms": 1e3 * np.median(times[:, 1]),
            "ratio": np.median(ratios),
            "interval": list(np.quantile(medians, [0.025, 0.975])),
            "rounds": len(times),
        }
        print(name, found[name], flush=True)
    Path(output).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
