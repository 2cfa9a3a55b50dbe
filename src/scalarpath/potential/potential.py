"""The potential: backbone, head and references, from a graph to energy, forces and stress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ase.data import chemical_symbols
from torch import Tensor, nn
from torch_geometric.data import Data

from scalarpath.backbones import build_backbone
from scalarpath.core.errors import CheckpointError, ConfigError, DataError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded
from scalarpath.heads import build_head
from scalarpath.potential.widening import NEIGHBOURS, resolved
from scalarpath.potential.zbl import ZBL

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}
CHECKPOINT_FORMAT = 1
_KEYS = {"species", "cutoff", "pair_cutoffs", "dtype", "backbone", "head", "repulsion"}


class Potential(nn.Module):
    """E = sum_i (E0[z_i] + shift[z_i] + scale[z_i] e_i + ZBL_i), with e_i from backbone and head.

    Forces and stress come from one gradient.

    Network parameters have dtype ``config["dtype"]``; references, sums over atoms and geometry are float64.
    Build it with ``build_potential``; ``config`` holds what rebuilds it.
    """

    e0: Tensor
    scale: Tensor
    shift: Tensor
    species_index: Tensor
    pair_cutoffs: Tensor | None

    def __init__(self, config: Mapping[str, Any], *, seed: int = 0):
        super().__init__()
        self.config: dict[str, Any] = dict(config)
        _check(config)
        self.species: list[int] = list(config["species"])
        self.cutoff = float(config["cutoff"])
        self.dtype = DTYPES[config.get("dtype", "float32")]
        self.backbone = build_backbone(config, seed).to(self.dtype)
        head = {key: value for key, value in config["head"].items() if key != "backbone"}
        self.head = build_head(head, self.backbone.pathway, seed).to(self.dtype)
        self.repulsion = ZBL(self.species).to(self.dtype) if config.get("repulsion") else None
        pairs = _pair_cutoffs(config, self.species, self.cutoff)
        self.register_buffer("pair_cutoffs", None if pairs is None else pairs.to(self.dtype), persistent=False)
        index = torch.full((120,), -1)
        index[self.species] = torch.arange(len(self.species))
        self.register_buffer("species_index", index, persistent=False)
        for name, value in (("e0", 0.0), ("scale", 1.0), ("shift", 0.0)):
            self.register_buffer(name, torch.full((len(self.species),), value, dtype=torch.float64))

    def forward(self, graph: Data, *, forces: bool = True, stress: bool = True) -> dict[str, Tensor]:
        """Predictions for a batch from ``collate`` (see AtomicGraph for its keys), G structures of N atoms in all.

        ===========  =========  =======  ====================================================================
        key          shape      dtype    meaning and unit
        ===========  =========  =======  ====================================================================
        energy       [G]        float64  eV
        node_energy  [N]        float64  eV, E0 included
        forces       [N, 3]     float64  eV/Å (if ``forces``)
        stress       [G, 3, 3]  float64  eV/Å^3, tension positive; NaN where not periodic in all directions
        ===========  =========  =======  ====================================================================

        Forces and stress carry a graph for a second derivative in training mode. Raises DataError for an element that
        the potential does not know.
        """
        return self.predict(graph, self.species_of(graph.z), forces=forces, stress=stress)

    def predict(
        self,
        graph: Data,
        species: Tensor,
        atom_counts: Sequence[int] | None = None,
        *,
        forces: bool = True,
        stress: bool = True,
    ) -> dict[str, Tensor]:
        """As ``forward``, from species indices [N] and, where known, atoms per species; reads no tensor's values."""
        batch = graph.batch
        n_graphs = graph.cell.shape[0]
        derivatives = forces or stress
        # 1. edge vectors, the only way in which the energy depends on positions and cell           [E, 3]
        vectors = self._edge_vectors(graph, batch).to(self.dtype)
        if derivatives and not vectors.requires_grad:
            vectors.requires_grad_(True)
        geometry = EdgeGeometry.from_vectors(vectors, graph, species, self.cutoff, self.pair_cutoffs, atom_counts)
        # 2. atomic energies; sums in float64                                                       [N], [G]
        network = self.backbone(geometry, self.head).double()
        node_energy = self.scale.index_select(0, species) * network + (self.shift + self.e0).index_select(0, species)
        if self.repulsion is not None:
            node_energy = node_energy + self.repulsion(geometry).double()
        energy = node_energy.new_zeros(n_graphs).index_add(0, batch, node_energy)
        out = {"energy": energy, "node_energy": node_energy}
        if not derivatives:
            return out
        # 3. one gradient with respect to the edge vectors gives forces and virial                  [E, 3]
        (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=self.training)
        # what every atom feels of its neighbours, the reverse edges included, on the padded layout  [N, K, 3]
        pulls = to_padded(_BothWays.apply(gradient.double(), graph.edge_reverse), geometry)
        if forces:
            out["forces"] = pulls.sum(1)
        if stress:
            virial = torch.bmm(to_padded(vectors.double(), geometry).transpose(1, 2), pulls)  # twice that of every atom
            total = pulls.new_zeros(n_graphs, 3, 3).index_add(0, batch, virial)
            periodic = graph.pbc.all(dim=1)
            # chosen twice, since a NaN in the unused branch would reach the gradients
            a, b, c = graph.cell.unbind(1)
            volume = torch.where(periodic, (torch.linalg.cross(a, b) * c).sum(1).abs(), 1.0)[:, None, None]
            symmetric = 0.25 * (total + total.transpose(1, 2)) / volume
            out["stress"] = torch.where(periodic[:, None, None], symmetric, torch.nan)
        return out

    @staticmethod
    def _edge_vectors(graph: Data, batch: Tensor) -> Tensor:
        """Vectors from centre to neighbour [E, 3], float64."""
        centre, neighbour = graph.edge_index
        cells = graph.cell.index_select(0, batch.index_select(0, centre))
        shift = torch.bmm(graph.edge_shift[:, None, :], cells).squeeze(1)
        return graph.pos.index_select(0, neighbour) - graph.pos.index_select(0, centre) + shift

    def species_of(self, z: Tensor) -> Tensor:
        """Species indices of atomic numbers [N]; raises DataError for an element that the potential does not know."""
        species = self.species_index[z]
        if bool((species < 0).any()):
            unknown = sorted(set(z[species < 0].tolist()))
            raise DataError(
                f"atomic number {unknown[0]} occurs in the structure, but the potential was made for {self.species}; "
                "train one that has this element."
            )
        return species

    def set_statistics(self, e0s: Mapping[int, float], scale: float, shift: float, avg_num_neighbors: float) -> None:
        """References (eV per atom, by atomic number), energy scale (eV), shift (eV per atom) and mean degree."""
        missing = set(self.species) - set(e0s)
        if missing:
            raise ConfigError(f"no E0 for atomic number {min(missing)}; give one for each of {self.species}.")
        self.e0.copy_(torch.tensor([e0s[z] for z in self.species], dtype=torch.float64))
        self.scale.fill_(scale)
        self.shift.fill_(shift)
        self.backbone.set_mean_degree(avg_num_neighbors)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Data]) -> None:
        """Standardise the inputs of the head on ``batches`` of the training set (kept in the checkpoint)."""

        def geometries() -> Iterator[EdgeGeometry]:
            for batch in batches:
                vectors = self._edge_vectors(batch, batch.batch).to(self.dtype)
                yield EdgeGeometry.from_vectors(
                    vectors, batch, self.species_of(batch.z), self.cutoff, self.pair_cutoffs
                )

        self.head.calibrate(geometries())

    @property
    def device(self) -> torch.device:
        """Where the potential lives."""
        return self.e0.device

    def copy_to(self, *, dtype: str | None = None, device: str | torch.device = "cpu") -> Potential:
        """An independent copy in evaluation mode, with network parameters of another precision or on another device."""
        copied = Potential({**self.config, "dtype": dtype or self.config.get("dtype", "float32")})
        copied.load_state_dict(self.state_dict())
        return copied.to(device).eval()

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the backbone."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the head (trained without weight decay)."""
        return self.head.parameters()

    def to_checkpoint(self) -> dict[str, Any]:
        """Plain dictionary that ``load_potential`` reads; safe for ``torch.load(weights_only=True)``."""
        state = {key: value.detach().clone() for key, value in self.state_dict().items()}
        return {"format": CHECKPOINT_FORMAT, "config": self.config, "state_dict": state}


