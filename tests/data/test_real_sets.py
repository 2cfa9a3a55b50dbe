"""The bundled sets, and external real ones where they are present."""

from collections import Counter

import ase.io
import numpy as np
import pytest
from ase.units import Bohr
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scalarpath.core.errors import DataError
from scalarpath.core.resources import BUNDLED_DIR, CONF_DIR
from scalarpath.data.audit import audit_labels
from scalarpath.data.audit.stress import sign_evidence
from scalarpath.data.config import DataConfig
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.data.labels import extract_labels, find_keys
from scalarpath.data.reading import read_frames

STRESSED = ("energy", "forces", "stress")


@pytest.fixture
def bundled(tmp_path):
    def bundled(name, required):
        with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            config = compose(overrides=[f"+data={name}", f"data.cache_dir={tmp_path}"])
        data = AtomicDataModule(OmegaConf.to_container(config.data), cutoff=5.0, seed=0, required=required)
        data.setup()
        return data

    return bundled


@pytest.mark.parametrize(("name", "species"), [("si", [14]), ("lif", [3, 9]), ("ag", [47])])
def test_bundled_crystals_need_no_setting(bundled, name, species):
    data = bundled(name, STRESSED)
    assert data.species == species
    assert data.audit.suspicions == []
    assert all(item.frames == data.audit.frames for item in data.audit.properties)
    assert data.audit.largest_net_force < 0.05
    assert len(data.splits["test"]) >= 30
    frames = ase.io.read(BUNDLED_DIR / name / "frames.extxyz", ":")
    kinds = Counter(atoms.info["config_type"] for atoms in frames)
    tested = {frames[i].info["config_type"] for i in data.splits["test"]}
    assert {kind for kind, count in kinds.items() if count >= 8} <= tested
    assert abs(data.statistics.shift) < 1e-10


@pytest.mark.parametrize(("name", "species"), [("si_sw", [14]), ("lif_bm", [3, 9]), ("ag_eam", [47])])
def test_sets_labelled_by_a_potential_are_split_by_trajectory(bundled, name, species):
    data = bundled(name, STRESSED)
    assert data.species == species
    assert data.audit.suspicions == []
    assert data.audit.warnings == []
    assert data.audit.largest_net_force < 1e-6
    assert sum(map(len, data.splits.values())) == data.audit.frames
    frames = ase.io.read(BUNDLED_DIR / name / "frames.extxyz", ":")
    runs = {split: {frames[i].info["trajectory"] for i in indices} for split, indices in data.splits.items()}
    assert not runs["test"] & (runs["train"] | runs["valid"])
    kinds = {split: {frames[i].info["config_type"] for i in indices} for split, indices in data.splits.items()}
    assert kinds["train"] == kinds["test"] == {atoms.info["config_type"] for atoms in frames}


def test_bundled_ethanol_is_split_in_time(bundled):
    data = bundled("ethanol", ("energy", "forces"))
    assert data.species == [1, 6, 8]
    assert data.audit.suspicions == []
    for i in data.splits["test"]:
        assert min(abs(i - j) for j in data.splits["train"]) > 5


def test_bundled_ethanol_has_no_stress_to_weigh(bundled):
    with pytest.raises(DataError, match=r"frame 0: the loss weighs stress .* \(keys: .*energy, .*forces"):
        bundled("ethanol", STRESSED)


@pytest.mark.parametrize("name", ["si", "lif", "ag", "si_sw", "lif_bm", "ag_eam"])
def test_flipped_sign_of_a_real_stress_is_noticed(name):
    frames, spec = list(read_frames(BUNDLED_DIR / name / "frames.extxyz")), DataConfig.read({"path": "x"})
    keys = find_keys(frames, spec)
    labels = [extract_labels(frame, keys, spec) for frame in frames]
    right = sign_evidence(frames, labels, range(len(frames)))
    wrong = sign_evidence(frames, [item._replace(stress=-item.stress) for item in labels], range(len(frames)))
    assert right > 0.5
    assert wrong == pytest.approx(-right, abs=0.05)


@pytest.mark.parametrize(
    ("relative", "changes"),
    [
        ("si/mlearn_Si_train.extxyz.xz", {}),
        ("ag/pypolymlp_Ag_train.extxyz.xz", {}),
        ("mgo/pypolymlp_MgO_train.extxyz.xz", {"index": "::10", "e0s": "mean"}),
        ("si/nequip_tutorial_sitraj.extxyz.xz", {"split": "blocks", "gap": 2}),
    ],
)
def test_external_crystals_pass_the_audit(external, settings, relative, changes):
    data = AtomicDataModule(settings(str(external(relative)), **changes), cutoff=5.0, seed=0, required=STRESSED)
    data.setup()
    assert data.audit.suspicions == []
    assert 20 < data.statistics.avg_num_neighbors < 70


@pytest.mark.parametrize(
    ("relative", "factor"),
    [
        ("si/mlearn_Si_train.extxyz.xz", 1.0),
        ("si/nequip_tutorial_sitraj.extxyz.xz", 1.0),
        ("ag/pypolymlp_Ag_train.extxyz.xz", 1.0),
        ("mgo/pypolymlp_MgO_train.extxyz.xz", 1.0),
        ("rmd17/aspirin/split01_train.extxyz.xz", 1.0),
        ("rmd17/ethanol/split02_train.extxyz.xz", 1.0),
        ("rmd17/malonaldehyde/split01_test.extxyz.xz", 1.0),
        ("rmd17/ethanol/split01_train.extxyz.xz", Bohr),
        ("ag/pypolymlp_Ag_train.extxyz.xz", -1.0),
    ],
)
def test_forces_of_external_sets_are_tested_against_their_energies(external, relative, factor):
    frames, spec = list(read_frames(external(relative))), DataConfig.read({"path": "x"})
    keys = find_keys(frames, spec)
    labels = [extract_labels(frame, keys, spec) for frame in frames]
    labels = [item._replace(forces=factor * item.forces) for item in labels]
    report = audit_labels(frames, labels, keys, spec, frozenset({"energy", "forces"}))
    assert bool(report.suspicions) == (factor != 1.0)
    assert any("times the work of the forces" in text for text in report.checks + report.suspicions)


def test_external_rmd17_has_its_official_split(external, settings):
    config = settings(None, source="rmd17", molecule="ethanol", root=str(external("rmd17")), valid_size=50, e0s="mean")
    data = AtomicDataModule(config, cutoff=5.0, seed=0)
    data.setup()
    assert {name: len(indices) for name, indices in data.splits.items()} == {"train": 950, "valid": 50, "test": 1000}
    energies = np.array([float(graph.energy) for graph in data.test_graphs]) / 9
    assert abs(energies.mean() - data.statistics.e0s[6]) < 0.01
