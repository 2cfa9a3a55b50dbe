"""The upstream packages on the same weights and the same device, as they are and with their GPU kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from scalarpath.cost.gpu.rows import Row, reason
from scalarpath.cost.peers.cases import KERNELS, Case
from scalarpath.cost.peers.comparison import compare_case
from scalarpath.cost.structures import structures

MODES = ("eager", KERNELS)


def planned_rows(case: Case) -> list[Row]:
    """The one row of a case."""
    return [{"part": "peers", "backbone": case.model, "head": "baseline", "mode": f"peer: {case.peer_mode}"}]


def peer_rows(setting: Mapping[str, Any], case: Case, python: str) -> Iterator[Row]:
    """Times and memory of the peer over ours; before that both have to predict the same."""
    row = planned_rows(case)[0]
    try:
        yield {**row, "case": asdict(case), **compare_case(case, structures(case.structure), python, setting["rounds"])}
    except Exception as error:
        yield {**row, **reason(error)}
