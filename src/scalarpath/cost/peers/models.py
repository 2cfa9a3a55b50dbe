"""Upstream models that are compared, by the names of their own hyperparameters. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Any

CUTOFF = 5.0  # Å

MACE: dict[str, Any] = {
    "r_max": CUTOFF,
    "num_bessel": 8,
    "num_polynomial_cutoff": 5,
    "max_ell": 3,
    "correlation": 3,
    "num_interactions": 2,
    "interaction_cls_first": "RealAgnosticInteractionBlock",
    "interaction_cls": "RealAgnosticResidualInteractionBlock",
    "radial_MLP": [64, 64, 64],
    "MLP_irreps": "16x0e",
    "gate": "silu",
    "atomic_inter_scale": 1.0,
    "atomic_inter_shift": 0.0,
}
NEQUIP: dict[str, Any] = {"r_max": CUTOFF, "radial_mlp_depth": 1, "num_bessels": 8}
NEQUIP_L2: dict[str, Any] = {**NEQUIP, "num_layers": 4, "l_max": 2, "num_features": 32, "radial_mlp_width": 64}
ALLEGRO: dict[str, Any] = {
    "r_max": CUTOFF,
    "radial_chemical_embed": {"_target_": "allegro.nn.TwoBodyBesselScalarEmbed", "num_bessels": 8},
    "num_layers": 2,
    "l_max": 2,
    "num_scalar_features": 64,
    "num_tensor_features": 32,
}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mace_64_L0": ("mace", {**MACE, "hidden_irreps": "64x0e"}),
    "mace_64_L1": ("mace", {**MACE, "hidden_irreps": "64x0e+64x1o"}),
    "mace_64_L2": ("mace", {**MACE, "hidden_irreps": "64x0e+64x1o+64x2e"}),
    "mace_128_L0": ("mace", {**MACE, "hidden_irreps": "128x0e"}),
    "mace_128_L1": ("mace", {**MACE, "hidden_irreps": "128x0e+128x1o"}),
    "mace_128_L2": ("mace", {**MACE, "hidden_irreps": "128x0e+128x1o+128x2e"}),
    "nequip_S": (
        "nequip",
        {
            **NEQUIP,
            "num_layers": 2,
            "l_max": 1,
            "num_features": [128, 64],
            "parity": False,
            "type_embed_num_features": 32,
            "radial_mlp_width": 128,
        },
    ),
    "nequip_32_l2": ("nequip", {**NEQUIP_L2, "parity": False}),
    "nequip_32_l2_parity": ("nequip", {**NEQUIP_L2, "parity": True}),
    "allegro_64_32_l2": ("allegro", ALLEGRO),
}
