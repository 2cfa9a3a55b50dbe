"""An optional package that is not installed: one sentence says how to get it."""

import importlib
import sys

import pytest
from samples import make_potential, quartz_like

from scalarpath.core.errors import ConfigError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.deploy.openmm import openmm_force


def test_openmm(monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(ConfigError, match=r"pip install 'scalarpath\[openmm\]'"):
        openmm_force(ScalarPathCalculator(make_potential("baseline")), quartz_like())


def test_torchsim(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_sim", None)
    monkeypatch.delitem(sys.modules, "scalarpath.deploy.torchsim", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'scalarpath\[torchsim\]'"):
        importlib.import_module("scalarpath.deploy.torchsim")