class _BothWays(torch.autograd.Function):
    """g_ij - g_ji of values of edges [E, F], by gathers; the derivative is the same again."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, edge_reverse: Tensor) -> Tensor:
        ctx.save_for_backward(edge_reverse)
        rows = values.contiguous()  # gathers of strided rows are slow
        return rows - rows.index_select(0, edge_reverse)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _BothWays.apply(gradient, *ctx.saved_tensors), None


def potential_config(
    species: Sequence[int],
    backbone: Mapping[str, Any],
    head: Mapping[str, Any],
    dtype: str = "float32",
    repulsion: str | None = None,
) -> dict[str, Any]:
    """Configuration for ``build_potential`` from config groups; that of the backbone holds the cutoffs."""
    return {
        "species": list(species),
        "cutoff": backbone["cutoff"],
        "pair_cutoffs": backbone.get("pair_cutoffs"),
        "dtype": dtype,
        "backbone": {key: value for key, value in backbone.items() if key not in ("cutoff", "pair_cutoffs")},
        "head": head,
        "repulsion": repulsion,
    }


def build_potential(config: Mapping[str, Any], *, seed: int = 0, neighbours: float = NEIGHBOURS) -> Potential:
    """Potential of a plain configuration; backbone and head draw their parameters from separate generators of ``seed``.

    Keys: species (atomic numbers), cutoff (Å), pair_cutoffs (null, or shorter cutoffs of ordered pairs by chemical
    symbols, {centre: {neighbour: Å}} or {centre: Å}), dtype (float32 | float64), backbone {kind, options}, head {name,
    parts, descriptors, and the changes that the arm makes to the backbone: backbone {options}, or widen, see
    ``widening``}, repulsion (null | zbl). ``neighbours`` is the mean number of an atom's neighbours in the data, at
    which a widening counts operations. Raises ConfigError for an unknown or impossible setting.
    """
    _check(config)
    return Potential(resolved(config, neighbours), seed=seed)


def load_potential(path: str | Path) -> Potential:
    """Potential from a checkpoint file, or from the best checkpoint of a run directory.

    Raises CheckpointError when the file is missing or holds no potential.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "checkpoints" / "best.ckpt"
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; give a checkpoint file or a finished run directory.")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
        content = content.get("potential", content)
        config, state = content["config"], content["state_dict"]
    except Exception as error:
        raise CheckpointError(f"{file} is not a checkpoint of scalarpath ({type(error).__name__}).") from error
    if content.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(
            f"{file} has checkpoint format {content.get('format')}; this version reads {CHECKPOINT_FORMAT}."
        )
    potential = Potential(config)
    try:
        potential.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{file} does not fit its own configuration: {str(error).splitlines()[0]}") from error
    return potential.eval()


