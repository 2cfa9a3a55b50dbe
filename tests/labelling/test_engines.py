"""A missing engine is the package's error and says how to install it; the core never imports one."""

import importlib
import subprocess
import sys

import pytest

from scalarpath.core.errors import ConfigError, ScalarPathError
from scalarpath.labelling.__main__ import main
from scalarpath.labelling.engines import MissingEngineError, load_engine
from scalarpath.labelling.settings import crystal_settings


@pytest.fixture
def no_engines(monkeypatch):
    def refuse(name, package=None):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr("scalarpath.labelling.engines.import_module", refuse)


@pytest.mark.parametrize("engine", ["gpaw", "tblite.ase", "pyscf.dft", "matscipy.calculators.manybody"])
def test_a_missing_engine_says_how_to_install_it(no_engines, engine):
    with pytest.raises(MissingEngineError, match=r"pip install 'scalarpath\[labelling\]'") as caught:
        load_engine(engine)
    assert isinstance(caught.value, ScalarPathError)
    assert f"'{engine.split('.')[0]}'" in str(caught.value)


@pytest.mark.parametrize("command", [["label", "--system", "si"], ["curves", "--system", "ag"], ["ethanol"]])
def test_the_command_line_reports_it_and_writes_nothing(no_engines, command, tmp_path, capsys):
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "scalarpath[labelling]" in captured.err
    assert not list(tmp_path.rglob("*.extxyz"))


def test_an_unknown_system_names_the_known_ones():
    with pytest.raises(ConfigError, match="si, lif, ag"):
        crystal_settings("copper")


def test_the_recipe_imports_neither_torch_nor_an_engine():
    importlib.import_module("scalarpath.labelling.__main__")
    code = (
        "import sys, scalarpath.labelling.__main__; "
        "print([m for m in ('torch', 'gpaw', 'pyscf', 'tblite', 'matscipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
