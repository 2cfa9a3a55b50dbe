"""Weights of nequip-allegro's AllegroModel (checked against 0.8.3) for the native backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from numpy.typing import ArrayLike

from scalarpath.backbones.allegro import Allegro, BesselEmbedding
from scalarpath.core.errors import UpstreamError
from scalarpath.nn.convolution.edge_tensor_product import EdgeTensorProduct
from scalarpath.nn.mlp import MLP
from scalarpath.potential import Potential
from scalarpath.upstream.arrays import check_hyperparameters
from scalarpath.upstream.nequip_framework import REQUIRED, FrameworkModel

# options without a native equivalent, each with the values that leave the model as it is
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "weight_individual_irreps": (True,),
    "forward_normalize": (True,),
}
TWO_BODY = {"TwoBodyBesselScalarEmbed": "bessel", "TwoBodySplineScalarEmbed": "spline"}
PROJECTION = "allegro.first_layer_env_embed_projection"


def import_allegro(state_dict: Mapping[str, ArrayLike], hyperparameters: Mapping[str, Any]) -> Potential:
    """Native potential from the state dict and the arguments of AllegroModel (see ``from_upstream``)."""
    check_hyperparameters(hyperparameters, (*REQUIRED, "l_max", "radial_chemical_embed"), UNSUPPORTED)
    model = FrameworkModel(state_dict, hyperparameters, f"{PROJECTION}.mlp.0.weight")
    with torch.no_grad():
        potential = model.build(_options(model), f"{PROJECTION}.mlp.0.weight")
        native, arrays = cast(Allegro, potential.backbone), model.arrays
        _fill_two_body(model, native)
        model.fill_mlp(native.scalar_embedding, "scalar_embed_mlp.mlp_module", "scalar_embed_mlp_nonlinearity")
        scalars, *tensors = native.widths
        blocks = _columns(0, tensors)
        arrays.fill_columns(native.tensor_embedding.weights[0], "tensor_embed.env_embed_linear.mlp.0.weight", blocks)
        columns = _columns(scalars, tensors)
        arrays.fill_columns(native.projection.weights[0], f"{PROJECTION}.mlp.0.weight", columns)
        for t, (product, network) in enumerate(zip(native.products, native.latents, strict=True)):
            latent = cast(MLP, network)
            arrays.fill(cast(EdgeTensorProduct, product).weights, f"allegro.tps.{t}.weights")
            model.fill_mlp(latent, f"allegro.latents.{t}", "allegro_mlp_nonlinearity")
            if t < len(native.latents) - 1:
                latent.weights[-1].copy_(latent.weights[-1][:, columns])
        model.fill_mlp(native.readout, "edge_readout.mlp_module", "readout_mlp_nonlinearity")
        arrays.refuse_unread_weights()
    return potential


def _options(model: FrameworkModel) -> dict[str, Any]:
    """Native options of the backbone; raises UpstreamError."""
    embed = model.hp["radial_chemical_embed"]
    target = str(embed.get("_target_", "")).rsplit(".", 1)[-1]
    if target not in TWO_BODY:
        raise UpstreamError(f"upstream radial_chemical_embed {target} is not known; use one of: {', '.join(TWO_BODY)}.")
    mlps = {
        f"{name}_{key}": value
        for name, width in (("scalar_embed_mlp", 64), ("allegro_mlp", 64), ("readout_mlp", 32))
        for key, value in (
            ("hidden_layers_depth", int(model.option(f"{name}_hidden_layers_depth", 1))),
            ("hidden_layers_width", int(model.option(f"{name}_hidden_layers_width", width))),
            ("nonlinearity", model.nonlinearity(f"{name}_nonlinearity")),
        )
    }
    return {
        "kind": "allegro",
        "num_layers": int(model.option("num_layers", 2)),
        "l_max": int(model.hp["l_max"]),
        "parity": bool(model.option("parity", True)),
        "num_scalar_features": int(model.option("num_scalar_features", 64)),
        "num_tensor_features": int(model.option("num_tensor_features", 16)),
        "tp_path_channel_coupling": bool(model.option("tp_path_channel_coupling", True)),
        "two_body": TWO_BODY[target],
        "radial_chemical_embed_dim": model.hp.get("radial_chemical_embed_dim"),
        "num_bessels": int(embed.get("num_bessels", 8)),
        "bessel_trainable": bool(embed.get("bessel_trainable", False)),
        "polynomial_cutoff_p": embed.get("polynomial_cutoff_p", 6),
        "num_splines": int(embed.get("num_splines", 16)),
        "spline_span": int(embed.get("spline_span", 12)),
        **mlps,
    }


def _fill_two_body(model: FrameworkModel, native: Allegro) -> None:
    arrays, two_body = model.arrays, native.two_body
    if isinstance(two_body, BesselEmbedding):
        prefix = "radial_chemical_embed.type_embed."
        model.fill_frequencies(two_body.radial.basis, "radial_chemical_embed.bessel_encode.bessel_weights")
        arrays.fill(two_body.centre, prefix + "center_embed.weight", rows=model.order)
        arrays.fill(two_body.neighbour, prefix + "neighbor_embed.weight", rows=model.order)
        model.fill_mlp(two_body.linear, prefix + "basis_linear")
        return
    # upstream: one row per pair of types, [width, splines] in it
    species, (pairs, size, width) = len(model.order), two_body.coefficients.shape
    rows = [i * species + j for i in model.order for j in model.order]
    coefficients = torch.empty(pairs, width, size, dtype=torch.float64)
    arrays.fill(coefficients, "radial_chemical_embed.spline.class_embed.weight", rows=rows)
    two_body.coefficients.copy_(coefficients.transpose(1, 2))


def _columns(scalars: int, tensors: list[int]) -> list[int]:
    """Where upstream keeps the columns of an edge projection: scalars, then the weights [channel, degree]."""
    degrees, channels = len(tensors), tensors[0]
    environment = [scalars + c * degrees + degree for degree in range(degrees) for c in range(channels)]
    return [*range(scalars), *environment]
