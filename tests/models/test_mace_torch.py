"""format=mace: mace-torch's own calculator computes the same from the file, and what it cannot hold is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from samples import SMALL_MACE, head_config, make_potential, quartz_like, silanol

from scalarpath.core.errors import ConfigError, UpstreamError
from scalarpath.deploy import ScalarPathCalculator
from scalarpath.models.export import run
from scalarpath.models.mace_torch import write_mace_torch
from scalarpath.models.settings import ExportSettings
from scalarpath.potential import Potential, build_potential, load_potential
from scalarpath.upstream import from_upstream
from scalarpath.upstream.command import read_upstream
from scalarpath.upstream.mace import export_mace

VARIANTS = {
    "default": {},
    "every l": {"max_L": 2, "max_ell": 4, "correlation": [2, 1]},
    "more l than the edges": {"max_L": 2, "max_ell": 1},
    "three layers": {"num_interactions": 3, "correlation": 2, "envelope_on": "weights", "gate": "tanh"},
    "one layer": {"max_L": 0, "num_interactions": 1, "correlation": 4, "max_ell": 1},
    "gaussian": {"radial_type": "gaussian", "distance_transform": "soft", "gate": None, "radial_mlp": []},
    "density": {"interaction": "density_residual", "interaction_first": "density", "distance_transform": "agnesi"},
    "nonlinear": {"interaction": "nonlinear", "interaction_first": "nonlinear", "envelope_on": "weights"},
}

# in a process of its own, as a user of mace-torch would
CALCULATE = """
import json, numpy, sys
from ase import Atoms
from mace.calculators import MACECalculator
calculator, results = MACECalculator(sys.argv[1], device="cpu"), []
for structure in json.load(sys.stdin):
    calculator.calculate(Atoms(**structure))
    results.append({name: numpy.asarray(calculator.results[name]).tolist() for name in ("energy", "forces", "stress")})
