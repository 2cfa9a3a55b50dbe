"""Draws docs/dataflow.svg: python docs/dataflow.py."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

INK, LINE = "#1b2733", "#5b6b7a"
FILL = {"data": "#e8eef4", "model": "#dff0e6", "head": "#fdeccf", "out": "#ece7f6"}
BOXES = {  # name: (x, y, width, text, kind)
    "file": (0.0, 4.0, 2.3, "frames\nextxyz, anything ASE reads", "data"),
    "audit": (3.0, 4.0, 2.3, "label audit\nunits, signs, missing = NaN", "data"),
    "split": (6.0, 4.0, 2.3, "splits\nrandom, time blocks, groups", "data"),
    "graph": (9.0, 4.0, 2.3, "graphs\nneighbours once, cached", "data"),
    "backbone": (9.0, 2.2, 2.3, "backbone\nMACE", "model"),
    "head": (5.4, 2.2, 2.9, "head: scalar pathway\nedge gate, edge term, pool, readout", "head"),
    "energy": (9.0, 0.4, 2.3, "atomic energies\nscale, shift, E0 (float64)", "model"),
    "derive": (5.7, 0.4, 2.3, "one gradient\nforces, stress", "model"),
    "train": (2.85, 0.4, 2.15, "loss, metrics\nLightning loop", "out"),
    "run": (0.0, 0.4, 2.15, "run directory\ncheckpoints, summary.json", "out"),
    "ase": (0.0, 2.2, 2.15, "ASE calculator\nmd, phonons, relaxation", "out"),
}
ARROWS = [
    ("file", "audit"), ("audit", "split"), ("split", "graph"), ("graph", "backbone"), ("backbone", "energy"),
    ("energy", "derive"), ("derive", "train"), ("train", "run"), ("run", "ase"),
]  # fmt: skip
HEIGHT = 0.95


def anchor(name: str, towards: str) -> tuple[float, float]:
    """Middle of the side of a box that faces another box."""
    x, y, width, *_ = BOXES[name]
    ox, oy, *_ = BOXES[towards]
    if abs(oy - y) > 0.5:
        return x + width / 2, y + (HEIGHT if oy > y else 0.0)
    return (x + width if ox > x else x), y + HEIGHT / 2


def arrow(axes: plt.Axes, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
    """One arrow between two points."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle=style, mutation_scale=11, color=LINE, lw=1.2, shrinkA=2, shrinkB=2)
    )


def main() -> None:
    """Draw the picture."""
    plt.rcParams.update({"font.family": "sans-serif", "svg.fonttype": "none", "svg.hashsalt": "scalarpath"})
    figure, axes = plt.subplots(figsize=(10.6, 4.9))
    for x, y, width, text, kind in BOXES.values():
        shape = "round,pad=0,rounding_size=0.12"
        axes.add_patch(FancyBboxPatch((x, y), width, HEIGHT, boxstyle=shape, fc=FILL[kind], ec=LINE, lw=1.0))
        title, rest = text.split("\n")
        axes.text(x + width / 2, y + 0.62, title, ha="center", va="center", fontsize=10, weight="bold", color=INK)
        axes.text(x + width / 2, y + 0.30, rest, ha="center", va="center", fontsize=7.6, color=INK)
    for source, target in ARROWS:
        arrow(axes, anchor(source, target), anchor(target, source), "-|>")
    arrow(axes, anchor("backbone", "head"), anchor("head", "backbone"), "<|-|>")
    axes.text(8.65, 2.83, "l = 0", ha="center", fontsize=8, color=LINE)
    axes.set(xlim=(-0.1, 11.4), ylim=(0.2, 5.15))
    axes.axis("off")
    figure.savefig(Path(__file__).with_name("dataflow.svg"), bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    main()
