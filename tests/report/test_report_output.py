"""What a report leaves behind, and report.py as a user meets it."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from synthetic_runs import SPREAD, about, frame, write_arm, write_run, write_unfinished

from scalarpath import report
from scalarpath.artifacts.rows import Row
from scalarpath.core.errors import ConfigError, ReportError
from scalarpath.core.resources import CONF_DIR
from scalarpath.report import dashboard
from scalarpath.report.aggregate import Aggregate
from scalarpath.report.table import with_minus

ROOT = Path(__file__).parents[2]
FIGURES = (
    "effects_forces", "effects_energy", "effects_stress", "gain_map", "seeds_forces", "learning_curves",
    "cost_and_gain", "phonons_si_mace_si",
)  # fmt: skip


def write(*overrides: str) -> Aggregate:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return report.run(compose("report", ["bootstrap.samples=200", *overrides]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """Two data sets, three arms, two seeds; frames, artifacts, costs, a failed run with markup in its message."""
    folder = tmp_path_factory.mktemp("runs")
    for arm, factor in {"baseline": 1.0, "panpgs": 0.7, "ctrl_mlp": 0.95}.items():
        cost = {"flops/inference": 1e6 / factor, "overhead/inference_ratio": 1.1}
        for seed in (0, 1):
            rows = [frame(k, str(k), 4, factor * 2, factor * (50 + 9 * k * (1 + seed)), factor) for k in range(12)]
            path = write_run(folder, arm, seed, frames=rows, summary=cost)
            (path / "artifacts").mkdir()
            row = asdict(Row("X_T_THz", "X_T", "THz", 3.0 - factor / 10 - seed, 3.0, -0.03, relative=True))
            bands = {"band_distance": [0, 1], "band_frequency_THz": [[0, 5], [3, 4]]}
            bands |= {"band_tick_distance": [0, 1], "band_tick_labels": ["G", "X"]}
            content = {"measure": "phonons", "material": "si", "results": {"model": bands, "reference": None}}
            content |= {"rows": [row | {"low": None, "high": None}]}
            (path / "artifacts/phonons.json").write_text(json.dumps(content))
            (path / "artifacts/summary.json").write_text("{}")
    for arm, percent in {"baseline": 0, "panpgs": -5}.items():
        write_arm(folder, arm, about(percent)[:2], data="ag")
    write_unfinished(folder / "bad", "failed", "<script>alert(1)</script>")
    return folder


@pytest.fixture(scope="module")
def written(runs: Path, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("out") / "new/report"
    write(f"runs={runs}", f"output={folder}", "claims=published")
    return folder


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_everything_is_there_and_nothing_half_written(written: Path) -> None:
    names = {"report.html", "report.md", "runs.csv", "effects.csv", "groups.csv", "other_frames.csv", "artifacts.csv"}
    names |= {"seeds_energy.svg", "seeds_stress.svg"}
    assert {path.name for path in written.iterdir()} == names | {f"{name}.svg" for name in FIGURES}


class Tags(HTMLParser):
    """Open tags, ids and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.seen: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self._attributes(attrs)

    def _attributes(self, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [str(value) for name, value in attrs if name == "id"]
        self.addresses += [str(value) for name, value in attrs if name in ("href", "src", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_one_sound_file_that_fetches_nothing(written: Path) -> None:
    text = (written / "report.html").read_text()
    tags = Tags(text)
    assert tags.open == []
    assert not tags.seen & {"script", "link", "img", "iframe"}
    assert all(address.startswith("#") for address in tags.addresses)
    assert "@import" not in text
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", text))


def test_ids_of_the_page_are_unique_and_those_referred_to_exist(written: Path) -> None:
    text = (written / "report.html").read_text()
    tags = Tags(text)
    assert len(tags.ids) == len(set(tags.ids))
    referred = {address[1:] for address in tags.addresses} | set(re.findall(r"url\(#([^)]*)\)", text))
    assert referred
    assert referred <= set(tags.ids)


def test_the_page_fits_phones_and_dark_screens(written: Path) -> None:
    text = (written / "report.html").read_text()
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text
    assert "#0a0b0c" not in text  # text of figures takes the colour of the page


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Path:
    """A report on heads and data whose names mean something in HTML, Markdown, TeX or to matplotlib."""
    folder = tmp_path_factory.mktemp("odd")
    for number, arm in enumerate(
        ("baseline", "<script>alert(1)</script>", "a|b\n# c", "`d`", "$x^{$", "_e", "[f](http://g)")
    ):
        names = {"data.name": "**data|<b>", "head.name": arm}
        write_run(folder / "runs", f"arm{number}", settings=names, summary={"data": "**data|<b>", "head": arm})
    write(f"runs={folder}/runs", f"output={folder}/out")
    return folder / "out"


def test_what_runs_say_is_escaped(written: Path, odd: Path) -> None:
    assert "failed: &lt;script&gt;alert(1)&lt;/script&gt;." in (written / "report.html").read_text()
    assert "failed: &lt;script&gt;alert(1)&lt;/script&gt;." in (written / "report.md").read_text()
    page = (odd / "report.html").read_text()
    assert not Tags(page).seen & {"script", "b", "a"}
    text = (odd / "report.md").read_text()
    assert not re.search(r"<script|<b>|http://|^# c", text, flags=re.MULTILINE)
    for shown in (
        "&lt;script&gt;alert(1)&lt;/script&gt;", r"a\|b # c", r"\`d\`", r"\$x^{\$", r"\_e", r"[f]\(http&#58;//g)",
        r"\*\*data\|&lt;b&gt;",
    ):  # fmt: skip
        assert f"| {shown} |" in text
    whole_tables(text)
    assert all(f">{arm}<" in (odd / "seeds_forces.svg").read_text() for arm in ("_e", "`d`", "$x^{$"))


def test_claims_of_a_paper_are_judged_only_when_asked_for(written: Path, odd: Path) -> None:
    for name in ("report.html", "report.md"):
        text = (written / name).read_text()
        assert text.index("has the lowest force MAE") < text.index("Claims of arXiv")
        for words in ("Claims of", "about +5 %", "published", "arXiv"):
            assert words in text
            assert words not in (odd / name).read_text()


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_both_documents_hold_verdicts_reasons_tables_and_runs(written: Path, runs: Path, name: str) -> None:
    text = (written / name).read_text()
    for words in (
        "2 of 5 seeds against baseline",
        "panpgs has the lowest force MAE; against baseline: −30.0 % [",
        "It costs, against baseline: inference +10.0 %, operations +42.9 %",
        "Physical artifacts, si × mace",
        "panpgs / ctrl_mlp: force",
        "cannot fall below 0.5 with 2 pairs",
        "ag × mace: no bootstrap interval, 4 of 4 runs lack test_frames.csv.",
        str(runs / "si_mace_panpgs_1"),
        "revision",
        "all data sets",
    ):
        assert words in text


def whole_tables(text: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1


def test_the_markdown_has_whole_tables_and_its_figures_beside_it(written: Path) -> None:
    text = (written / "report.md").read_text()
    whole_tables(text)
    figures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert len(figures) == 10
    for figure in figures:
        root = ElementTree.parse(written / figure).getroot()
        assert root[0].attrib["fill"] == "white"  # readable on a dark page


def test_artifacts_are_means_and_deviations_over_seeds(written: Path) -> None:
    # baseline: 2.9 and 1.9; panpgs: 2.93 and 1.93
    assert (
        "| phonons | X_T (THz) | 3 | 2.43 ± 0.71 | 2.405 ± 0.71 | 2.4 ± 0.71 |" in (written / "report.md").read_text()
    )


def test_artifacts_csv_has_a_row_per_run_and_quantity(written: Path) -> None:
    rows = {(row["arm"], row["seed"]): row for row in read_csv(written / "artifacts.csv")}
    assert set(rows) == {(arm, seed) for arm in ("baseline", "ctrl_mlp", "panpgs") for seed in ("0", "1")}
    row = rows["baseline", "0"]
    assert (row["key"], float(row["model"]), float(row["error"]), row["low"]) == ("X_T_THz", 2.9, -0.03, "")


def test_runs_csv_has_a_row_per_run(written: Path) -> None:
    rows = read_csv(written / "runs.csv")
    assert len(rows) == 10
    row = next(row for row in rows if (row["data"], row["head"], row["seed"]) == ("ag", "baseline", "1"))
    assert float(row["test/forces_mae_meV_A"]) == pytest.approx(110 * math.exp(SPREAD[1]))
    assert row["revision"] == "aaaaaaa"
    assert row["flops/inference"] == ""  # unknown, not zero


def test_effects_csv_has_every_comparison_with_its_pairs(written: Path) -> None:
    rows = read_csv(written / "effects.csv")
    assert {row["statistic"] for row in rows} == {"mae", "rmse"}
    row = next(
        row for row in rows if row["data"] == "si" and row["reference"] == "ctrl_mlp" and row["prop"] == "forces"
    )
    assert float(row["percent"]) == pytest.approx(100 * (0.7 / 0.95 - 1))
    assert row["seeds"] == "0 1"
    assert len(row["log_ratios"].split()) == 2
    ag = next(row for row in rows if row["data"] == "ag")
    assert ag["bootstrap_low"] == ""


def test_the_same_runs_give_the_same_figures(runs: Path, written: Path, tmp_path: Path) -> None:
    write(f"runs={runs}", f"output={tmp_path}/again", "claims=published")
    for name in FIGURES:
        assert (tmp_path / f"again/{name}.svg").read_bytes() == (written / f"{name}.svg").read_bytes()


def test_the_terminal_shows_effects_verdicts_notes_and_paths(runs: Path, tmp_path: Path, capsys) -> None:
    write(f"runs=[{runs}]", f"output={tmp_path}/out", "claims=published")
    shown = capsys.readouterr().out
    first, answer, _ = re.split(r"\n(?=all data sets × mace: )|\n(?=ag × mace: undecided)", shown, maxsplit=2)
    assert "note: ag × mace: how much the effect of a head varies between seeds is not known" in first
    assert answer.startswith("all data sets × mace: undecided. panpgs has the lowest force MAE; against")
    assert re.search(r"│ ag +│ mace +│ panpgs +│ baseline +│ +2 │ +-5\.0 \[", shown)
    assert re.search(r"│ few added operations +│ si +│ mace +│ about \+5 % +│ \+42\.9 % +│ not replicated", shown)
    assert "note: " in shown
    assert f"{tmp_path}/out/report.html" in shown


def test_a_run_without_its_curves_is_damaged(tmp_path: Path) -> None:
    (write_run(tmp_path) / "metrics.csv").unlink()
    with pytest.raises(ReportError, match=r"metrics\.csv is missing"):
        write(f"runs={tmp_path}", f"output={tmp_path}/out")
    assert not (tmp_path / "out").exists()


def test_a_refusal_writes_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "runs/a", "baseline")
    write_run(tmp_path / "runs/b", "panpgs", settings={"optimizer.lr": 0.5})
    with pytest.raises(ReportError, match=r"optimizer\.lr"):
        write(f"runs={tmp_path}/runs", f"output={tmp_path}/out")
    assert not (tmp_path / "out").exists()


def test_wandb_saves_the_dashboard_of_the_chosen_project_after_all_is_written(
    runs: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    def publish(entity: str | None, project: str) -> str:
        assert (tmp_path / "out/report.html").is_file()
        return f"https://wandb.example/{entity}/{project}"

    monkeypatch.setattr(dashboard, "publish", publish)
    write(f"runs={runs}", f"output={tmp_path}/out", "wandb=true", "dashboard.entity=us", "dashboard.project=silver")
    assert "https://wandb.example/us/silver" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("runs=null", "give runs="),
        ("+run=x", "config has no setting 'run'"),
        ("+bootstrap.draws=3", "bootstrap has no setting 'draws'"),
        ("bootstrap.samples=0", "bootstrap.samples must be at least 1"),
        ("claims=mine", "claims must be published or null"),
        ("where=3", "where must be a group of settings, not 3"),
        (
            "where=data:si",
            "where must be a group of settings, not 'data:si'; in a shell a group is quoted: 'where={a: 1",
        ),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        write(f"runs={tmp_path}", override)


def test_a_report_is_never_written_into_a_run(runs: Path) -> None:
    with pytest.raises(ConfigError, match="is the directory of a run"):
        write(f"runs={runs}", f"output={runs}/si_mace_panpgs_0")


def test_minus_signs_stand_before_numbers_only() -> None:
    assert with_minus("-1.5 [-2, +3] 12-00-00_si x-3 a -4") == "−1.5 [−2, +3] 12-00-00_si x-3 a −4"


def test_the_command_chooses_runs_and_reports_an_error_as_one_line(runs: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}

    def command(*overrides: str) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, str(ROOT / "report.py"), f"runs={runs}", "bootstrap.samples=50", *overrides]
        return subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True)

    good = command("where={data:ag,trainer.max_epochs:3}", "output=out")
    assert good.returncode == 0, good.stderr
    assert len(read_csv(tmp_path / "out/runs.csv")) == 4
    bad = command("where={data:unknown}")
    assert bad.returncode == 2
    assert re.fullmatch(r"error: runs=.*no finished run that where= selects is there.*\n", bad.stderr)
    assert not (tmp_path / "outputs").exists()
