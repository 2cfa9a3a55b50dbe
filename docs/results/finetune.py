"""Draw docs/results/finetune.svg: python docs/results/finetune.py

From finetune.csv, and from the runs of the evidence for training from scratch on all frames.
"""

from __future__ import annotations

import csv
from pathlib import Path
from statistics import mean

import matplotlib.pyplot as plt

from scalarpath.core.figures import SERIES, STYLE

HERE = Path(__file__).parent
FORCES = "test/forces_mae_meV_A"
RATE, MOST_STEPS = "0.01", 140  # of the fine-tuned runs that are compared
MATERIALS = {"si": "silicon", "lif": "LiF", "ag": "silver"}
ARMS = {"SevenNet-0, fine-tuned": "baseline", "the same with panpgs": "panpgs", "MACE from scratch": "scratch"}


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a table."""
    with path.open() as file:
        return list(csv.DictReader(file))


def arm_of(row: dict[str, str]) -> str | None:
    """Which arm a row of finetune.csv belongs to; none for another learning rate or more steps."""
    if row["init_from"] == "none":
        return "scratch"
    return row["head"] if row["optimizer.lr"] == RATE and int(row["steps"]) <= MOST_STEPS else None


def main() -> None:
    """A panel for each material: the mean over seeds, and every seed."""
    points: dict[tuple[str, str], dict[int, list[float]]] = {}
    for row in read(HERE / "finetune.csv"):
        if arm := arm_of(row):
            points.setdefault((row["data"], arm), {}).setdefault(int(row["train frames"]), []).append(
                float(row[FORCES])
            )
    for row in read(HERE.parent / "evidence/runs.csv"):
        if row["head"] == "baseline":
            scratch = points.setdefault((row["data"], "scratch"), {})
            scratch.setdefault(int(row["train_frames"]), []).append(float(row[FORCES]))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
        for axis, (short, material) in zip(axes, MATERIALS.items(), strict=True):
            for colour, (label, arm) in zip(SERIES, ARMS.items(), strict=False):
                found = dict(sorted(points[short, arm].items()))
                axis.plot(list(found), [mean(values) for values in found.values()], "o-", color=colour, label=label)
                for frames, values in found.items():
                    axis.plot([frames] * len(values), values, ".", color=colour, alpha=0.5)
            axis.set_xscale("log")
            axis.set_yscale("log")
            axis.set_xticks([10, 30, 90], ["10", "30", "90"])
            axis.set_yticks([10, 20, 50, 100, 200], ["10", "20", "50", "100", "200"])
            axis.minorticks_off()
            axis.set_xlabel("train frames")
            axis.set_title(material)
        axes[0].set_ylabel("force error, test (meV/Å)")
        axes[-1].legend()
        figure.savefig(HERE / "finetune.svg")


if __name__ == "__main__":
    main()
