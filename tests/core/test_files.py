"""Nothing that the program has not written is replaced or removed by it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from scalarpath.core.errors import ConfigError
from scalarpath.core.files import write_json
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost.output import prepare_output
from scalarpath.cost.settings import BenchmarkSettings
from scalarpath.data.split_report import write_key_table
from scalarpath.evaluation.output import refuse_foreign_files
from scalarpath.report.command import _is_report


def benchmark(output: Path, suite: str = "heads") -> None:
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        prepare_output(BenchmarkSettings.from_hydra(compose("benchmark", [f"suite={suite}", f"output={output}"])))


@pytest.mark.parametrize("text", ["", "\\documentclass{article}", "[1]", "3", '{"a": 1}'])
def test_a_benchmark_does_not_replace_a_foreign_file(tmp_path: Path, text: str) -> None:
    file = tmp_path / "thesis.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"output: .*thesis.json is there and was not written by this program"):
        benchmark(file)
    assert file.read_text() == text


def test_a_benchmark_replaces_its_own_files_and_no_figure_of_others(tmp_path: Path) -> None:
    benchmark(tmp_path / "new/heads.json")
    assert not list((tmp_path / "new").iterdir())
    for name, content in (
        ("heads", {"structure": "si64", "backbone": {}, "arms": {}}),
        ("scale", {"suite": "scale"}),
    ):
        write_json(tmp_path / f"{name}.json", content)
        (tmp_path / f"{name}.svg").touch()
        benchmark(tmp_path / f"{name}.json", name)
    (tmp_path / "scale.json").unlink()
    with pytest.raises(ConfigError, match=r"scale.svg is there"):
        benchmark(tmp_path / "scale.json", "scale")


def test_a_place_where_nothing_can_be_written_is_refused_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"output = .* is not writable: .*; choose another one"):
        benchmark(tmp_path / "file/heads.json")


@pytest.mark.parametrize("name", ["rdf.png", "rdf.json", "summary.json", "test_errors.json"])
def test_an_evaluation_does_not_replace_foreign_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(ConfigError, match=f"output_dir: .*{name} is there and was not written by this program"):
        refuse_foreign_files(tmp_path, ["rdf"])


def test_an_evaluation_replaces_those_of_an_earlier_one(tmp_path: Path) -> None:
    for name, content in (
        ("rdf", {"measure": "rdf"}),
        ("summary", {"artifact/rdf/onset_A": 1.0}),
        ("test_errors", {"run": "a"}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "rdf.png").touch()
    for summary in ('{"artifact/rdf/onset_A": 1.0}', "{}"):
        (tmp_path / "summary.json").write_text(summary)
        before = {file.name: file.read_text() for file in tmp_path.iterdir()}
        refuse_foreign_files(tmp_path, ["rdf"])  # lets them be replaced, and leaves that to who writes them
        assert {file.name: file.read_text() for file in tmp_path.iterdir()} == before


def test_a_report_is_known_by_its_text() -> None:
    assert _is_report("# Report\n\n    python report.py\n\nProgram: revision abc.\n")
    assert not _is_report("# My thesis\n")


def test_the_table_of_keys_does_not_replace_a_foreign_file(tmp_path: Path) -> None:
    write_key_table([], tmp_path / "keys.csv")
    write_key_table([], tmp_path / "keys.csv")
    (tmp_path / "other.csv").write_text("a,b\n")
    with pytest.raises(ConfigError, match=r"--out: .*other.csv is there"):
        write_key_table([], tmp_path / "other.csv")
