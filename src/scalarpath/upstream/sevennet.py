"""Weights of SevenNet (arXiv:2402.03789, checked against sevenn 0.13.0) for the native NequIP backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from e3nn import o3
from numpy.typing import ArrayLike
from torch import Tensor

from scalarpath.backbones.nequip import GAIN, NequIP, NequIPLayer
from scalarpath.core.errors import UpstreamError
from scalarpath.nn.mlp import ACTIVATIONS
from scalarpath.potential import Potential, build_potential
from scalarpath.upstream.arrays import UpstreamArrays, check_hyperparameters

REQUIRED = (
    "version",
    "_type_map",
    "cutoff",
    "cutoff_function",
    "radial_basis",
    "channel",
    "irreps_manual",
    "lmax",
    "is_parity",
    "num_convolution_layer",
    "weight_nn_hidden_neurons",
    "self_connection_type",
)
# options without a native equivalent, each with the values that leave the model as it is
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "_model_type": ("E3_equivariant_model",),
    "interaction_type": ("nequip",),
    "use_modality": (False,),
    "is_parity": (False,),
    "lmax_edge": (-1, 0),
    "lmax_node": (-1, 0),
    "_normalize_sph": (True,),
    "act_radial": ("silu",),
    "use_bias_in_linear": (False,),
    "readout_as_fcn": (False,),
}
SORTED_SINCE = (0, 11)  # version since which the weights of the convolution are sorted by output
W3J = "_convolution.convolution._compiled_main_left_right._w3j_"


def import_sevennet(state_dict: Mapping[str, ArrayLike], config: Mapping[str, Any]) -> Potential:
    """Native potential from ``model_state_dict`` and ``config`` of a checkpoint of sevenn (see ``from_upstream``)."""
    # files that do not say it have harmonics of vectors that were not normalised
    check_hyperparameters({"_normalize_sph": False, **config}, REQUIRED, UNSUPPORTED)
    arrays = UpstreamArrays(state_dict)
    species = sorted(config["_type_map"])
    order = [config["_type_map"][z] for z in species]
    is_float64 = arrays.get("onehot_to_feature_x.linear.weight").dtype == torch.float64
    potential = build_potential(
        {
            "species": species,
            "cutoff": float(config["cutoff"]),
            "dtype": "float64" if is_float64 else "float32",
            "head": {"name": "baseline", "parts": {}},
            "backbone": _options(config),
        }
    )
    native = cast(NequIP, potential.backbone)
    with torch.no_grad():
        _fill_embedding(arrays, native, order)
        for t, layer in enumerate(native.layers):
            _fill_layer(arrays, cast(NequIPLayer, layer), t, _is_sorted(config["version"]))
        _fill_denominators(arrays, native)
        # two linear maps in a row, each over the root of its fan-in, are one
        (channels,) = native.pathway.readout_channels
        hidden = torch.empty(channels, channels // 2, dtype=torch.float64)
        output = torch.empty(channels // 2, 1, dtype=torch.float64)
        arrays.fill(hidden, "reduce_input_to_hidden.linear.weight")
        arrays.fill(output, "reduce_hidden_to_energy.linear.weight")
        native.readout.weights[0].copy_(hidden @ output / len(output) ** 0.5)
        for target, name in ((potential.scale, "scale"), (potential.e0, "shift")):
            values = arrays.get(f"rescale_atomic_energy.{name}").flatten().double()
            target.copy_(values[order] if len(values) > 1 else values)
        arrays.refuse_unread_weights()
    return potential


def _options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Native options of the backbone; raises UpstreamError."""
    count, l_max = int(config["num_convolution_layer"]), int(config["lmax"])
    for name in ("act_scalar", "act_gate"):  # all irreps are even
        if (found := config.get(name, {"e": "silu"})["e"]) != "silu":
            raise UpstreamError(f"upstream option {name} = {found} has no native equivalent; import a model with silu.")
    skips = config["self_connection_type"]
    if set([skips] if isinstance(skips, str) else skips) != {"linear"}:
        raise UpstreamError(f"upstream self_connection_type = {skips} has no native equivalent; only linear has.")
    basis, envelope, widths = config["radial_basis"], config["cutoff_function"], config["weight_nn_hidden_neurons"]
    if basis["radial_basis_name"] != "bessel":
        raise UpstreamError(f"upstream radial_basis {basis['radial_basis_name']} is not known; only bessel is.")
    if envelope["cutoff_function_name"] not in ("poly_cut", "XPLOR"):
        raise UpstreamError(
            f"upstream cutoff_function {envelope['cutoff_function_name']} is not known; only poly_cut and XPLOR are."
        )
    if len(set(widths)) > 1:
        raise UpstreamError(f"upstream weight_nn_hidden_neurons = {widths}: only equal widths have an equivalent.")
    embedded, channels = _channels(config["irreps_manual"] or None, int(config["channel"]), count, l_max)
    return {
        "kind": "nequip",
        "num_layers": count,
        "l_max": l_max,
        "parity": False,
        "mirror_symmetry": False,
        "num_features": channels,
        "type_embed_num_features": embedded,
        "self_connection_type": "linear",
        "radial_mlp_depth": len(widths),
        "radial_mlp_width": widths[0] if widths else 1,
        "num_bessels": int(basis.get("bessel_basis_num", 8)),
        "bessel_trainable": False,
        "polynomial_cutoff_p": envelope.get("poly_cut_p_value", 6),
        "cutoff_on": envelope["cutoff_on"] if envelope["cutoff_function_name"] == "XPLOR" else None,
        "readout_mlp_hidden_layers_depth": 0,
    }


