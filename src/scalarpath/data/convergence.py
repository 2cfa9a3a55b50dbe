"""Which steps of a calculation's output are no labels: the electronic loop did not converge, or the job was cut off.

ASE's readers take such steps as they are.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Steps(NamedTuple):
    """``unconverged`` numbers, from 0, among the ``complete`` ones that ASE reads; ``cut_off``: one more has begun."""

    unconverged: set[int]
    complete: int
    cut_off: bool


def steps(path: Path, kind: str | None) -> Steps | None:
    """The steps of an output file of a format, by its name in ASE; None for formats that do not tell."""
    reader = _READERS.get(kind or "")
    return None if reader is None else reader(path)


def _outcar(path: Path) -> Steps:
    """VASP: a loop that used all NELM steps has not converged, though VASP then writes "EDIFF is reached" too."""
    limit, used, complete, unconverged = None, 0, 0, set()
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if limit is None and (found := re.match(r"\s*NELM\s*=\s*(\d+)", line)):
                limit = int(found[1])
            elif found := re.search(r"-- Iteration\s*\d+\(\s*(\d+)\)", line):
                used = int(found[1])
            elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
                if used == limit:
                    unconverged.add(complete)
                complete, used = complete + 1, 0
    return Steps(unconverged, complete, used > 0)


def _vasprun(path: Path) -> Steps:
    limit, begun, complete, unconverged = None, 0, 0, set()
    try:
        for event, element in ET.iterparse(path, events=("start", "end")):
            if element.tag == "i" and element.get("name") == "NELM" and event == "end":
                limit = int(element.text or 0)
            elif element.tag == "calculation" and event == "start":
                begun += 1
            elif element.tag == "calculation":
                if len(element.findall("scstep")) == limit:
                    unconverged.add(complete)
                complete += 1
                element.clear()
    except ET.ParseError:  # cut off, wherever that was
        pass
    return Steps(unconverged, complete, begun > complete)


def _espresso(path: Path) -> Steps:
    """Quantum ESPRESSO: a structure, as ASE counts them, begins with the program or its positions and has results."""
    results = (
        "!    total energy", "Forces acting on atoms", "total   stress", "Magnetic moment per site",
        "End of self-consistent calculation", "End of band structure calculation",
    )  # fmt: skip
    return _blocks(
        path, lambda line: "Program PWSCF" in line or "ATOMIC_POSITIONS" in line, results, "convergence NOT achieved"
    )


def _gpaw(path: Path) -> Steps:
    return _blocks(path, lambda line: line.lower() == "positions:\n", (), "did not converge")


def _blocks(path: Path, is_start: Callable[[str], bool], results: tuple[str, ...], failure: str) -> Steps:
    """Steps of a text in which every structure is a block; one without any of the ``results`` is not read by ASE."""
    blocks: list[tuple[bool, bool]] = []  # has results, has failed
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if is_start(line):
                blocks.append((not results, False))
            elif blocks:
                has, failed = blocks[-1]
                blocks[-1] = has or any(text in line for text in results), failed or failure.lower() in line.lower()
    read = [failed for has, failed in blocks if has]
    return Steps({number for number, failed in enumerate(read) if failed}, len(read), False)


_READERS: dict[str, Callable[[Path], Steps]] = {
    "vasp-out": _outcar,
    "vasp-xml": _vasprun,
    "espresso-out": _espresso,
    "gpaw-out": _gpaw,
}
