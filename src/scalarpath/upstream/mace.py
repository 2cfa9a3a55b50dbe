"""Models of mace-torch (MACE and ScaleShiftMACE, checked against 0.3.16) as native ones, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from e3nn import o3
from numpy.typing import ArrayLike
from torch import Tensor

from scalarpath.backbones.mace import MACE
from scalarpath.core.errors import ConfigError, UpstreamError
from scalarpath.nn.contraction.couplings import coupling_tensor, symmetrised
from scalarpath.nn.radial import RADIAL_BASES
from scalarpath.potential import Potential, build_potential
from scalarpath.potential.configuration import backbone_options
from scalarpath.upstream.arrays import UpstreamArrays, check_hyperparameters
from scalarpath.upstream.mace_weights import (
    REPULSION_SERIES,
    ContractionPlace,
    contraction_places,
    places,
    repulsion_places,
)

INTERACTIONS = {
    "RealAgnosticInteractionBlock": "plain",
    "RealAgnosticResidualInteractionBlock": "residual",
    "RealAgnosticDensityInteractionBlock": "density",
    "RealAgnosticDensityResidualInteractionBlock": "density_residual",
    "RealAgnosticResidualNonLinearInteractionBlock": "nonlinear",
}
GATES = ("silu", "tanh", "abs")  # upstream's; those of others would have another scale here
TRANSFORMS = {None: "None", "agnesi": "Agnesi", "soft": "Soft"}
FIXED = ("backbone.radial.transform.radii", "repulsion.radii", "repulsion.exponents")  # no weights upstream
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
        for name, tensors in places(backbone):
            arrays.fill_blocks(tensors, name)
        for place in contraction_places(backbone):
            place.weight.copy_(_native_weights(arrays, place))
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


def export_mace(potential: Potential) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments of ScaleShiftMACE and all of its weights and constants: what ``from_upstream`` takes.

    Couplings are among them, so the model does not depend on the signs of upstream's e3nn. Raises ConfigError for a
    potential that a ScaleShiftMACE cannot hold.
    """
    hyperparameters = _hyperparameters(potential)
    backbone, repulsion, scale = cast(MACE, potential.backbone), potential.repulsion, potential.scale[0]
    constants = {} if repulsion is None else dict(repulsion_places(repulsion))
    flat = {**dict(places(backbone)), **constants}
    arrays = {name: torch.cat([tensor.detach().flatten() for tensor in tensors]) for name, tensors in flat.items()}
    for place in contraction_places(backbone):
        arrays[place.name] = place.weight.detach()
        arrays[place.coupling_name] = coupling_tensor(place.l_max, place.degree, place.nu)
    if repulsion is not None:
        arrays[REPULSION_SERIES] = arrays[REPULSION_SERIES] * (repulsion.amplitude / scale)
    arrays["atomic_energies_fn.atomic_energies"] = potential.e0
    return hyperparameters, {**arrays, "scale_shift.scale": scale, "scale_shift.shift": potential.shift[0]}


def float64_copy(potential: Potential) -> Potential:
    """A copy in float64 whose constants are upstream's to the last digit, where those of a float32 run are rounded.

    Raises ConfigError for other constants, such as those of nequip's repulsion.
    """
    copied = Potential({**potential.config, "dtype": "float64"})
    constants, state = copied.state_dict(), potential.state_dict()
    for name in (name for name in FIXED if name in state):
        if not torch.allclose(state[name].double(), constants[name], rtol=1e-6, atol=0.0):
            raise _unknown(f"other {name} than its own")
        state[name] = constants[name]
    copied.load_state_dict(state)
    return copied.eval()


def _hyperparameters(potential: Potential) -> dict[str, Any]:
    """The inverse of ``_config``; raises ConfigError for what upstream does not have."""
    config = potential.config
    if type(potential.backbone) is not MACE:
        raise _unknown(f"backbone {config['backbone']['kind']}, which is no MACE")
    options = backbone_options(config)
    envelope, orders, max_ell = options["num_polynomial_cutoff"], options["correlation"], options["max_ell"]
    highest = max_ell * min(3, orders if isinstance(orders, int) else max(orders))  # degree of a product of three
    for there, what in (
        (potential.linear is not None, f"the linear potential of head {config['head'].get('name')}"),
        (config["head"].get("parts"), f"head {config['head'].get('name')}"),
        (potential.pair_cutoffs is not None, "backbone.pair_cutoffs"),
        (options["gate"] not in (None, *GATES), f"backbone.gate={options['gate']}"),
        (int(envelope) != envelope, f"backbone.num_polynomial_cutoff={envelope}, which must be a whole number there"),
        (highest > 11, f"the couplings of backbone.correlation={orders} and max_ell={max_ell} (its e3nn ends at 11)"),
    ):
        if there:
            raise _unknown(what)
    irreps = [(options["num_channels"], (degree, (-1) ** degree)) for degree in range(options["max_L"] + 1)]
    blocks = {ours: theirs for theirs, ours in INTERACTIONS.items()}
    return {
        "r_max": potential.cutoff,
        "num_bessel": options["num_bessel"],
        "num_polynomial_cutoff": int(envelope),
        "max_ell": max_ell,
        "interaction_cls": blocks[options["interaction"]],
        "interaction_cls_first": blocks[options["interaction_first"]],
        "num_interactions": options["num_interactions"],
        "hidden_irreps": str(o3.Irreps(irreps)),
        "MLP_irreps": f"{options['readout_mlp']}x0e",
        "gate": options["gate"],
        "avg_num_neighbors": float(potential.backbone.mean_degree),
        "atomic_numbers": potential.species,
        "correlation": orders,
        "radial_type": options["radial_type"],
        "radial_MLP": options["radial_mlp"],
        "distance_transform": TRANSFORMS[options["distance_transform"]],
        "apply_cutoff": options["envelope_on"] == "features",
        "pair_repulsion": potential.repulsion is not None,
    }


def _unknown(what: str) -> ConfigError:
    return ConfigError(
        f"format=mace: mace-torch does not have {what}; leave format= out, and use the file with this package."
    )


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
    if gate is not None and gate not in GATES:
        raise UpstreamError(f"upstream gate {gate} is not known; use one of: null, {', '.join(GATES)}.")
    transform = str(hp.get("distance_transform") or "None").lower()
    correlation, widths = hp["correlation"], hp.get("radial_MLP")
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
            "radial_mlp": [int(width) for width in ((64, 64, 64) if widths is None else widths)],
            "readout_mlp": o3.Irreps(str(hp["MLP_irreps"])).count("0e"),
            "gate": gate,
            "distance_transform": None if transform == "none" else transform,
            "envelope_on": "features" if hp.get("apply_cutoff", True) else "weights",
            **interactions,
        },
    }


def _native_weights(arrays: UpstreamArrays, place: ContractionPlace) -> Tensor:
    """Weights [S, K, C] of the native couplings that give the same symmetric contraction as upstream's.

    Up to max_ell = 3 the native couplings are upstream's, column by column. A state dict may hold others, with the
    signs of another e3nn version or reduced by cuequivariance. Their columns are linear combinations of the native
    ones.
    """
    name, coupling_name, _, l_max, degree, nu = place
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
    for name, tensors in repulsion_places(potential.repulsion):
        arrays.fill_blocks(tensors, name)
    potential.repulsion.amplitude.fill_(scale)