def _channels(manual: Sequence[str] | None, channel: int, count: int, l_max: int) -> tuple[int, list[int]]:
    """Width of the species embedding, and channels of every degree of the hidden layers; raises UpstreamError."""
    if manual is None:
        return channel, [channel] * (l_max + 1)
    embedded, *layers = [o3.Irreps(irreps) for irreps in manual]
    channels = [layers[0].count(o3.Irrep(degree, 1)) for degree in range(l_max + 1)]
    hidden = o3.Irreps([(c, (degree, 1)) for degree, c in enumerate(channels)])
    wanted = [*[hidden] * (count - 1), hidden[:1]]
    if count == 1 or list(map(str, layers)) != list(map(str, wanted)) or embedded != o3.Irreps(f"{embedded.dim}x0e"):
        raise UpstreamError(
            f"upstream irreps_manual = {list(manual)}: only scalars, then the same irreps up to lmax = {l_max} in all "
            "layers, then their scalars have an equivalent."
        )
    return embedded.dim, channels


def _is_sorted(version: str) -> bool:
    """Whether a file of this version of sevenn has the weights of the convolution sorted by output."""
    try:
        return tuple(int(number) for number in str(version).split(".")[:2]) >= SORTED_SINCE
    except ValueError as error:
        raise UpstreamError(f"upstream version = {version} is no version of sevenn.") from error


def _fill_embedding(arrays: UpstreamArrays, native: NequIP, order: list[int]) -> None:
    embedding = native.type_embedding
    rows = torch.empty_like(embedding, dtype=torch.float64)
    arrays.fill(rows, "onehot_to_feature_x.linear.weight")
    embedding.copy_(rows[order] / len(rows) ** 0.5)
    arrays.fill(native.radial.basis.get_buffer("frequencies"), "edge_embedding.basis_function.coeffs")


def _fill_layer(arrays: UpstreamArrays, layer: NequIPLayer, t: int, is_sorted: bool) -> None:
    arrays.fill_blocks(layer.skip.weights, f"{t}_self_connection_intro.linear.weight")
    arrays.fill_blocks(layer.linear_up.weights, f"{t}_self_interaction_1.linear.weight")
    mlp = layer.radial_mlp
    for k, weight in enumerate(mlp.weights):
        values = torch.empty_like(weight, dtype=torch.float64)
        name = f"{t}_convolution.weight_nn.layer{k}.weight"
        if k < len(mlp.weights) - 1:
            arrays.fill(values, name)
        else:
            arrays.fill_columns(values, name, _columns(layer, is_sorted))
            values *= _signs(arrays, layer, t)
        # upstream's activations have unit second moment, the native ones another gain
        weight.copy_(values * (ACTIVATIONS["silu"].scale / GAIN if k else 1.0))
    arrays.fill_blocks(layer.linear.weights, f"{t}_self_interaction_2.linear.weight")


def _columns(layer: NequIPLayer, is_sorted: bool) -> list[int]:
    """Where upstream keeps the convolution weights of the native paths, which run over target, source, harmonic.

    So do upstream's, if they are sorted; else they run over source, harmonic, target.
    """
    paths, channels = layer.convolution.paths, layer.convolution.channels
    theirs = list(paths) if is_sorted else sorted(paths)
    start, blocks = 0, {}
    for path in theirs:
        blocks[path] = range(start, start + channels[path.source])
        start += channels[path.source]
    return [column for path in paths for column in blocks[path]]


def _signs(arrays: UpstreamArrays, layer: NequIPLayer, t: int) -> Tensor:
    """The sign of every convolution weight by which couplings in the file are others than ours [weights].

    e3nn has changed the sign of some Wigner 3j symbols between its versions. Couplings with a scalar are in no file.
    """
    convolution, signs = layer.convolution, []
    for source, l_edge, target in convolution.paths:
        degrees = convolution.degrees[source], l_edge, convolution.targets[target].l
        name, sign = f"{t}{W3J}" + "_".join(map(str, degrees)), 1.0
        if name in arrays:
            ours, theirs = o3.wigner_3j(*degrees, dtype=torch.float64), arrays.get(name).double()
            sign = 1.0 if torch.allclose(theirs, ours, atol=1e-6) else -1.0
            if not torch.allclose(theirs, sign * ours, atol=1e-6):
                raise UpstreamError(f"'{name}' is no Wigner 3j symbol of degrees {degrees}.")
        signs += [sign] * convolution.channels[source]
    return torch.tensor(signs, dtype=torch.float64)


def _fill_denominators(arrays: UpstreamArrays, native: NequIP) -> None:
    """Upstream divides the sums of every layer by a number of its own, here all by the root of the mean degree."""
    found = [float(arrays.get(f"{t}_convolution.denominator").flatten()[0]) for t in range(len(native.layers))]
    native.mean_degree.fill_(found[0] ** 2)
    for layer, denominator in zip(native.layers, found, strict=True):
        for weight in cast(NequIPLayer, layer).linear_up.weights:
            weight.mul_(found[0] / denominator)
