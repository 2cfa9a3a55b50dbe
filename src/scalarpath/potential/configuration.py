"""The configuration of a potential: what it may hold, and the networks that it describes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from ase.data import chemical_symbols
from torch import Tensor
from torch.overrides import TorchFunctionMode

from scalarpath.backbones import Backbone, build_backbone, check_backbone
from scalarpath.backbones.interface import OF_THE_POTENTIAL, complete_options, option_names
from scalarpath.core.errors import ConfigError
from scalarpath.core.memory import memory_of_machine
from scalarpath.core.settings import Cutoff, Positive, Range, checked, checked_settings, read_settings
from scalarpath.heads import ScalarPathway, build_head, check_head
from scalarpath.heads.coulomb import FixedCharges
from scalarpath.heads.linear import LinearPotential

BYTES_PER_PARAMETER = 24  # in float32: itself, gradient, three moments of the optimizer, average
_FACTORIES = (torch.randn, torch.rand, torch.empty, torch.zeros, torch.ones, torch.eye, torch.arange)

OF_THE_LINEAR = ("n_species", "cutoff", "charged")  # arguments of LinearPotential that are no settings

Charge = Annotated[float, Range(at_least=-9, at_most=9)]

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True)
class PotentialSettings:
    """The keys of a potential's configuration, see ``build_potential``."""

    species: list[Annotated[int, Range(at_least=1, at_most=118)]]
    cutoff: Cutoff
    backbone: dict[str, Any]
    head: dict[str, Any]
    pair_cutoffs: dict[str, Cutoff | dict[str, Cutoff]] | None = None
    avg_num_neighbors: Positive | None = None
    dtype: Literal["float32", "float64"] = "float32"
    repulsion: Literal["zbl"] | None = None

    def __post_init__(self) -> None:
        if not self.species or sorted(set(self.species)) != self.species:
            raise ConfigError(f"species = {self.species} must be distinct atomic numbers in ascending order.")

    def cutoff_table(self) -> Tensor | None:
        """Cutoffs of the ordered pairs (centre, neighbour) of species: float64 [S, S], or None where all are equal."""
        if self.pair_cutoffs is None:
            return None
        symbols = [chemical_symbols[z] for z in self.species]
        table = torch.full((len(symbols), len(symbols)), self.cutoff, dtype=torch.float64)
        for centre, row in self.pair_cutoffs.items():
            for neighbour, value in (row if isinstance(row, Mapping) else dict.fromkeys(symbols, row)).items():
                for symbol in (centre, neighbour):
                    if symbol not in symbols:
                        raise ConfigError(f"pair_cutoffs: '{symbol}' is none of the elements {', '.join(symbols)}.")
                if value > self.cutoff:
                    raise ConfigError(
                        f"pair_cutoffs.{centre}.{neighbour} = {value} must lie in (0, cutoff = {self.cutoff}] Å."
                    )
                table[symbols.index(centre), symbols.index(neighbour)] = value
        return table


def potential_config(
    species: Sequence[int],
    backbone: Mapping[str, Any],
    head: Mapping[str, Any],
    dtype: str = "float32",
    repulsion: str | None = None,
) -> dict[str, Any]:
    """Configuration for ``build_potential`` from config groups; that of the backbone holds OF_THE_POTENTIAL."""
    return {
        "species": list(species),
        **{name: backbone.get(name) for name in OF_THE_POTENTIAL},
        "dtype": dtype,
        "backbone": {key: value for key, value in backbone.items() if key not in OF_THE_POTENTIAL},
        "head": head,
        "repulsion": repulsion,
    }


def build_networks(config: Mapping[str, Any], seed: int = 0) -> tuple[Backbone, ScalarPathway]:
    """Backbone, with the changes that the arm makes to it (``head.backbone``), and head of a configuration; float64.

    Raises ConfigError for a change to an option that the backbone does not have, and for unknown or impossible options.
    """
    backbone_options, head = _sections(config)
    with _Allocations():
        backbone = build_backbone(backbone_options, config["species"], float(config["cutoff"]), seed)
        return backbone, build_head(head, backbone.pathway, seed)


def check_options(config: Mapping[str, Any]) -> None:
    """Raise the ConfigError for options of backbone and head that are unknown, of a wrong type or out of range.

    Nothing is built, which takes longer and finds what does not fit together.
    """
    backbone, head = _sections(config)
    head.pop("widen", None)
    check_backbone(backbone)
    check_head(head)
    if config["head"].get("linear") is not None:
        checked_settings(LinearPotential, _linear_options(config)[0], "head.linear", OF_THE_LINEAR)


def backbone_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of the backbone that a configuration describes, with the changes of the arm, and its ``kind``."""
    return complete_options(_sections(config)[0])


def _sections(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The section of the backbone, with the changes of the arm, and the one of the head without its linear part."""
    head, options = dict(config["head"]), config["backbone"]
    head.pop("linear", None)  # see build_linear
    changes = checked(head.pop("backbone", None), dict[str, Any] | None, "head.backbone") or {}
    for name in changes:
        if name not in option_names(options.get("kind")):
            raise ConfigError(
                f"head '{head.get('name')}' sets backbone.{name}, which backbone '{options.get('kind')}' does not "
                "have; use this head with a backbone that has it."
            )
    return {**options, **changes}, head


def build_linear(config: Mapping[str, Any]) -> tuple[LinearPotential | None, FixedCharges | None]:
    """The linear potential of the section ``head.linear``, and its charges; None where there are none.

    Raises ConfigError for an unknown or impossible option.
    """
    if config["head"].get("linear") is None:
        return None, None
    options, charges = _linear_options(config)
    symbols = [chemical_symbols[z] for z in config["species"]]
    missing = sorted(set(symbols) - set(charges)) if charges is not None else []
    if missing:
        raise ConfigError(f"head.linear.charges has no charge for {missing[0]}; give one for each of {symbols}.")
    given = dict(zip(OF_THE_LINEAR, (len(symbols), float(config["cutoff"]), charges is not None), strict=True))
    linear = read_settings(LinearPotential, options, "head.linear", given)
    if charges is None:
        return linear, None
    return linear, FixedCharges(torch.tensor([charges[symbol] for symbol in symbols], dtype=torch.float64))


def _linear_options(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, float] | None]:
    """Options of the linear potential, and charges by symbol."""
    options = checked(config["head"]["linear"], dict[str, Any], "head.linear")
    return options, checked(options.pop("charges", None), dict[str, Charge] | None, "head.linear.charges")


class _Allocations(TorchFunctionMode):
    """Adds up the sizes of the arrays that are asked for, and refuses the one with which no memory would be left."""

    def __init__(self) -> None:
        super().__init__()
        self.values, self.most = 0, memory_of_machine() // BYTES_PER_PARAMETER

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _FACTORIES:
            sizes = args[0] if args and isinstance(args[0], Sequence) else args
            self.values += math.prod(size for size in sizes if isinstance(size, int))
            if self.values > self.most:
                raise ConfigError(
                    f"backbone and head would have more than {self.most:.2g} parameters, which this machine has no "
                    "memory to train; lower their widths, layers or degrees."
                )
        return func(*args, **(kwargs or {}))