print(json.dumps(results))
"""


def with_repulsion(**options) -> Potential:
    potential = make_potential("baseline", **options)
    repelling = build_potential({**potential.config, "repulsion": "zbl"}).eval()
    repelling.load_state_dict(potential.state_dict(), strict=False)
    return repelling


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_there_and_back_every_weight_is_the_same(options, dtype):
    potential = make_potential("baseline", dtype=dtype, **options)
    hyperparameters, weights = export_mace(potential)
    back = from_upstream("mace", weights, hyperparameters)
    assert back.config == {
        name: {**back.config["backbone"], **SMALL_MACE, **options} if name == "backbone" else value
        for name, value in potential.config.items()
        if name != "pair_cutoffs"
    }
    found, expected = back.state_dict(), potential.state_dict()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []


def test_the_repulsion_is_the_same_though_mace_multiplies_it_by_the_energy_scale():
    potential = with_repulsion(scale=1.7)
    hyperparameters, weights = export_mace(potential)
    back = from_upstream("mace", weights, hyperparameters)
    assert float(back.repulsion.amplitude) == pytest.approx(1.7)
    near = silanol()
    near.positions *= 0.6
    for atoms in (quartz_like(), near):
        forces = [ScalarPathCalculator(each).get_forces(atoms) for each in (potential, back)]
        np.testing.assert_allclose(*forces, rtol=1e-12, atol=1e-12 * np.abs(forces[0]).max())


def test_what_the_arm_changes_in_the_backbone_goes_with_it():
    hyperparameters, _ = export_mace(make_potential("density"))
    assert hyperparameters["interaction_cls"] == "RealAgnosticDensityResidualInteractionBlock"


def other_ranges() -> Potential:
    potential = with_repulsion()
    potential.repulsion.radii.fill_(2.0)
    return potential


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: make_potential("panpgs"), "head panpgs"),
        (lambda: make_potential("linear"), "the linear potential of head linear"),
        (lambda: make_potential("baseline", kind="nequip"), "backbone nequip, which is no MACE"),
        (lambda: make_potential("baseline", pair_cutoffs={"Si": 3.0}), "backbone.pair_cutoffs"),
        (lambda: make_potential("baseline", gate="mish"), "backbone.gate=mish"),
        (lambda: make_potential("baseline", num_polynomial_cutoff=5.5), "backbone.num_polynomial_cutoff=5.5"),
        (lambda: make_potential("baseline", max_ell=4), "the couplings of backbone.correlation=3 and max_ell=4"),
        (other_ranges, "other repulsion.radii than its own"),
    ],
)
def test_what_mace_torch_does_not_have_is_refused_by_name_before_it_is_started(make, what, tmp_path):
    with pytest.raises(ConfigError, match=rf"^format=mace: mace-torch does not have {what}.*; leave format= out"):
        write_mace_torch(tmp_path / "a.model", make(), "/no/python")
    assert not list(tmp_path.iterdir())


def charged() -> Potential:
    head = head_config("ionic")
    head["linear"]["charges"] = {"Si": 2.0, "O": -2.0}
    return build_potential({**make_potential("baseline").config, "head": head})


def test_charges_are_refused_too(tmp_path):
    with pytest.raises(ConfigError, match="does not have the linear potential of head ionic"):
        write_mace_torch(tmp_path / "a.model", charged(), "/no/python")


SETTINGS = {"run": "run", "file": "a.model", "format": "mace", "licence": None, "trust": [], "python": "python"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"python": None}, "format=mace: only mace-torch can make its files; .* set python=PEER/bin/python"),
        ({"file": "a.sp"}, "file=a.sp is to be a model of mace-torch; call it a.model"),
        ({"licence": "MIT"}, "format=mace has no place for a licence"),
        ({"format": "scalarpath"}, "python is for format=mace; leave it out with format=scalarpath"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        ExportSettings(**{**SETTINGS, **change})


WRITES = "import sys, torch, pathlib\nfile, folder = map(pathlib.Path, sys.argv[2:])\nfile.touch()\n"
ZEROS = (
    WRITES + "job = torch.load(folder / 'job.pt', weights_only=True)\n"
    "zeros = [{'forces': torch.zeros_like(each['positions'])} for each in job['structures']]\n"
    "torch.save(zeros, folder / 'answers.pt')"
)


@pytest.mark.parametrize(
    ("script", "error", "complaint"),
    [
        (None, ConfigError, "is no executable file; give the python of an environment with mace-torch"),
        ("raise ModuleNotFoundError(\"No module named 'mace'\")", UpstreamError, "has no mace-torch; install it there"),
        (
            WRITES + "raise TypeError('no apply')",
            UpstreamError,
            r"cannot make .* \(TypeError: no apply\)",
        ),
        (WRITES, UpstreamError, r"cannot make this model \(it wrote nothing\); install mace-torch 0.3.16"),
        (ZEROS, ConfigError, r"forces of mace-torch differs by 1.0e\+00 of the largest value.* nothing was written"),
    ],
)
def test_with_a_damaged_environment_or_another_model_nothing_is_written(script, error, complaint, tmp_path):
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!{sys.executable}\n{script}\n")
        python.chmod(0o755)
    target = tmp_path / "out" / "a.model"
    target.parent.mkdir()
    with pytest.raises(error, match=complaint) as raised:
        write_mace_torch(target, make_potential("baseline"), str(python))
    assert "\n" not in str(raised.value)
    assert not list(target.parent.iterdir())


@pytest.fixture
def mace_python() -> str:
    python = os.environ.get("SCALARPATH_PEER_MACE")
    if python is None:
        pytest.skip("SCALARPATH_PEER_MACE names no python with the package")
    return python


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        *(lambda options=options: make_potential("baseline", **options) for options in VARIANTS.values()),
        lambda: with_repulsion(dtype="float32", distance_transform="agnesi", scale=1.7),
    ],
    ids=[*VARIANTS, "repulsion"],
)
def test_the_installed_package_computes_the_same(make, mace_python, tmp_path):
    deviations, sizes = write_mace_torch(tmp_path / "a.model", make(), mace_python)
    assert (set(deviations), len(sizes)) == ({"energy", "forces", "stress"}, 6)
    assert max(deviations.values()) < 1e-12


@pytest.mark.slow
def test_a_run_is_exported_for_a_process_with_mace_torch_alone_and_comes_back(
    trained_baseline, mace_python, tmp_path, capsys
):
    file = tmp_path / "a.model"
    run(ExportSettings(str(trained_baseline), str(file), "mace", None, [], mace_python))
    assert f'MACECalculator("{file}", device="cpu")' in capsys.readouterr().out
    atoms = quartz_like()
    atoms.numbers[:] = 14
    given = {"numbers": atoms.numbers, "positions": atoms.positions, "cell": atoms.cell.array, "pbc": atoms.pbc}
    result = subprocess.run(
        [mace_python, "-c", CALCULATE, str(file)],
        input=json.dumps([{name: np.asarray(value).tolist() for name, value in given.items()}]),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (theirs,) = json.loads(result.stdout.splitlines()[-1])
    calculator = ScalarPathCalculator(trained_baseline, dtype="float64")
    calculator.calculate(atoms)
    for name, value in theirs.items():
        ours = calculator.results[name]
        np.testing.assert_allclose(value, ours, rtol=0, atol=1e-10 * np.abs(ours).max())
    back, potential = (
        each.state_dict()
        for each in (read_upstream("mace", file, "float64", python=mace_python), load_potential(trained_baseline))
    )
    assert [name for name, value in potential.items() if not torch.equal(back[name], value)] == []
