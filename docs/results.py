"""Collects finished runs into a table and a figure of their learning curves.

    python docs/results.py outputs/multirun/2026-11-22_12-00-00 docs/results/si

writes docs/results/si.csv (one row per run, test errors) and docs/results/si.svg (validation errors by epoch).
"""

import csv
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

METRICS = {
    "energy_mae_meV_atom": "energy MAE (meV/atom)",
    "forces_mae_meV_A": "forces MAE (meV/Å)",
    "stress_mae_meV_A3": "stress MAE (meV/Å³)",
}
COLOURS = ["#33475b", "#d1495b", "#2a9d8f", "#e9a23b", "#7b5ea7", "#5aa9e6", "#8d6b48"]
LINE_STYLES = ["-", "--", ":"]


def rows(runs: list[Path]) -> list[dict[str, str | float]]:
    """One row per run: which it was, and its test errors."""
    table = []
    for run in runs:
        summary = json.loads((run / "summary.json").read_text())
        row = {key: summary[key] for key in ("data", "backbone", "head", "seed", "epochs", "steps", "best_epoch")}
        row["parameters"] = summary["parameters/total"]
        wanted = ("energy", "forces", "stress")
        row |= {k: round(v, 4) for k, v in summary.items() if k.startswith("test/") and k[5:].split("_")[0] in wanted}
        row |= {k: round(v, 4) for k, v in summary.items() if k == "trivial/forces_rmse_meV_A" or k == "time/wall_s"}
        row["config_hash"], row["data_hash"] = summary["hash/config"][:12], summary["hash/data"][:12]
        table.append(row)
    return table


def curves(runs: list[Path], file: Path) -> None:
    """Validation errors of every run by epoch, one colour per head, one line style per backbone."""
    arms = [json.loads((run / "summary.json").read_text()) for run in runs]
    heads, backbones = (list(dict.fromkeys(arm[key] for arm in arms)) for key in ("head", "backbone"))
    present = [m for m in METRICS if f"val/{m}" in next(csv.DictReader((runs[0] / "metrics.csv").open()))]
    plt.rcParams["svg.hashsalt"] = "scalarpath"
    figure, axes = plt.subplots(1, len(present), figsize=(3.5 * len(present), 3.0), layout="constrained")
    for run, arm in zip(runs, arms, strict=True):
        style = {"color": COLOURS[heads.index(arm["head"])], "ls": LINE_STYLES[backbones.index(arm["backbone"])]}
        table = list(csv.DictReader((run / "metrics.csv").open()))
        for axis, metric in zip(axes, present, strict=True):
            values = [float(row[f"val/{metric}"]) for row in table]
            axis.semilogy([int(row["epoch"]) for row in table], values, **style, lw=1.2)
            axis.set(xlabel="epoch", title=METRICS[metric])
    lines = [plt.Line2D([], [], color=colour, label=head) for head, colour in zip(heads, COLOURS, strict=False)]
    if len(backbones) > 1:
        styles = zip(backbones, LINE_STYLES, strict=False)
        lines += [plt.Line2D([], [], color="black", ls=style, label=backbone) for backbone, style in styles]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """Read the folder of runs given first, write the files named second."""
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    runs = sorted(path.parent for path in folder.rglob("summary.json"))
    out.parent.mkdir(parents=True, exist_ok=True)
    table = rows(runs)
    with out.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    curves(runs, out.with_suffix(".svg"))


if __name__ == "__main__":
    main()
