"""A potential compiled by torch.compile: energies, forces, stress and the gradients of a loss on them.

torch.compile cannot differentiate through the gradient that gives the forces. So the whole potential, that gradient
included, is first traced into plain tensor operations on its inputs, weights among them; what is compiled then holds
no differentiation, and its backward, made by the compiler, is the second derivative. The weights stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import ShapeEnv
from torch_geometric.data import Data

from scalarpath.core.errors import ConfigError
from scalarpath.graph.fields import FIELDS
from scalarpath.potential.backend import errors_as_sentences
from scalarpath.potential.potential import Potential

SMALLEST = 2  # sizes 0 and 1 would be compiled as constants
FEWEST = 32  # atoms and edges; for products of fewer numbers the compiler makes another program
READ = [field for field in FIELDS if field.role in ("structure", "batch") and field.name != "z"]  # z as species indices

aten = torch.ops.aten
# operations without a derivative, written as others that have one
DIFFERENTIABLE: dict[Any, Callable[..., Tensor]] = {
    aten.copy.default: lambda to, values, non_blocking=False: values.to(to.dtype).expand_as(to),
    aten.silu_backward.default: lambda gradient, x: gradient * torch.sigmoid(x) * (1.0 + x * (1.0 - torch.sigmoid(x))),
}


class CompiledPotential:
    """Called like its potential, with the same results, differentiable where the potential is in training mode.

    One program per mode and choice of outputs, compiled at its first use (minutes), for batches of any size; a batch of
    fewer than 32 atoms, 32 edges, two frames, or two atoms of some element runs eagerly. Raises ConfigError when the
    potential cannot be traced, or compiled on this machine.
    """

    setting = "compile=true"

    def __init__(self, potential: Potential):
        if potential.charged:  # the number of waves depends on the values of the cell
            raise ConfigError(
                "compile=true cannot be used with head.linear.charges; set compile=false, or the charges to null."
            )
        self.potential = potential
        self._programs: dict[tuple[bool, bool, bool], Callable[..., dict[str, Tensor]]] = {}

    def __call__(self, graph: Data, *, forces: bool = True, stress: bool = True) -> dict[str, Tensor]:
        """Predictions for a batch, see Potential.forward; without a graph of gradients in evaluation mode."""
        structure = self._structure(graph)
        if not _large_enough(structure):
            return self.potential(graph, forces=forces, stress=stress)
        training = self.potential.training
        weights = {**dict(self.potential.named_parameters()), **dict(self.potential.named_buffers())}
        inputs = list(weights.values()) if training else [value.detach() for value in weights.values()]
        with nullcontext() if training else torch.no_grad():
            key = (training, forces, stress)
            if key not in self._programs:
                with errors_as_sentences(self):
                    function = _Function(self.potential, forces, stress)
                    names = [f"potential.{name}" for name in weights]
                    program = torch.compile(trace(function, names, inputs, structure), fullgraph=True)
                    program(*inputs, *_marked(structure))
                self._programs[key] = program
            return self._programs[key](*inputs, *structure)

    def require(self, graph: Data) -> None:
        """Raise ConfigError for a batch that is too small to run compiled."""
        if not _large_enough(self._structure(graph)):
            raise ConfigError(
                f"compile=true needs batches of two frames, {FEWEST} atoms, {FEWEST} edges and two atoms of every "
                "element or more, and the first one of the training set has fewer; raise data.batch_size or set "
                "compile=false."
            )

    def _structure(self, graph: Data) -> list[Tensor]:
        """All that differs between batches: species, the graph, and sizes that none of these has as empty tensors."""
        species, n_species = self.potential.species_of(graph.z), len(self.potential.species)
        counts = torch.bincount(species, minlength=n_species).tolist() if n_species > 1 else []
        return [
            species,
            *(graph[field.name] for field in READ),
            *(species.new_empty(n) for n in (graph.max_degree, *counts)),
        ]

    def message(self, problem: str) -> str:
        """The sentence for an error of tracer or compiler."""
        fix = "install a C++ compiler (g++ or clang++) or " if "compiler found" in problem else ""
        kind = self.potential.config["backbone"]["kind"]
        return f"compile=true: backbone {kind} cannot be compiled here ({problem}); {fix}set compile=false."


class _Function(nn.Module):
    """A potential as a function of what ``CompiledPotential`` makes of a graph."""

    def __init__(self, potential: Potential, forces: bool, stress: bool):
        super().__init__()
        self.potential = potential
        self.outputs = {"forces": forces, "stress": stress}

    def forward(self, species: Tensor, *structure: Tensor) -> dict[str, Tensor]:
        """Predictions; the sizes of the last tensors are the largest degree and the atoms of every species."""
        width, *counts = (tensor.shape[0] for tensor in structure[len(READ) :])
        fields = {field.name: tensor for field, tensor in zip(READ, structure, strict=False)}
        graph = SimpleNamespace(**fields, max_degree=width)
        return self.potential.predict(cast(Data, graph), species, counts or None, **self.outputs)


def trace(
    function: nn.Module, names: Sequence[str], weights: Sequence[Tensor], structure: Sequence[Tensor]
) -> fx.GraphModule:
    """``function`` as a graph of differentiable operations on (weights, structure), whatever the sizes of the latter.

    Raises ConfigError when it is made for the very sizes of this structure.
    """
    # two sizes that happen to be equal here are not the same size
    mode = FakeTensorMode(shape_env=ShapeEnv(duck_shape=False, assume_static_by_default=True))
    marked = _marked(structure)
    # one slot more than needed: that all atoms have max_degree neighbours is the exception
    degree = 1 + len(READ)
    marked[degree] = _mark(marked[degree].new_empty(marked[degree].shape[0] + 1), 0)
    inputs = [mode.from_tensor(value.detach()) for value in weights]
    varying = [mode.from_tensor(value) for value in marked]

    def flat(*values: Tensor) -> dict[str, Tensor]:
        return torch.func.functional_call(function, dict(zip(names, values, strict=False)), tuple(values[len(names) :]))

    with torch.enable_grad():
        graph = make_fx(flat, DIFFERENTIABLE, "symbolic")(*inputs, *varying)
    for node in graph.graph.find_nodes(op="call_function", target=aten.detach.default):
        # made by autograd around what it saves; it would cut the second derivative off
        node.replace_all_uses_with(node.args[0])
    graph.graph.eliminate_dead_code()
    graph.recompile()
    # without operations in place or into a given output, which are not differentiable
    pure = torch.func.functionalize(graph, remove="mutations_and_views")
    graph = make_fx(pure, DIFFERENTIABLE, "symbolic")(*inputs, *varying)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    for value, dim in zip(varying, _varying_dims(len(varying)), strict=True):
        size = value.shape[dim]
        if not isinstance(size, torch.SymInt) or size.node.maybe_as_int() is not None:
            raise ConfigError(
                f"compile=true: the potential makes use of a size that differs between batches as if it were constant "
                f"({size}); set compile=false."
            )
    return graph


def _varying_dims(n: int) -> list[int]:
    """Of every tensor of a structure, the dimension that differs between batches."""
    return [0, *(field.axis for field in READ), *(0 for _ in range(n - 1 - len(READ)))]


def _large_enough(structure: Sequence[Tensor]) -> bool:
    sizes = [tensor.shape[dim] for tensor, dim in zip(structure, _varying_dims(len(structure)), strict=True)]
    edges = sizes[1 + [field.name for field in READ].index("edge_slot")]
    return min(sizes) >= SMALLEST and min(sizes[0], edges) >= FEWEST


def _marked(structure: Sequence[Tensor]) -> list[Tensor]:
    """The same tensors, with marks on the sizes for which a compiled program must not be made."""
    dims = _varying_dims(len(structure))
    return [_mark(tensor.detach(), dim) for tensor, dim in zip(structure, dims, strict=True)]


def _mark(tensor: Tensor, dim: int) -> Tensor:
    torch._dynamo.mark_dynamic(tensor, dim)
    return tensor
