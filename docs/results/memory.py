"""Peak memory of a process that makes two steps.

python docs/results/memory.py BACKBONE HEAD si|lif CELLS train|inference

CELLS: cubic cells along every edge of the crystal. Prints atoms and MB, as in docs/evidence.md.
"""

import resource
import sys

import torch
from ase.build import bulk
from hydra import initialize_config_dir

from scalarpath.core.resources import CONF_DIR
from scalarpath.cost.heads import calibrated_potential
from scalarpath.cost.named import arm_of, named_config
from scalarpath.cost.timing import STEPS
from scalarpath.graph import AtomicGraph, collate

backbone, head, crystal, cells, kind = sys.argv[1:]
torch.set_num_threads(1)
atoms = {"si": bulk("Si", cubic=True), "lif": bulk("LiF", "rocksalt", a=4.03, cubic=True)}[crystal]
atoms = atoms.repeat(int(cells))
atoms.rattle(0.05, seed=0)
with initialize_config_dir(str(CONF_DIR), version_base=None):
    options, arm = named_config("backbone", backbone), arm_of(head)
batch = collate([AtomicGraph.from_atoms(atoms, float(options["cutoff"]))])
step = STEPS[kind](calibrated_potential(arm, options, batch, dtype="float32", seed=0), batch)
step()
step()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"{backbone} {head} {crystal} {kind}: {len(atoms)} atoms, {peak:.0f} MB")
