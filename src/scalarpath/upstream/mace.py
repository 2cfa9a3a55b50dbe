"""Weights of mace-torch (MACE and ScaleShiftMACE, checked against 0.3.16) for the native backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from e3nn import o3
from numpy.typing import ArrayLike
from torch import Tensor

from scalarpath.backbones.mace import MACE, MACELayer
from scalarpath.backbones.mace_nonlinear import NonlinearInteraction
from scalarpath.core.errors import UpstreamError
from scalarpath.nn.contraction.couplings import coupling_tensor, symmetrised
from scalarpath.nn.mlp import ACTIVATIONS, MLP
from scalarpath.nn.radial import RADIAL_BASES
from scalarpath.potential import Potential, build_potential
from scalarpath.upstream.arrays import UpstreamArrays, check_hyperparameters

INTERACTIONS = {
    "RealAgnosticInteractionBlock": "plain",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density_residual",
    "RealAgnosticResidualNonLinearInteractionBlock": "nonlinear",
}
# options without a native equivalent, each with the values that leave the model as it is
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "use_so3": (False,),
    "use_agnostic_product": (False,),
    "use_last_readout_only": (False,),
    "use_embedding_readout": (False,),
    "embedding_specs": (None,),
    "edge_irreps": (None,),
    "keep_last_layer_irreps": (False,),
}

REQUIRED = (
    "r_max",
    "num_bessel",
    "num_polynomial_cutoff",
    "max_ell",
    "interaction_cls",
    "interaction_cls_first",
    "num_interactions",
    "hidden_irreps",
    "MLP_irreps",
    "avg_num_neighbors",
    "atomic_numbers",
    "correlation",
)


def import_mace(state_dict: Mapping[str, ArrayLike], hyperparameters: Mapping[str, Any]) -> Potential:
    """Native potential from a mace-torch state dict and constructor arguments (see ``from_upstream``)."""
    arrays = UpstreamArrays(state_dict)
    potential = build_potential(_config(arrays, hyperparameters))
    backbone = cast(MACE, potential.backbone)
    with torch.no_grad():
        arrays.fill(backbone.node_embedding, "node_embedding.linear.weight")
        _fill_radial(arrays, backbone)
        for t, layer in enumerate(backbone.layers):
            _fill_layer(arrays, cast(MACELayer, layer), f"interactions.{t}.", f"products.{t}.")
        for t, readout in enumerate(backbone.readouts):
            weights = cast(MLP, readout).weights
            names = ("linear",) if len(weights) == 1 else ("linear_1", "linear_2")
            for name, weight in zip(names, weights, strict=True):
                arrays.fill(weight, f"readouts.{t}.{name}.weight")
        e0s = arrays.get("atomic_energies_fn.atomic_energies").flatten().tolist()
        scale, shift = (
            float(arrays.get(f"scale_shift.{name}").flatten()[0]) if f"scale_shift.{name}" in arrays else neutral
            for name, neutral in (("scale", 1.0), ("shift", 0.0))
        )
        potential.set_statistics(
            dict(zip(potential.species, e0s, strict=True)), scale, shift, float(hyperparameters["avg_num_neighbors"])
        )
        _fill_repulsion(arrays, potential, scale)
        arrays.refuse_unread_weights()
    return potential


def _config(arrays: UpstreamArrays, hp: Mapping[str, Any]) -> dict[str, Any]:
    """Native configuration; raises UpstreamError for an option without native equivalent."""
    check_hyperparameters(hp, REQUIRED, UNSUPPORTED)
    if len(hp.get("heads") or [None]) > 1:
        raise UpstreamError(f"the upstream model has {len(hp['heads'])} heads; select one before importing it.")
    hidden = o3.Irreps(str(hp["hidden_irreps"]))
    channels = hidden.count("0e")
    if hidden != o3.Irreps([(channels, (degree, (-1) ** degree)) for degree in range(hidden.lmax + 1)]):
        raise UpstreamError(f"hidden_irreps {hidden}: only C x 0e + C x 1o + C x 2e + ... with one C can be imported.")
    interactions = {}
    for key, name in (("interaction_first", "interaction_cls_first"), ("interaction", "interaction_cls")):
        block = str(getattr(hp[name], "__name__", hp[name])).rsplit(".", 1)[-1]
        if block not in INTERACTIONS:
            raise UpstreamError(
                f"upstream {name} {block} has no native equivalent; use one of: {', '.join(INTERACTIONS)}."
            )
        interactions[key] = INTERACTIONS[block]
    if "nonlinear" in interactions.values() and hp.get("apply_cutoff", True):
        raise UpstreamError(
            "upstream option apply_cutoff = True has no native equivalent with a nonlinear interaction, whose energy "
            "would jump at the cutoff; import a model with apply_cutoff = False."
        )
    radial_type = hp.get("radial_type") or "bessel"
    # upstream's "chebyshev" has wrong gradients, since torch's polynomial is not differentiable
    if radial_type not in RADIAL_BASES:
        raise UpstreamError(
            f"upstream radial_type {radial_type} has no native equivalent; use {', '.join(RADIAL_BASES)}."
        )
    gate = hp.get("gate", "silu")
    gate = None if gate in (None, "None") else str(getattr(gate, "__name__", gate))
    if gate is not None and gate not in ACTIVATIONS:
        raise UpstreamError(f"upstream gate {gate} is not known; use one of: null, {', '.join(ACTIVATIONS)}.")
    transform = str(hp.get("distance_transform") or "None").lower()
    correlation = hp["correlation"]
    embedding = arrays.get("node_embedding.linear.weight")
    return {
        "species": [int(z) for z in hp["atomic_numbers"]],
        "cutoff": float(hp["r_max"]),
        "dtype": "float64" if embedding.dtype == torch.float64 else "float32",
        "repulsion": "zbl" if hp.get("pair_repulsion") else None,
        "head": {"name": "baseline", "parts": {}},
        "backbone": {
            "kind": "mace",
            "num_channels": channels,
            "max_L": hidden.lmax,
            "max_ell": int(hp["max_ell"]),
            "correlation": int(correlation) if isinstance(correlation, int) else [int(nu) for nu in correlation],
            "num_interactions": int(hp["num_interactions"]),
            "num_bessel": int(hp["num_bessel"]),
            "radial_type": radial_type,
            "num_polynomial_cutoff": int(hp["num_polynomial_cutoff"]),
            "radial_mlp": [int(width) for width in hp.get("radial_MLP") or (64, 64, 64)],
            "readout_mlp": o3.Irreps(str(hp["MLP_irreps"])).count("0e"),
            "gate": gate,
            "distance_transform": None if transform == "none" else transform,
            "envelope_on": "features" if hp.get("apply_cutoff", True) else "weights",
            **interactions,
        },
    }


def _fill_radial(arrays: UpstreamArrays, backbone: MACE) -> None:
    prefix, radial = "radial_embedding.", backbone.radial
    for ours, theirs in (("frequencies", "bessel_weights"), ("centres", "gaussian_weights")):
        if hasattr(radial.basis, ours):
            arrays.fill(getattr(radial.basis, ours), f"{prefix}bessel_fn.{theirs}")
    for name in ("q", "p", "a", "alpha"):
        if radial.transform is not None and hasattr(radial.transform, name):
            arrays.fill(getattr(radial.transform, name), f"{prefix}distance_transform.{name}")


def _fill_layer(arrays: UpstreamArrays, layer: MACELayer, interaction: str, product: str) -> None:
    arrays.fill_blocks(layer.linear_up.weights, interaction + "linear_up.weight")
    if layer.nonlinear is not None:
        _fill_nonlinear(arrays, layer.nonlinear, interaction)
    else:
        for k, weight in enumerate(layer.radial_mlp.weights):
            arrays.fill(weight, f"{interaction}conv_tp_weights.layer{k}.weight")
        arrays.fill_blocks(layer.linear.weights, interaction + "linear.weight")
        arrays.fill_blocks(layer.skip.weights, interaction + "skip_tp.weight", transposed=True)
        if layer.density_mlp is not None:
            arrays.fill(layer.density_mlp.weights[0], interaction + "density_fn.layer0.weight")
    contraction = layer.contraction
    for degree in range(contraction.l_out + 1):
        prefix = f"{product}symmetric_contractions.contractions.{degree}."
        for nu in range(contraction.correlation, 0, -1):
            last = contraction.correlation
            name = prefix + ("weights_max" if nu == last else f"weights.{last - 1 - nu}")
            weight = _native_weights(arrays, contraction.l_in, degree, nu, name, f"{prefix}U_matrix_{nu}")
            contraction.weights[f"{degree}_{nu}"].data.copy_(weight)
    arrays.fill_blocks(layer.update.weights, product + "linear.weight")


def _fill_nonlinear(arrays: UpstreamArrays, block: NonlinearInteraction, prefix: str) -> None:
    for vectors, name in ((block.source, "source_embedding"), (block.target, "target_embedding")):
        arrays.fill(vectors, f"{prefix}{name}.weight")
    for mlp, name in ((block.radial_mlp, "conv_tp_weights"), (block.density_mlp, "density_fn")):
        # linear layer, norm and activation of every hidden layer, then a linear layer, are numbered through
        for k, (weight, bias) in enumerate(zip(mlp.weights, mlp.biases, strict=True)):
            arrays.fill(weight.T, f"{prefix}{name}.net.{3 * k}.weight")
            arrays.fill(bias, f"{prefix}{name}.net.{3 * k}.bias")
        for k, (gain, shift) in enumerate(zip(mlp.gains, mlp.shifts, strict=True)):
            arrays.fill(gain, f"{prefix}{name}.net.{3 * k + 1}.weight")
            arrays.fill(shift, f"{prefix}{name}.net.{3 * k + 1}.bias")
    for linear, name in (
        (block.linear, "linear_1"),
        (block.residual, "linear_res"),
        (block.linear_out, "linear_2"),
        (block.skip, "skip_tp"),
    ):
        arrays.fill_blocks(linear.weights, f"{prefix}{name}.weight")
    for number, name in ((block.alpha, "alpha"), (block.beta, "beta")):
        arrays.fill(number, prefix + name)


def _native_weights(arrays: UpstreamArrays, l_max: int, degree: int, nu: int, name: str, coupling_name: str) -> Tensor:
    """Weights [S, K, C] of the native couplings that give the same symmetric contraction as upstream's.

    Up to max_ell = 3 the native couplings are upstream's, column by column. A state dict may hold others, with the
    signs of another e3nn version or reduced by cuequivariance. Their columns are linear combinations of the native
    ones.
    """
    weight = arrays.get(name)
    if coupling_name not in arrays:
        if l_max > 3:
            raise UpstreamError(f"the upstream state dict has no '{coupling_name}', which max_ell > 3 needs.")
        return weight
    native = coupling_tensor(l_max, degree, nu)
    theirs = arrays.get(coupling_name).double().reshape(*native.shape[:-1], -1)
    if theirs.shape == native.shape and torch.allclose(theirs, native, rtol=0.0, atol=1e-6):
        return weight
    solution = torch.linalg.lstsq(symmetrised(native), symmetrised(theirs), driver="gelsd").solution  # [K, K_theirs]
    if not torch.allclose(symmetrised(native) @ solution, symmetrised(theirs), atol=1e-5):
        raise UpstreamError(f"'{coupling_name}' is no symmetric coupling of degrees 0..{l_max} to {degree}.")
    return torch.einsum("kq,sqc->skc", solution, weight.double())


def _fill_repulsion(arrays: UpstreamArrays, potential: Potential, scale: float) -> None:
    """Upstream adds the repulsion to the network's energy before it is scaled, so the scale is a factor on both."""
    if potential.repulsion is None:
        return
    repulsion, prefix = potential.repulsion, "pair_repulsion_fn."
    for ours, theirs in (
        ("coefficients", "c"),
        ("screening_exponent", "a_exp"),
        ("screening_prefactor", "a_prefactor"),
    ):
        arrays.fill(getattr(repulsion, ours), prefix + theirs)
    arrays.fill(repulsion.cutoff_exponent, prefix + "p")
    repulsion.amplitude.fill_(scale)