def _check(config: Mapping[str, Any]) -> None:
    unknown = set(config) - _KEYS
    if unknown:
        raise ConfigError(f"potential: key '{sorted(unknown)[0]}' is unknown; use {', '.join(sorted(_KEYS))}.")
    if not float(config["cutoff"]) > 0:
        raise ConfigError(f"cutoff = {config['cutoff']} must be positive (Å).")
    species = list(config["species"])
    if not species or sorted(set(species)) != species or not all(0 < z < 119 for z in species):
        raise ConfigError(f"species = {species} must be distinct atomic numbers in ascending order.")
    if config.get("dtype", "float32") not in DTYPES:
        raise ConfigError(f"dtype = {config['dtype']} is not possible; use one of: {', '.join(DTYPES)}.")
    if config.get("repulsion") not in (None, "zbl"):
        raise ConfigError(f"repulsion = {config['repulsion']} is not possible; use null or zbl.")


def _pair_cutoffs(config: Mapping[str, Any], species: Sequence[int], cutoff: float) -> Tensor | None:
    """Cutoffs of the ordered pairs (centre, neighbour) of species: float64 [S, S], or None where all are equal."""
    given = config.get("pair_cutoffs")
    if given is None:
        return None
    symbols = [chemical_symbols[z] for z in species]
    table = torch.full((len(symbols), len(symbols)), cutoff, dtype=torch.float64)
    for centre, row in given.items():
        for neighbour, value in (row if isinstance(row, Mapping) else dict.fromkeys(symbols, row)).items():
            for symbol in (centre, neighbour):
                if symbol not in symbols:
                    raise ConfigError(f"pair_cutoffs: '{symbol}' is none of the elements {', '.join(symbols)}.")
            if not 0 < value <= cutoff:
                raise ConfigError(f"pair_cutoffs.{centre}.{neighbour} = {value} must lie in (0, cutoff = {cutoff}] Å.")
            table[symbols.index(centre), symbols.index(neighbour)] = value
    return table
