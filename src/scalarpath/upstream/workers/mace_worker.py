"""Runs where mace-torch is installed: ``mace_worker.py FILE.model FOLDER`` unpickles a model, and writes what it is.

FOLDER gets model.json (``parts``: classes of its modules outside torch and e3nn; ``hyperparameters``: the arguments of
mace's constructor, as in ``from_upstream``) and weights.pt (its state dict). A model that is no MACE or ScaleShiftMACE
has its ``class`` in model.json and nothing else.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import mace  # noqa: F401  before e3nn, which it configures
import torch
from e3nn import o3

RADIAL = {"BesselBasis": "bessel", "GaussianBasis": "gaussian", "ChebychevBasis": "chebyshev"}
TRANSFORMS = {"AgnesiTransform": "Agnesi", "SoftTransform": "Soft"}


def hyperparameters(model: Any) -> dict[str, Any]:
    """The arguments of the constructor, from the modules: an old file lacks attributes that later versions have."""
    radial, products, last = model.radial_embedding, model.products, model.readouts[-1]
    heads = [str(head) for head in getattr(model, "heads", None) or ["Default"]]
    classes = [type(block).__name__ for block in model.interactions]
    neighbours = {float(block.avg_num_neighbors) for block in model.interactions}
    if len(neighbours) > 1:
        raise ValueError("its layers differ in avg_num_neighbors")
    correlation = [len(product.symmetric_contractions.contractions[0].weights) + 1 for product in products]
    found = {
        "r_max": float(model.r_max),
        "num_bessel": len(
            getattr(radial.bessel_fn, "bessel_weights", getattr(radial.bessel_fn, "gaussian_weights", ()))
        ),
        "num_polynomial_cutoff": int(radial.cutoff_fn.p),
        "max_ell": int(o3.Irreps(str(model.spherical_harmonics.irreps_out)).lmax),
        # later layers of several classes have no equal, and are refused by their names
        "interaction_cls": "+".join(sorted(set(classes[1:] or classes))),
        "interaction_cls_first": classes[0],
        "num_interactions": len(model.interactions),
        "hidden_irreps": str(products[0].linear.irreps_out),
        "keep_last_layer_irreps": len(products) > 1 and o3.Irreps(str(products[-1].linear.irreps_out)).lmax > 0,
        "avg_num_neighbors": neighbours.pop(),
        "atomic_numbers": [int(z) for z in model.atomic_numbers],
        "correlation": correlation if len(set(correlation)) > 1 else correlation[0],
        "radial_type": RADIAL.get(type(radial.bessel_fn).__name__, type(radial.bessel_fn).__name__),
        "distance_transform": None,
        "apply_cutoff": bool(getattr(radial, "apply_cutoff", True)),
        "pair_repulsion": hasattr(model, "pair_repulsion"),
        "radial_MLP": _radial_widths(model.interactions[0].conv_tp_weights),
        "use_so3": bool(getattr(model, "use_so3", False)),
        "use_agnostic_product": bool(getattr(model, "use_agnostic_product", False)),
        "use_last_readout_only": len(model.readouts) < len(model.interactions),
        "embedding_specs": sorted(model.embedding_specs) if hasattr(model, "joint_embedding") else None,
        "edge_irreps": None if getattr(model, "edge_irreps", None) is None else str(model.edge_irreps),
        "heads": heads,
        "MLP_irreps": "1x0e",
        "gate": None,
    }
    if hasattr(radial, "distance_transform"):
        name = type(radial.distance_transform).__name__
        found["distance_transform"] = TRANSFORMS.get(name, name)
    if hasattr(last, "non_linearity"):
        found["MLP_irreps"] = f"{o3.Irreps(str(last.hidden_irreps)).count('0e') // len(heads)}x0e"
        activation = last.non_linearity.acts[0]
        found["gate"] = None if activation is None else activation.f.__name__
    return found


def _radial_widths(network: Any) -> list[int]:
    if hasattr(network, "hs"):
        return [int(width) for width in network.hs[1:-1]]
    return [int(layer.normalized_shape[0]) for layer in network.net if isinstance(layer, torch.nn.LayerNorm)]


def main(file: str, folder: Path) -> None:
    """Write model.json and weights.pt."""
    model = torch.load(file, map_location="cpu", weights_only=False)
    content: dict[str, Any] = {"class": type(model).__name__}
    if content["class"] in ("MACE", "ScaleShiftMACE"):
        others = {
            type(part) for part in model.modules() if type(part).__module__.split(".")[0] not in ("torch", "e3nn")
        }
        content["parts"] = sorted(part.__name__ for part in others)
        content["hyperparameters"] = hyperparameters(model)
        # tensors and nothing else, so that the other side reads them without running anything
        weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
        torch.save(weights, folder / "weights.pt")
    (folder / "model.json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
