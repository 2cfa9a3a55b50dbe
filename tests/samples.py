"""Structures and potentials that several tests use."""

from __future__ import annotations

import copy
import functools

import torch
from ase import Atoms
from ase.build import bulk, molecule
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from scalarpath.core.resources import CONF_DIR
from scalarpath.graph import AtomicGraph, collate
from scalarpath.potential import Potential, build_potential

ARMS = {path.stem: set(OmegaConf.load(path)) for path in sorted((CONF_DIR / "head").glob("*.yaml"))}
HEADS = [name for name, keys in ARMS.items() if not keys & {"backbone", "widen"}]  # the others change the backbone too
SMALL_MACE = {"kind": "mace", "num_channels": 4, "max_ell": 2, "radial_mlp": [8], "readout_mlp": 4}
SMALL_NEQUIP = {"kind": "nequip", "num_layers": 2, "l_max": 1, "num_features": [4, 3], "radial_mlp_width": 8}
SMALL_ALLEGRO = {
    "kind": "allegro", "l_max": 1, "num_scalar_features": 4, "num_tensor_features": 3,
    "scalar_embed_mlp_hidden_layers_width": 6, "allegro_mlp_hidden_layers_width": 6,
    "readout_mlp_hidden_layers_width": 4,
}  # fmt: skip
SMALL = {"mace": SMALL_MACE, "nequip": SMALL_NEQUIP, "allegro": SMALL_ALLEGRO}
# what SevenNet has in place of NequIP's; pseudoscalars, products of three vectors, need three layers
SMALL_SEVENNET = SMALL_NEQUIP | {
    "num_layers": 3, "mirror_symmetry": False, "self_connection_type": "linear", "cutoff_on": 3.4,
}  # fmt: skip
SAMPLES = SMALL | {"sevennet": SMALL_SEVENNET}
# kind of backbone and head of what has an energy surface of its own; the wide arms are baselines with other numbers
POTENTIALS = [
    *((kind, head) for kind in SMALL for head in HEADS),
    *(("mace", head) for head in ("density", "nonlinear")),
    *(("sevennet", head) for head in ("baseline", "panpgs")),
]
CUTOFF = 4.0


def head_config(name: str) -> dict:
    """The head of conf/head/<name>.yaml."""
    return copy.deepcopy(group("head", name))


@functools.cache
def group(kind: str, name: str) -> dict:
    """conf/<kind>/<name>.yaml as Hydra composes it."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return OmegaConf.to_container(compose(f"{kind}/{name}")[kind])


def quartz_like() -> Atoms:
    """A rattled triclinic periodic cell with two elements and a vacancy: nothing in it is symmetric."""
    atoms = bulk("Si", a=5.43, cubic=True)
    atoms.numbers[1::3] = 8
    atoms.set_cell(atoms.cell.array @ [[1.0, 0.04, 0.0], [0.0, 0.97, 0.02], [0.03, 0.0, 1.02]], scale_atoms=True)
    atoms.rattle(0.15, seed=3)
    del atoms[5]
    return atoms


def silanol() -> Atoms:
    """A molecule of the same two elements, without cell."""
    atoms = molecule("Si2H6")
    atoms.numbers[2:] = 8
    atoms.rattle(0.1, seed=4)
    return atoms


def batch_of(*frames: Atoms, cutoff: float = CUTOFF):
    """The frames as one batch."""
    return collate([AtomicGraph.from_atoms(atoms, cutoff) for atoms in frames])


def make_potential(
    head: str,
    *,
    kind: str = "mace",
    dtype: str = "float64",
    seed: int = 0,
    awake: bool = True,
    scale: float = 1.3,
    cutoff: float = CUTOFF,
    pair_cutoffs: dict | None = None,
    **backbone,
) -> Potential:
    """A small calibrated potential with the named head; ``awake`` moves the head away from its identity start."""
    config = {
        "species": [8, 14],
        "cutoff": cutoff,
        "pair_cutoffs": pair_cutoffs,
        "dtype": dtype,
        "backbone": SAMPLES[kind] | backbone,
        "head": head_config(head),
        "repulsion": None,
    }
    potential = build_potential(config, seed=seed)
    potential.set_statistics({8: -2.0, 14: -1.0}, scale=scale, shift=0.0, avg_num_neighbors=15.0)
    potential.calibrate([batch_of(quartz_like(), silanol(), cutoff=cutoff)])
    if awake:
        noise = torch.Generator().manual_seed(7)
        with torch.no_grad():
            for parameter in potential.head_parameters():
                step = torch.randn(parameter.shape, generator=noise, dtype=torch.float64)
                parameter.add_(0.3 * step.to(parameter.dtype))
            if potential.linear is not None:
                potential.linear.coefficients.normal_(0.0, 1e-3, generator=noise)
    return potential.eval()
