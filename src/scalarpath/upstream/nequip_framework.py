"""What models of the nequip framework share: types, E0s, normalisation, cutoffs, repulsion, MLPs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ase.data import atomic_numbers
from numpy.typing import ArrayLike
from torch import Tensor

from scalarpath.core.errors import UpstreamError
from scalarpath.nn.mlp import ACTIVATIONS, MLP
from scalarpath.potential import Potential, build_potential
from scalarpath.potential.zbl import BOHR, COULOMB
from scalarpath.upstream.arrays import UpstreamArrays

# ZBL of nequip (that of LAMMPS): e^2 / (4 pi eps0) in eV Å, screening length in Å and exponent, series
ZBL_COULOMB = 14.399645
ZBL_LENGTH, ZBL_EXPONENT = 0.46850, 0.23
ZBL_COEFFICIENTS, ZBL_DECAYS = (0.18175, 0.50986, 0.28022, 0.02817), (3.19980, 0.94229, 0.40290, 0.20162)
UPSTREAM_GAIN = 2.0**0.5  # of activations in MLPs
REQUIRED = ("r_max", "type_names", "avg_num_neighbors")


class FrameworkModel:
    """An upstream model: its arrays, its hyperparameters, and its types in the native order (by atomic number)."""

    def __init__(self, state_dict: Mapping[str, ArrayLike], hyperparameters: Mapping[str, Any], landmark: str):
        """``landmark``: name of a parameter of every such model. What stands before it is the prefix of all names."""
        found = [name for name in state_dict if name.endswith(landmark)]
        self.arrays = UpstreamArrays(state_dict, found[0].removesuffix(landmark) if found else "")
        self.hp = hyperparameters
        types = list(hyperparameters["type_names"])
        symbols = list(_option(hyperparameters, "pair_potential", {}).get("chemical_species") or types)
        for symbol in symbols:
            if symbol not in atomic_numbers:
                raise UpstreamError(f"upstream type '{symbol}' is no chemical symbol; rename the types to elements.")
        if len(set(symbols)) != len(symbols):
            raise UpstreamError(
                f"upstream types {symbols} name an element twice; only one type per element is possible."
            )
        self.order = sorted(range(len(types)), key=lambda t: atomic_numbers[symbols[t]])
        self.types = [types[t] for t in self.order]
        self.symbols = [symbols[t] for t in self.order]

    def option(self, name: str, default: Any) -> Any:
        """A hyperparameter, or its upstream default where it is missing or null."""
        return _option(self.hp, name, default)

    def nonlinearity(self, name: str) -> str | None:
        """An activation by its native name; raises UpstreamError."""
        value = self.hp.get(name, "silu")
        value = None if value in (None, "None", "null") else value
        if value is not None and value not in ACTIVATIONS:
            raise UpstreamError(f"upstream {name} {value} is not known; use one of: null, {', '.join(ACTIVATIONS)}.")
        return value

    def build(self, backbone: dict[str, Any], weight: str) -> Potential:
        """Native potential with E0s, normalisation and repulsion filled in, its network still random.

        The potential has the precision of the parameter ``weight``.
        """
        cutoffs = self.hp.get("per_edge_type_cutoff")
        if cutoffs is not None:
            names = dict(zip(self.types, self.symbols, strict=True))
            cutoffs = {
                names[i]: {names[j]: float(rc) for j, rc in row.items()} if isinstance(row, Mapping) else float(row)
                for i, row in cutoffs.items()
            }
        potential = build_potential(
            {
                "species": [atomic_numbers[symbol] for symbol in self.symbols],
                "cutoff": float(self.hp["r_max"]),
                "pair_cutoffs": cutoffs,
                "dtype": "float64" if self.arrays.get(weight).dtype == torch.float64 else "float32",
                "repulsion": "zbl" if self.hp.get("pair_potential") else None,
                "head": {"name": "baseline", "parts": {}},
                "backbone": backbone,
            }
        )
        potential.scale.copy_(self._per_type("scales", 1.0))
        potential.e0.copy_(self._per_type("shifts", 0.0))
        degrees = self.hp["avg_num_neighbors"]
        if isinstance(degrees, Mapping):
            degrees = torch.tensor([float(degrees[name]) for name in self.types])
        potential.backbone.get_buffer("mean_degree").copy_(torch.as_tensor(degrees, dtype=torch.float64))
        self._fill_repulsion(potential)
        return potential

    def _per_type(self, name: str, neutral: float) -> Tensor:
        key = f"per_type_energy_scale_shift.{name}"
        values = self.arrays.get(key).flatten().double() if key in self.arrays else torch.tensor([])
        if values.numel() == 0:
            return torch.full((len(self.order),), neutral, dtype=torch.float64)
        return values[self.order] if values.numel() == len(self.order) else values.expand(len(self.order))

    def _fill_repulsion(self, potential: Potential) -> None:
        """Upstream's constants; it switches the repulsion off at the cutoff, not at a covalent distance."""
        given, zbl = self.hp.get("pair_potential"), potential.repulsion
        if not given or zbl is None:
            return
        target = str(given.get("_target_", "")).rsplit(".", 1)[-1]
        if target != "ZBL" or given.get("units") != "metal" or self.hp.get("per_edge_type_cutoff"):
            raise UpstreamError(
                f"upstream pair_potential {target or given} has no native equivalent; only ZBL with units metal and "
                "one cutoff can be imported."
            )
        zbl.coefficients.copy_(torch.tensor(ZBL_COEFFICIENTS, dtype=torch.float64))
        zbl.exponents.copy_(torch.tensor(ZBL_DECAYS, dtype=torch.float64))
        zbl.screening_exponent.fill_(ZBL_EXPONENT)
        zbl.screening_prefactor.fill_(ZBL_LENGTH / BOHR)
        zbl.cutoff_exponent.fill_(int(given.get("polynomial_cutoff_p", 6)))
        zbl.amplitude.fill_(ZBL_COULOMB / COULOMB)
        zbl.radii.fill_(float(self.hp["r_max"]) / 2.0)

    def fill_mlp(self, mlp: MLP, name: str, nonlinearity: str | None = None) -> None:
        """Weights of a ScalarMLPFunction.

        With the text "None" as hyperparameter ``nonlinearity`` upstream is linear, as with None, but keeps the gain of
        an activation.
        """
        gain = UPSTREAM_GAIN if nonlinearity and self.hp.get(nonlinearity) in ("None", "null") else 1.0
        for k, weight in enumerate(mlp.weights):
            self.arrays.fill(weight, self.mlp_weight(mlp, name, k))
            if k > 0:
                weight.mul_(gain)

    def mlp_weight(self, mlp: MLP, name: str, layer: int) -> str:
        """Upstream's name of the weight of a layer. Activations are counted as layers too.

        A deep network without activation has another list.
        """
        deep_linear = f"{name}.mlp.weights.{layer}"
        return deep_linear if deep_linear in self.arrays else f"{name}.mlp.{2 * layer}.weight"

    def fill_frequencies(self, basis: Any, name: str) -> None:
        """Frequencies of a Bessel basis, upstream in units of pi / cutoff."""
        roots = self.arrays.get(name).flatten().double()
        basis.frequencies.data.copy_(roots * (torch.pi / float(self.hp["r_max"])))


def _option(hyperparameters: Mapping[str, Any], name: str, default: Any) -> Any:
    value = hyperparameters.get(name)
    return default if value is None else value
