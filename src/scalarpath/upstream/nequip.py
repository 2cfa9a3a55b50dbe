"""Weights of nequip's NequIPGNNModel (checked against 0.19.1) for the native backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from numpy.typing import ArrayLike

from scalarpath.backbones.nequip import NequIP, NequIPLayer
from scalarpath.potential import Potential
from scalarpath.upstream.arrays import check_hyperparameters
from scalarpath.upstream.nequip_framework import REQUIRED, FrameworkModel

# options without a native equivalent, each with the values that leave the model as it is
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "categorical_graph_field_embed": (None, []),
    "convnet_sc": (True,),
    "convnet_resnet": (False,),
    "learnable_shift": (False,),
    "convnet_nonlinearity_type": ("gate",),
    "convnet_nonlinearity_scalars": ({"e": "silu", "o": "tanh"},),
    "convnet_nonlinearity_gates": ({"e": "silu", "o": "tanh"},),
}
EMBEDDING = "type_embed.embed_module.weight"


def import_nequip(state_dict: Mapping[str, ArrayLike], hyperparameters: Mapping[str, Any]) -> Potential:
    """Native potential from the state dict and the arguments of NequIPGNNModel (see ``from_upstream``)."""
    check_hyperparameters(hyperparameters, REQUIRED, UNSUPPORTED)
    model = FrameworkModel(state_dict, hyperparameters, EMBEDDING)
    width = model.hp.get("readout_mlp_hidden_layers_width")
    features = model.option("num_features", 32)
    backbone = {
        "kind": "nequip",
        "num_layers": int(model.option("num_layers", 4)),
        "l_max": int(model.option("l_max", 1)),
        "parity": bool(model.option("parity", True)),
        "num_features": int(features) if isinstance(features, int) else [int(c) for c in features],
        "type_embed_num_features": model.hp.get("type_embed_num_features"),
        "radial_mlp_depth": int(model.option("radial_mlp_depth", 1)),
        "radial_mlp_width": int(model.option("radial_mlp_width", 128)),
        "num_bessels": int(model.option("num_bessels", 8)),
        "bessel_trainable": bool(model.option("bessel_trainable", False)),
        "polynomial_cutoff_p": model.option("polynomial_cutoff_p", 6),
        "readout_mlp_hidden_layers_depth": int(model.option("readout_mlp_hidden_layers_depth", 0)),
        "readout_mlp_hidden_layers_width": width,
        "readout_mlp_nonlinearity": model.nonlinearity("readout_mlp_nonlinearity"),
    }
    with torch.no_grad():
        potential = model.build(backbone, EMBEDDING)
        native = cast(NequIP, potential.backbone)
        model.arrays.fill(native.type_embedding, EMBEDDING, rows=model.order)
        model.fill_frequencies(native.radial.basis, "bessel_encode.bessel_weights")
        for t, layer in enumerate(native.layers):
            _fill_layer(model, cast(NequIPLayer, layer), f"layer{t}_convnet.conv.")
        model.fill_mlp(native.readout, "per_atom_energy_readout.mlp_module", "readout_mlp_nonlinearity")
        model.arrays.refuse_unread_weights()
    return potential


def _fill_layer(model: FrameworkModel, layer: NequIPLayer, prefix: str) -> None:
    arrays, mlp = model.arrays, layer.radial_mlp
    if len(layer.skip.weights):
        arrays.fill_blocks(layer.skip.weights, prefix + "sc.weight")
    arrays.fill_blocks(layer.linear_up.weights, prefix + "linear_1.weight")
    for k, weight in enumerate(mlp.weights[:-1]):
        arrays.fill(weight, model.mlp_weight(mlp, prefix + "edge_mlp", k))
    last = len(mlp.weights) - 1
    arrays.fill_columns(mlp.weights[last], model.mlp_weight(mlp, prefix + "edge_mlp", last), _columns(layer))
    # upstream sorts the irreps between convolution and linear map by (l, p)
    targets = layer.convolution.targets
    by_irrep = sorted(range(len(targets)), key=lambda t: (targets[t].l, targets[t].p))
    arrays.fill_blocks([layer.linear.weights[t] for t in by_irrep], prefix + "linear_2.weight")


def _columns(layer: NequIPLayer) -> list[int]:
    """Where upstream keeps the convolution weights: its paths run over source, harmonic and then output."""
    paths = layer.convolution.paths
    widths = [layer.convolution.channels[path.source] for path in paths]
    theirs = sorted(
        range(len(paths)),
        key=lambda p: (paths[p].source, paths[p].l_edge, layer.convolution.targets[paths[p].target].l),
    )
    start, blocks = 0, {}
    for p in theirs:
        blocks[p] = range(start, start + widths[p])
        start += widths[p]
    return [column for p in range(len(paths)) for column in blocks[p]]
