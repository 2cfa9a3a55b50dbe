"""What benchmark.py is told: one sentence for a wrong value, before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.cost.settings import BenchmarkSettings


def read(*overrides: str) -> BenchmarkSettings:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return BenchmarkSettings.from_hydra(compose("benchmark", ["output=x.json", *overrides]))


def test_one_value_stands_for_a_list_of_one() -> None:
    found = read("suite=peers", "peers.mace=x", "threads=[1,2]", "structures=si64", "cases=nequip_S")
    assert (found.threads, found.structures, found.cases) == ([1, 2], ["si64"], ["nequip_S"])
    assert read().threads == [1]
    assert read().cases is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("suite=head", r"suite must be one of heads, .*, not 'head' \(did you mean 'heads'\?\)"),
        ("rounds=0", "rounds must be at least 1"),
        ("threads=[1,2]", r"threads = \[1, 2\] must be one number"),
        ("threads=1.5", "threads must be a list, not 1.5"),
        ("dtype=half", "dtype must be one of float32, float64"),
        ("dtypes=[half]", "dtypes must be one of float32, float64"),
        ("device=cdu", "device must be cpu, mps, cuda or cuda:<number>, not 'cdu'"),
        ("scale.cells=[0]", "scale.cells must be at least 1"),
        ("scale.cells=[]", "scale.cells is empty"),
        ("suite=peers", r"suite=peers: no peer is given; .*pip install mace-torch.*peers.mace=PEER/bin/python"),
        ("suite=accuracy", "suite=accuracy: no peer is given"),
        ("+peers.allegro=x", r"peers has no setting 'allegro'.*; known settings: mace, nequip"),
    ],
)
def test_a_wrong_value_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(override)


def test_a_wrong_value_is_told_on_the_command_line_before_torch_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from scalarpath.cli import benchmark\n"
        "try: benchmark()\nexcept SystemExit as stop: sys.exit(stop.code + 100 * ('torch' in sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, "rounds=0"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (2, "error: rounds must be at least 1, not 0.\n")
