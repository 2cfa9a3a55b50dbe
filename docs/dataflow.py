"""Draws docs/dataflow.svg, how data flow through scalarpath: python docs/dataflow.py."""

from __future__ import annotations

from svg import SOFT, arrow, box, card, document, save, text

DATA, MODEL, HEAD, RUN, USE = "#e3edf6", "#dcefe3", "#fdebc8", "#ece6f5", "#f9e3e0"
LANES = [("Data", 10, 96), ("Model", 122, 232), ("Training", 370, 124), ("Results", 514, 116)]
HOOKS = {
    "edge_gate": "scales the edge weights",
    "edge_term": "adds to the edge weights",
    "pool": "changes the atom's sum",
    "readout": "adds to the energy",
}


def lanes() -> list[str]:
    """A pale band with its name for every stage."""
    bands = [box(8, y, 884, height, "#f8fafb", edge="#e2e8ed") for _, y, height in LANES]
    return bands + [text(20, y + 20, name, 12, bold=True, fill=SOFT, anchor="start") for name, y, _ in LANES]


def data() -> list[str]:
    """From files to graphs."""
    cards = [
        ("frames", ["extxyz, any ASE file"]),
        ("label audit", ["units, signs, missing = NaN"]),
        ("splits", ["random, blocks, groups, file"]),
        ("graphs", ["neighbour list once, cached"]),
    ]
    shapes = [card(86 + 201 * i, 28, 181, 60, DATA, *content) for i, content in enumerate(cards)]
    shapes += [arrow([(267 + 201 * i, 58), (286 + 201 * i, 58)]) for i in range(3)]
    return [*shapes, arrow([(779, 88), (779, 114), (192, 114), (192, 146)])]


def model() -> list[str]:
    """Backbone, head with its four hooks, energies and forces."""
    shapes = [
        card(86, 148, 212, 84, MODEL, "backbone", ["MACE | NequIP | Allegro", "or your own"]),
        card(366, 148, 200, 84, MODEL, "atomic energies", ["scale, shift, E0", "summed in float64"]),
        card(634, 148, 236, 84, MODEL, "energy, forces, stress", ["one gradient by positions", "and strain"]),
        arrow([(298, 190), (364, 190)]),
        arrow([(566, 190), (632, 190)]),
        box(86, 270, 784, 74, HEAD),
        text(98, 291, "head: the scalar pathway", 14, bold=True, anchor="start"),
        text(858, 291, "baseline | pan | pgs | panpgs | controls | your own parts", anchor="end"),
        arrow([(192, 234), (192, 268)], both=True),
        text(202, 256, "four hooks on the invariant (l = 0) channels", fill=SOFT, anchor="start"),
    ]
    for i, (hook, what) in enumerate(HOOKS.items()):
        x = 98 + 191.5 * i
        shapes += [box(x, 300, 186, 36, "white", edge="#e0b765"), text(x + 93, 315, hook, bold=True)]
        shapes.append(text(x + 93, 330, what, 11.5))
    return [*shapes, arrow([(870, 190), (881, 190), (881, 362), (176, 362), (176, 400)])]


def training() -> list[str]:
    """Loss, loop and run directory, once for every job of a sweep."""
    sweep = "sweep: backbones x heads x data x seeds, one process each"
    return [
        box(86, 380, 786, 108, "none", dash="5 4"),
        text(98, 483, sweep, 11.5, fill=SOFT, anchor="start"),
        card(98, 404, 156, 64, RUN, "loss and metrics", ["masked per label"]),
        card(284, 404, 156, 64, RUN, "Lightning loop", ["EMA, resume, DDP"]),
        box(475, 409, 214, 64, RUN),
        card(470, 404, 214, 64, RUN, "run directory", ["config, splits, metrics.csv,", "checkpoints, summary.json"]),
        card(716, 404, 144, 64, RUN, "loggers", ["W&B, CSV,", "TensorBoard"]),
        arrow([(254, 436), (282, 436)]),
        arrow([(440, 436), (468, 436)]),
        arrow([(362, 404), (362, 392), (788, 392), (788, 402)]),
        arrow([(577, 473), (577, 504), (176, 504), (176, 530)]),
        arrow([(779, 468), (779, 530)]),
    ]


def results() -> list[str]:
    """What is made of finished runs."""
    cards = [
        ("calculators", ["ASE, batches of", "structures"]),
        ("artifacts", ["walls, phonons, elasticity,", "smoothness, NVE, liquid"]),
        ("report", ["which head is best, how", "sure, at what cost; HTML"]),
        ("W&B dashboard", ["arms side by side,", "learning curves"]),
    ]
    shapes = [card(86 + 201 * i, 532, 181, 80, USE, *content) for i, content in enumerate(cards)]
    shapes += [arrow([(377 + 200 * i, 504), (377 + 200 * i, 530)]) for i in (0, 1)]
    return shapes + [arrow([(267 + 201 * i, 572), (286 + 201 * i, 572)]) for i in range(3)]


def picture() -> str:
    """The whole picture."""
    title = "How data flow: frames, graphs, backbone and head, training, run directory, results"
    return document(900, 640, title, [*lanes(), *data(), *model(), *training(), *results()])


if __name__ == "__main__":
    save(__file__, picture())
