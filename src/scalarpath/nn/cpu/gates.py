"""Gates of the scalar pathway (``heads/pan.py``) in C++ kernels."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.cpu import library, twice_differentiable
from scalarpath.nn.cpu.library import addresses, function
from scalarpath.nn.cpu.twice_differentiable import Call, Inputs


def kernel_node_gates(geometry: EdgeGeometry, networks: Sequence[Tensor], strength: float) -> tuple[Tensor, ...]:
    """Gates of every layer and atom [N, width] each, see ``node_gates`` in ``heads/pan.py``."""
    return twice_differentiable.apply(_Gates(geometry, strength), *networks)


def kernel_edge_gates(
    geometry: EdgeGeometry, networks: Sequence[Tensor], strength: float, radial: Tensor, per_pair: bool
) -> tuple[Tensor, ...]:
    """Gates of every layer and edge on the padded layout [N, K, 1] each, see ``edge_gates`` in ``heads/pan.py``."""
    return twice_differentiable.apply(_Gates(geometry, strength, on_edges=True, per_pair=per_pair), *networks, radial)


class _Networks(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_int64)
            for name in ("atoms", "descriptors", "layers", "hidden", "species", "functions", "rows", "threads")
        ),
        *(
            (name, ctypes.c_void_p)
            for name in ("widths", "element", "first_edge", "neighbour", "slot", "row", "edge_of", "reverse")
        ),
    ]


@dataclass
class _Gates:
    """``slopes``: derivatives of the gates by their arguments, kept with the values for the first derivatives."""

    geometry: EdgeGeometry
    strength: float
    on_edges: bool = False
    per_pair: bool = False
    slopes: Sequence[Tensor] = ()

    def values(self, inputs: Inputs) -> list[Tensor]:
        """Room for the gates of every layer, zero in empty slots."""
        first, geometry = inputs[0], self.geometry
        if self.on_edges:
            return [first.new_zeros(geometry.n_atoms, geometry.max_degree, 1) for _ in inputs[3:-1]]
        return [first.new_empty(geometry.n_atoms, w2.shape[1]) for w2 in inputs[3:]]

    def derivatives(self, inputs: Inputs, wanted: Sequence[bool]) -> list[Tensor | None]:
        """Room for derivatives: those by parameters are added up, those by the zero row zero."""
        return [torch.zeros_like(x) if want else None for x, want in zip(inputs, [True, *wanted[1:]], strict=True)]

    def run(self, call: Call) -> None:
        """See ``Kernel``."""
        inputs, geometry = call.inputs, self.geometry
        layers = len(inputs) - 3 - self.on_edges
        descriptors, w1, embedding, *w2 = inputs[: 3 + layers]
        widths = (ctypes.c_int64 * layers)(*(w.shape[1] for w in w2))
        functions, edges = inputs[-1].shape[1] if self.on_edges else 0, len(geometry.centre)
        pairs = (geometry.edge_pair, geometry.pair_edge, geometry.edge_reverse) if self.per_pair else (None, None, None)
        rows = len(geometry.pair_edge) if self.per_pair else edges
        indices = (geometry.species, geometry.first_edge, geometry.neighbour, geometry.slot, *pairs)
        kept = [None if x is None else x.contiguous() for x in indices]
        sizes = (geometry.n_atoms, w1.shape[0], layers, w1.shape[1] // layers, embedding.shape[0], functions, rows)
        networks = _Networks(*sizes, library.threads_for(edges), ctypes.addressof(widths), *addresses(kept))
        if call.gradients is None:
            self.slopes = [torch.empty_like(x) for x in call.values or ()]
        kernel = function("edge_gates" if self.on_edges else "node_gates", descriptors.dtype)
        slopes = addresses(self.slopes)
        kernel(ctypes.byref(networks), ctypes.c_double(self.strength), slopes, *call.pointers())
