"""Draw docs/evidence/where_it_pays.svg from linear.csv: python docs/results/where_it_pays.py

Change of the force error on validation frames against baseline of the same seed: geometric mean over seeds, and range.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import matplotlib.pyplot as plt

from scalarpath.core.figures import SERIES, STYLE

HERE = Path(__file__).parent
FORCES = "valid_frames/forces_mae_meV_A"
MATERIALS = {"silver": ("ag", "linear"), "LiF": ("lif", "ionic"), "silicon": ("si", "linear")}
PUBLISHED = "mace (correlation 2, cutoff 6)"
# panel: place on its axis -> (what the set is called after the material, backbone, epochs)
PANELS = {
    "epochs": {"20": ("", "mace", 20), "80": ("", "mace", 80), "320": ("", "mace", 320)},
    "train frames": {
        "22": (" (22 train frames)", "mace", 80),
        "43": (" (43 train frames)", "mace", 80),
        "90": ("", "mace", 80),
    },
    "network": {
        "MACE": ("", "mace", 80),
        "64 channels": ("", "mace (64 channels)", 80),
        "published\nsettings": ("", PUBLISHED, 80),
        "NequIP": ("", "nequip", 80),
        "Allegro": ("", "allegro", 80),
    },
}


def changes(rows: list[dict[str, str]], name: str, head: str, backbone: str, epochs: int) -> list[float]:
    """Percent, of every seed that both arms have."""
    chosen = [row for row in rows if (row["set"], row["backbone"], row["epochs"]) == (name, backbone, str(epochs))]
    arms = {
        arm: {row["seed"]: float(row[FORCES]) for row in chosen if row["head"] == arm} for arm in ("baseline", head)
    }
    return [math.log(arms[head][seed] / arms["baseline"][seed]) for seed in arms[head].keys() & arms["baseline"].keys()]


def main() -> None:
    """Draw all panels."""
    with (HERE / "linear.csv").open() as file:
        rows = list(csv.DictReader(file))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, width_ratios=[3, 3, 5], layout="constrained")
        for axis, (title, places) in zip(axes, PANELS.items(), strict=True):
            for colour, (material, (short, fitted)) in zip(SERIES, MATERIALS.items(), strict=False):
                for head, style in ((fitted, "o-"), ("panpgs", "x:"), ("pan_node", "P:")):
                    found = {
                        x: values
                        for x, (suffix, backbone, epochs) in enumerate(places.values())
                        if (values := changes(rows, short + suffix, head, backbone, epochs))
                    }
                    style = style if title != "network" else style[0]
                    mean = [100 * math.expm1(sum(values) / len(values)) for values in found.values()]
                    axis.plot(list(found), mean, style, color=colour, label=f"{head}, {material}")
                    for x, values in found.items():
                        axis.plot(
                            [x, x], [100 * math.expm1(end(values)) for end in (min, max)], color=colour, alpha=0.4
                        )
            axis.axhline(0.0, color="0.5", linewidth=0.8)
            axis.set_xticks(range(len(places)), list(places))
            axis.set_xlim(-0.4, len(places) - 0.6)
            axis.set_title(title)
        axes[0].set_ylabel("change of the force error, %")
        axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        figure.savefig(HERE.parent / "evidence/where_it_pays.svg")


if __name__ == "__main__":
    main()
