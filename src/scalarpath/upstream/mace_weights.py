"""Where every weight of the native MACE stands in the state dict of mace-torch, for both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from torch import Tensor

from scalarpath.backbones.mace import MACE, MACELayer
from scalarpath.backbones.mace_nonlinear import NonlinearInteraction
from scalarpath.nn.contraction.symmetric import SymmetricContraction
from scalarpath.nn.mlp import MLP
from scalarpath.potential.zbl import ZBL

REPULSION_SERIES = "pair_repulsion_fn.c"  # factors of the repulsion

Place = tuple[str, Sequence[Tensor]]
"""The name of an array of mace, and tensors here that, flattened and one behind the other, are its entries: views where
mace's order is another, so that what is copied into them arrives."""


class ContractionPlace(NamedTuple):
    """Weights of mace, couplings of ``nu`` factors of degrees 0..l_max to ``degree``, and the weights here."""

    name: str
    coupling_name: str
    weight: Tensor
    l_max: int
    degree: int
    nu: int


def places(backbone: MACE) -> Iterator[Place]:
    """All weights but those of the symmetric contractions, and the constants of the radial functions."""
    yield "node_embedding.linear.weight", [backbone.node_embedding]
    yield from _radial(backbone)
    for t, layer in enumerate(backbone.layers):
        yield from _layer(cast(MACELayer, layer), f"interactions.{t}.", f"products.{t}.")
    for t, readout in enumerate(backbone.readouts):
        weights = cast(MLP, readout).weights
        names = ("linear",) if len(weights) == 1 else ("linear_1", "linear_2")
        for name, weight in zip(names, weights, strict=True):
            yield f"readouts.{t}.{name}.weight", [weight]


def contraction_places(backbone: MACE) -> Iterator[ContractionPlace]:
    """The weights of the symmetric contractions, whose meaning depends on the couplings beside them."""
    for t, layer in enumerate(backbone.layers):
        contraction = cast(SymmetricContraction, layer.contraction)
        for degree in range(contraction.l_out + 1):
            prefix, last = f"products.{t}.symmetric_contractions.contractions.{degree}.", contraction.correlation
            for nu in range(last, 0, -1):
                name = "weights_max" if nu == last else f"weights.{last - 1 - nu}"
                weight = contraction.weights[f"{degree}_{nu}"]
                yield ContractionPlace(prefix + name, f"{prefix}U_matrix_{nu}", weight, contraction.l_in, degree, nu)


def repulsion_places(repulsion: ZBL) -> Iterator[Place]:
    """The constants of the repulsion; mace has no ``amplitude``, but multiplies it by the energy scale."""
    for theirs, ours in (
        (REPULSION_SERIES, repulsion.coefficients),
        ("pair_repulsion_fn.a_exp", repulsion.screening_exponent),
        ("pair_repulsion_fn.a_prefactor", repulsion.screening_prefactor),
        ("pair_repulsion_fn.p", repulsion.cutoff_exponent),
    ):
        yield theirs, [ours]


def _radial(backbone: MACE) -> Iterator[Place]:
    prefix, radial = "radial_embedding.", backbone.radial
    for ours, theirs in (("frequencies", "bessel_weights"), ("centres", "gaussian_weights")):
        if hasattr(radial.basis, ours):
            yield f"{prefix}bessel_fn.{theirs}", [getattr(radial.basis, ours)]
    for name in ("q", "p", "a", "alpha"):
        if radial.transform is not None and hasattr(radial.transform, name):
            yield f"{prefix}distance_transform.{name}", [getattr(radial.transform, name)]


def _layer(layer: MACELayer, interaction: str, product: str) -> Iterator[Place]:
    yield interaction + "linear_up.weight", list(layer.linear_up.weights)
    if layer.nonlinear is not None:
        yield from _nonlinear(layer.nonlinear, interaction)
    else:
        for k, weight in enumerate(layer.radial_mlp.weights):
            yield f"{interaction}conv_tp_weights.layer{k}.weight", [weight]
        yield interaction + "linear.weight", list(layer.linear.weights)
        yield interaction + "skip_tp.weight", [weight.transpose(0, 1) for weight in layer.skip.weights]  # [in, S, out]
        if layer.density_mlp is not None:
            yield interaction + "density_fn.layer0.weight", [layer.density_mlp.weights[0]]
    yield product + "linear.weight", list(layer.update.weights)


def _nonlinear(block: NonlinearInteraction, prefix: str) -> Iterator[Place]:
    for vectors, name in ((block.source, "source_embedding"), (block.target, "target_embedding")):
        yield f"{prefix}{name}.weight", [vectors]
    for mlp, name in ((block.radial_mlp, "conv_tp_weights"), (block.density_mlp, "density_fn")):
        # linear layer, norm and activation of every hidden layer, then a linear layer, are numbered through
        for k, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
            yield f"{prefix}{name}.net.{3 * k}.weight", [weight.T]
            yield f"{prefix}{name}.net.{3 * k}.bias", [bias]
        for k, (gain, shift) in enumerate(zip(mlp.gains, mlp.shifts, strict=True)):
            yield f"{prefix}{name}.net.{3 * k + 1}.weight", [gain]
            yield f"{prefix}{name}.net.{3 * k + 1}.bias", [shift]
    for linear, name in (
        (block.linear, "linear_1"),
        (block.residual, "linear_res"),
        (block.linear_out, "linear_2"),
        (block.skip, "skip_tp"),
    ):
        yield f"{prefix}{name}.weight", list(linear.weights)
    for number, name in ((block.alpha, "alpha"), (block.beta, "beta")):
        yield prefix + name, [number]
