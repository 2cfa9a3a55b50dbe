"""The potential: backbone, head and isolated-atom energies, from a graph to energy, forces and stress."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from ase.data import atomic_numbers, chemical_symbols
from torch import Tensor, nn

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.core.settings import WHOLE, read_settings
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.graph.layout import to_padded
from scalarpath.heads.coulomb import CoulombField
from scalarpath.heads.linear_fit import WEIGHTS, Frame, LinearFit, fit_linear
from scalarpath.potential.configuration import DTYPES, PotentialSettings, build_linear, build_networks
from scalarpath.potential.device import usable_device
from scalarpath.potential.parts import freeze, parts_of
from scalarpath.potential.widening import NEIGHBOURS, check_widening, resolved
from scalarpath.potential.zbl import ZBL

if TYPE_CHECKING:
    from torch_geometric.data import Data

SMALLEST_SHARE = 1e-3  # of the energy scale, that a perfect linear potential leaves for the network


class Potential(nn.Module):
    """E = sum_i (E0[z_i] + shift[z_i] + scale[z_i] e_i + linear_i + ZBL_i), with e_i from backbone and head.

    Forces and stress come from one gradient. Network parameters have dtype ``config["dtype"]``; E0s, sums over atoms
    and the geometry of the graph are float64. Build it with ``build_potential``; ``config`` holds what rebuilds it.
    """

    e0: Tensor
    scale: Tensor
    shift: Tensor
    species_index: Tensor
    pair_cutoffs: Tensor | None

    def __init__(self, config: Mapping[str, Any], *, seed: int = 0):
        super().__init__()
        settings = read_settings(PotentialSettings, config, WHOLE)
        self.config: dict[str, Any] = dict(config)
        self.species, self.cutoff, self.dtype = settings.species, settings.cutoff, DTYPES[settings.dtype]
        backbone, head = build_networks(config, seed)
        self.backbone, self.head = backbone.to(self.dtype), head.to(self.dtype)
        self.linear, self.charges = build_linear(config)
        self.repulsion = ZBL(self.species).to(self.dtype) if settings.repulsion else None
        self.avg_num_neighbors = settings.avg_num_neighbors
        pairs = settings.cutoff_table()
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
        # 1. edge vectors, the way in which all but a Coulomb energy depends on positions and cell   [E, 3]
        vectors = self._edge_vectors(graph, batch).to(self.dtype)
        if derivatives and not vectors.requires_grad:
            vectors.requires_grad_(True)
        geometry = EdgeGeometry.from_vectors(vectors, graph, species, self.cutoff, self.pair_cutoffs, atom_counts)
        # 2. atomic energies; sums in float64                                                       [N], [G]
        network = self.backbone(geometry, self.head).double()
        known = linear = None
        if self.linear is not None:
            linear = self.linear(geometry)
            # nothing in it is trained, so it needs no second derivative
            if derivatives and self.training and self.linear.weights is None:
                (known,) = torch.autograd.grad(linear.sum(), vectors, retain_graph=True)
                linear = linear.detach()
            network = self.linear.bounded(network, linear, geometry)
        node_energy = self.scale.index_select(0, species) * network + (self.shift + self.e0).index_select(0, species)
        if linear is not None:
            node_energy = node_energy + linear
        field = self._coulomb_field(graph, species)  # not through the edges: it reaches beyond the cutoff
        if field is not None:
            node_energy = node_energy + field.node_energy
        if self.repulsion is not None:
            node_energy = node_energy + self.repulsion(geometry).double()
        energy = node_energy.new_zeros(n_graphs).index_add(0, batch, node_energy)
        out = {"energy": energy, "node_energy": node_energy}
        if not derivatives:
            return out
        # 3. one gradient with respect to the edge vectors gives forces and virial                  [E, 3]
        (gradient,) = torch.autograd.grad(energy.sum(), vectors, create_graph=self.training)
        if known is not None:
            gradient = gradient + known
        # what every atom feels of its neighbours, the reverse edges included, on the padded layout  [N, K, 3]
        pulls = to_padded(_BothWays.apply(gradient.double(), graph.edge_reverse), geometry)
        if forces:
            out["forces"] = pulls.sum(1)
            if field is not None:
                out["forces"] = out["forces"] + field.forces
        if stress:
            virial = torch.bmm(to_padded(vectors.double(), geometry).transpose(1, 2), pulls)  # twice that of every atom
            total = pulls.new_zeros(n_graphs, 3, 3).index_add(0, batch, virial)
            periodic = graph.pbc.all(dim=1)
            # chosen twice, since a NaN in the unused branch would reach the gradients
            a, b, c = graph.cell.unbind(1)
            volume = torch.where(periodic, (torch.linalg.cross(a, b) * c).sum(1).abs(), 1.0)[:, None, None]
            symmetric = 0.25 * (total + total.transpose(1, 2)) / volume
            if field is not None:
                symmetric = symmetric + field.stress
            out["stress"] = torch.where(periodic[:, None, None], symmetric, torch.nan)
        return out

    def _coulomb_field(self, graph: Data, species: Tensor) -> CoulombField | None:
        """The field of the head's charges, as much of it as acts; None without charges."""
        if self.linear is None or self.charges is None:
            return None
        return CoulombField(*(self.linear.coulomb_share * part for part in self.charges(graph, species)))

    @staticmethod
    def _edge_vectors(graph: Data, batch: Tensor) -> Tensor:
        """Vectors from centre to neighbour [E, 3], float64."""
        centre, neighbour = graph.edge_index
        cells = graph.cell.index_select(0, batch.index_select(0, centre))
        shift = torch.bmm(graph.edge_shift[:, None, :], cells).squeeze(1)
        return graph.pos.index_select(0, neighbour) - graph.pos.index_select(0, centre) + shift

    def species_of(self, z: Tensor) -> Tensor:
        """Species indices of atomic numbers [N]; raises DataError for an element that the potential does not know."""
        species = self.known_species(z)
        if bool((species < 0).any()):
            unknown = sorted(set(z[species < 0].tolist()))
            raise DataError(
                f"atomic number {unknown[0]} occurs in the structure, but the potential was made for {self.species}; "
                "train one that has this element."
            )
        return species

    def known_species(self, z: Tensor) -> Tensor:
        """Species indices of atomic numbers [N], -1 for an element that the potential does not know."""
        # numbers outside of the table would count from its end, or be no index at all
        return self.species_index[torch.where((z > 0) & (z < len(self.species_index)), z, 0)]

    def set_statistics(self, e0s: Mapping[int, float], scale: float, shift: float, avg_num_neighbors: float) -> None:
        """E0s (eV per atom, by atomic number), energy scale (eV), shift (eV per atom) and mean degree.

        The configuration's own ``avg_num_neighbors`` goes before the one given here.
        """
        missing = set(self.species) - set(e0s)
        if missing:
            raise ConfigError(f"no E0 for atomic number {min(missing)}; give one for each of {self.species}.")
        self.e0.copy_(torch.tensor([e0s[z] for z in self.species], dtype=torch.float64))
        self.scale.fill_(scale)
        self.shift.fill_(shift)
        own = self.avg_num_neighbors
        self.backbone.set_mean_degree(avg_num_neighbors if own is None else own)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Data]) -> None:
        """Standardise the inputs of the head on ``batches`` of the training set (kept in the checkpoint)."""
        self.head.calibrate(self.geometry(batch) for batch in batches)

    @torch.no_grad()
    def fit_linear(self, frames: Iterable[Data], kinds: Collection[str] = tuple(WEIGHTS)) -> LinearFit | None:
        """Fit the linear potential to train frames, batches of one structure each, if the head has one to be fitted.

        Labels of other ``kinds`` are left out; what the repulsion has of labels is not the linear potential's to learn.
        The energy scale becomes that of what is left for the network, whose bound holds from now on. Returns None where
        nothing is fitted; raises DataError where nothing is labelled.
        """
        if self.linear is None:
            return None

        def described() -> Iterator[Frame]:
            for frame in frames:
                field = None if self.charges is None else self.charges(frame, self.species_of(frame.z))
                yield frame, self.geometry(frame), field

        fit = fit_linear(self.linear, described(), self.shift + self.e0, kinds=kinds, repulsion=self.repulsion)
        if fit is None:
            return None
        left = fit.left.get("forces", fit.left.get("energy", 0.0))
        self.scale.fill_(max(left, SMALLEST_SHARE * float(self.scale.max())))
        if self.linear.bound is not None:
            self.linear.limit.fill_(self.linear.bound)
        return fit

    @torch.no_grad()
    def observe_linear(self, batches: Iterable[Data]) -> None:
        """Let the bound beside a fitted linear potential fade above its energies on ``batches`` of the training set."""
        if self.linear is not None:
            self.linear.observe((self.geometry(batch) for batch in batches), float(self.scale.max()))

    def geometry(self, batch: Data) -> EdgeGeometry:
        """The geometry of a batch; its vectors are leaves that require a gradient."""
        vectors = self._edge_vectors(batch, batch.batch).to(self.dtype).requires_grad_(True)
        with torch.enable_grad():
            return EdgeGeometry.from_vectors(vectors, batch, self.species_of(batch.z), self.cutoff, self.pair_cutoffs)

    @property
    def device(self) -> torch.device:
        """Where the potential lives."""
        return self.e0.device

    @property
    def charged(self) -> bool:
        """Whether the head has charges, whose energy has no cutoff."""
        return self.charges is not None

    def copy_to(self, *, dtype: str | None = None, device: str | torch.device = "cpu") -> Potential:
        """An independent copy in evaluation mode, with network parameters of another precision or on another device.

        What is frozen here is frozen there. Raises ConfigError for a device that is not there.
        """
        usable_device(device)
        copied = Potential({**self.config, "dtype": dtype or self.config.get("dtype", "float32")})
        copied.load_state_dict(self.state_dict())
        for theirs, own in zip(copied.parameters(), self.parameters(), strict=True):
            theirs.requires_grad_(own.requires_grad)
        return copied.to(device).eval()

    @property
    def part_names(self) -> list[str]:
        """What ``without`` can leave out: parts of the head, and groups of terms of its linear potential."""
        return [*self.head.named_parts, *self._linear_groups()]

    def _linear_groups(self) -> dict[str, slice]:
        return {} if self.linear is None else self.linear.groups([chemical_symbols[z] for z in self.species])

    def without(self, parts: Collection[str]) -> Potential:
        """An independent copy whose head was built without these parts; all other weights are the same.

        The coefficients of groups of terms are zero instead.
        """
        head = self.config["head"]
        kept = {name: options for name, options in (head.get("parts") or {}).items() if name not in parts}
        changed = Potential({**self.config, "head": {**head, "parts": kept}})
        state = self.state_dict()
        changed.load_state_dict({name: state[name] for name in changed.state_dict()})
        if changed.linear is not None:
            for name, terms in self._linear_groups().items():
                if name in parts:
                    changed.linear.coefficients[terms] = 0.0
                    changed.linear.stop_fading()  # energies without these terms say nothing about train frames
        return changed.to(self.device).eval()

    def parts(self) -> dict[str, list[nn.Parameter]]:
        """All parameters by part, from the input to the output: embedding, layer_1, ..., readout, head."""
        return parts_of(self.backbone, self.head)

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the backbone."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters of the head (trained without weight decay)."""
        yield from self.head.parameters()
        if self.linear is not None:
            yield from self.linear.parameters()


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


