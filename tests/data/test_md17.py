import shutil

import numpy as np
import pytest
import torch_geometric.datasets

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.sources import load_dataset

KCAL = 4.184 / 96.48533212  # eV


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "nuclear_charges": np.array([6, 6, 8, 1, 1, 1, 1, 1, 1]),
        "coords": rng.normal(size=(12, 9, 3)),
        "energies": -97000.0 - rng.random(12),
        "forces": rng.normal(size=(12, 9, 3)),
    }


@pytest.fixture
def archive(tmp_path, arrays):
    """The archive as torch-geometric unpacks it."""
    folder = tmp_path / "raw" / "rmd17"
    (folder / "npz_data").mkdir(parents=True)
    (folder / "splits").mkdir()
    np.savez(folder / "npz_data" / "rmd17_ethanol.npz", **arrays)
    for fold in (1, 2):
        np.savetxt(folder / "splits" / f"index_train_0{fold}.csv", [3, 1, fold + 6], fmt="%d")
        np.savetxt(folder / "splits" / f"index_test_0{fold}.csv", [0, 2], fmt="%d")
    return tmp_path


def rmd17(root, **changes):
    return {"source": "rmd17", "molecule": "ethanol", "root": None if root is None else str(root), **changes}


@pytest.mark.parametrize("fold", [1, 2])
def test_npz_gives_the_official_split_in_ev(archive, arrays, fold):
    loaded = load_dataset(rmd17(archive, fold=fold))
    assert [frame.number for frame in loaded.frames] == [3, 1, fold + 6, 0, 2]
    assert (loaded.pool, loaded.test) == ([0, 1, 2], [3, 4])
    atoms = loaded.frames[1].atoms
    assert str(atoms.symbols) == "C2OH6"
    assert not atoms.pbc.any()
    assert atoms.get_potential_energy() == pytest.approx(arrays["energies"][1] * KCAL, rel=1e-7)
    assert np.allclose(atoms.get_forces(), arrays["forces"][1] * KCAL, rtol=1e-6)


def test_original_md17_is_read_in_time_order(tmp_path, arrays):
    names = {"nuclear_charges": "z", "coords": "R", "energies": "E", "forces": "F"}
    renamed = {names[key]: value for key, value in arrays.items()}
    renamed["E"] = renamed["E"][:, None]  # as published
    np.savez(tmp_path / "md17_ethanol.npz", **renamed)
    loaded = load_dataset({"source": "md17", "molecule": "ethanol", "root": str(tmp_path), "index": "::5"})
    assert [frame.number for frame in loaded.frames] == [0, 5, 10]
    assert loaded.frames[1].atoms.get_potential_energy() == pytest.approx(arrays["energies"][5] * KCAL, rel=1e-7)


def test_extxyz_layout_is_read_as_it_is(tmp_path, write, make_silicon):
    frames = make_silicon(5)
    (tmp_path / "ethanol").mkdir()
    shutil.move(write(frames[:3], "a.extxyz"), tmp_path / "ethanol" / "split03_train.extxyz")
    with pytest.raises(DataError, match=r"split03_test\.extxyz\[\.xz\] is missing"):
        load_dataset(rmd17(tmp_path, fold=3))
    shutil.move(write(frames[3:], "b.extxyz"), tmp_path / "ethanol" / "split03_test.extxyz")
    loaded = load_dataset(rmd17(tmp_path, fold=3))
    assert (len(loaded.pool), len(loaded.test)) == (3, 2)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a download was started")

    monkeypatch.setattr(torch_geometric.datasets.MD17, "__init__", refuse)


@pytest.mark.parametrize("source", ["rmd17", "md17"])
def test_nothing_is_fetched_without_consent_and_the_message_says_what(no_network, tmp_path, source):
    with pytest.raises(DataError) as caught:
        load_dataset({"source": source, "molecule": "aspirin", "root": str(tmp_path)})
    for word in ("data.root", "data.download=true", "http", "GB", "aspirin"):
        assert word in str(caught.value)


def test_consent_downloads_through_torch_geometric_once(archive, tmp_path, monkeypatch, arrays):
    calls = []

    def fetch(self, root, name):
        calls.append(name)
        shutil.copytree(archive / "raw", f"{root}/raw")

    monkeypatch.setattr(torch_geometric.datasets.MD17, "__init__", fetch)
    config = rmd17(None, download=True, cache_dir=str(tmp_path / "cache"))
    assert len(load_dataset(config).frames) == 5
    assert len(load_dataset(config).frames) == 5
    assert calls == ["revised ethanol"]
    (npz,) = (tmp_path / "cache").rglob("rmd17_ethanol.npz")
    np.savez(npz, **{**arrays, "energies": arrays["energies"] + 1})
    with pytest.raises(DataError, match="SHA-256 differs"):
        load_dataset(config)


def test_failed_download_is_one_sentence(tmp_path, monkeypatch):
    def fetch(self, root, name):
        raise OSError("no route\nto host")

    monkeypatch.setattr(torch_geometric.datasets.MD17, "__init__", fetch)
    with pytest.raises(DataError, match=r"download failed \(no route to host\)"):
        load_dataset(rmd17(tmp_path, download=True))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"PK"), "is not a rmd17 archive"),
        (lambda path: np.savez(path, coords=np.zeros(3)), "is not a rmd17 archive"),
    ],
)
def test_damaged_archive_is_refused(archive, damage, message):
    damage(archive / "raw" / "rmd17" / "npz_data" / "rmd17_ethanol.npz")
    with pytest.raises(DataError, match=message):
        load_dataset(rmd17(archive))


def test_unknown_fold_molecule_or_folder(archive, tmp_path):
    with pytest.raises(DataError, match="index_train_04"):
        load_dataset(rmd17(archive, fold=4))
    with pytest.raises(DataError, match=r"data\.root is not a folder"):
        load_dataset(rmd17(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="unknown; use one of: aspirin"):
        load_dataset(rmd17(archive, molecule="water"))
