"""Reading (extended) XYZ files frame by frame, so that every frame is found and nothing of it is lost.

ASE's own loop stops at a blank line without a word, cannot say which frame is malformed, and keeps six of the nine
numbers of a stress.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.io.extxyz import key_val_str_to_dict, read_xyz

from scalarpath.core.errors import DataError

NUMBERS = ("pos", *all_properties)  # columns that ASE makes numbers, whatever they are declared as


def frame_texts(path: Path, name: str) -> Iterator[str]:
    """The text of every frame of ``path``, which errors call ``name``; blank lines between frames are skipped.

    Raises DataError for a frame that is cut short, and where the number of atoms of a frame should stand and does not.
    """
    with path.open(encoding="utf-8", errors="replace") as stream:
        lines = enumerate(stream, start=1)
        frame, pending = 0, next(lines, None)
        while pending is not None:
            (line_number, header), pending = pending, None
            if header.strip():
                if not header.strip().isdecimal():
                    # the frame before it has too many lines, or too few and took the number of this one as an atom
                    raise DataError(
                        f"{name}, frame {max(frame - 1, 0)}: cut short or malformed (line {line_number} should be the "
                        f"number of atoms of the next frame, not {header.strip()[:40]!r}); repair or remove this frame."
                    )
                n_lines = 1 + int(header)
                body = [line for _, (_, line) in zip(range(n_lines), lines, strict=False)]
                if len(body) < n_lines:
                    raise DataError(
                        f"{name}, frame {frame}: cut short or malformed (line {line_number} announces {int(header)} "
                        f"atoms, but the file ends after {max(len(body) - 1, 0)}); repair or remove this frame."
                    )
                pending = next(lines, None)
                while pending is not None and pending[1].lstrip().startswith("VEC"):  # cell vectors after the atoms
                    body.append(pending[1])
                    pending = next(lines, None)
                yield header + "".join(body)
                frame += 1
            if pending is None:
                pending = next(lines, None)


def atoms_of(text: str) -> Atoms:
    """The structure that the text of one frame describes, with all nine numbers of a stress where it has nine.

    Raises ValueError where positions or labels are declared as true or false, which ASE would read as 0 and 1.
    """
    comment = text.split("\n", 2)[1]
    for name, kind in re.findall(r"([^\s:=\"]+):([A-Z]):\d+", comment):
        if kind == "L" and name in NUMBERS:
            raise ValueError(f"its column '{name}' is declared as logical (L) instead of real (R)")
    atoms = next(read_xyz(io.StringIO(text), 0))
    results: dict[str, Any] = getattr(atoms.calc, "results", {})
    if "stress" in results:
        stress = np.asarray(key_val_str_to_dict(comment)["stress"])
        if stress.shape == (3, 3):
            results["stress"] = stress
    return atoms