def build_potential(config: Mapping[str, Any], *, seed: int = 0, neighbours: float = NEIGHBOURS) -> Potential:
    """Potential of a plain configuration; backbone and head draw their parameters from separate generators of ``seed``.

    Keys: species (atomic numbers), cutoff (Å), pair_cutoffs (null, or shorter cutoffs of ordered pairs by chemical
    symbols, {centre: {neighbour: Å}} or {centre: Å}), avg_num_neighbors (the normalisation of sums over neighbours;
    null: the mean number of neighbours of the train frames), dtype (float32 | float64), backbone {kind, options}, head
    {name, parts, descriptors, and the changes that the arm makes to the backbone: backbone {options}, or widen, see
    ``widening``}, repulsion (null | zbl). ``neighbours`` is the mean number of an atom's neighbours in the data, at
    which a widening counts operations. Raises ConfigError for an unknown or impossible setting.
    """
    read_settings(PotentialSettings, config, WHOLE)
    return Potential(resolved(config, neighbours), seed=seed)


def check_settings(config: Mapping[str, Any], frozen: Collection[str] = ()) -> None:
    """Raise the ConfigError with which ``build_potential`` or ``freeze`` would refuse the settings, before any data are
    read.

    The species of ``config``, which only the data tell, are not looked at, and no widths are searched for.
    """
    table = config.get("pair_cutoffs")
    rows = table.items() if isinstance(table, Mapping) else ()
    linear = config["head"].get("linear")
    charges = linear.get("charges") if isinstance(linear, Mapping) else None
    named = {
        "pair_cutoffs": {
            symbol for centre, row in rows for symbol in (centre, *(row if isinstance(row, Mapping) else ()))
        },
        "head.linear.charges": set(charges) if isinstance(charges, Mapping) else set(),
    }
    for setting, symbols in named.items():
        unknown = sorted(str(symbol) for symbol in symbols if atomic_numbers.get(symbol, 0) == 0)
        if unknown:
            raise ConfigError(f"{setting}: '{unknown[0]}' is no chemical symbol.")
    elements = {*named["pair_cutoffs"], *sorted(named["head.linear.charges"])[:1]}  # there are charges of many more
    config = {**config, "species": sorted(atomic_numbers[symbol] for symbol in elements) or [1]}
    head = dict(config["head"])
    widening = head.pop("widen", None)
    potential = Potential({**config, "head": head})
    freeze(potential.parts(), frozen)
    if widening is not None:
        check_widening(widening, potential.config, potential.backbone)
