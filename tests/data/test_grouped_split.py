"""Keys of frames, splits of whole groups, near duplicates, and the published split of lithium fluoride."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.__main__ import main
from scalarpath.data.config import DataConfig
from scalarpath.data.fingerprints import distances, fingerprints
from scalarpath.data.groups import frame_key
from scalarpath.data.near_duplicates import merge_near_duplicates, near_duplicate_threshold, nearest_pairs
from scalarpath.data.reading import Frame
from scalarpath.data.sources import load_dataset
from scalarpath.data.split_report import audit_duplicates, key_table, read_split
from scalarpath.data.splits import group_split, split_frames

LIF = {
    "source": "bundled", "path": "lif/frames.extxyz", "split": "groups", "stratify_key": ["formula", "n_atoms"],
    "group_key": ["formula", "config_type", "volume_bin"], "trajectories": "*hot*", "merge_near_duplicates": True,
}  # fmt: skip
TABLE = Path(__file__).parents[2] / "docs" / "splits" / "lif_grouped.csv"


def frame(atoms: Atoms, number: int = 0) -> Frame:
    return Frame(atoms, "set.extxyz", number)


def salt(scale: float = 1.0, noise: float = 0.0, seed: int = 0, **info) -> Atoms:
    atoms = bulk("LiF", "rocksalt", a=4.07 * scale, cubic=True)
    atoms.positions += np.random.default_rng(seed).normal(scale=noise, size=(8, 3))
    atoms.info.update(info)
    return atoms


def separation(first: Atoms, second: Atoms) -> float:
    ((_, part),) = distances(*np.split(fingerprints([frame(first), frame(second)]), 2))
    return float(part[0, 0])


def test_a_key_joins_info_keys_and_what_the_structure_says():
    one = frame(salt(run=7))
    assert frame_key(one, "run", "group_key", 0.05) == "7"
    key = frame_key(one, ["formula", "run", "n_atoms", "volume_bin"], "group_key", 0.05)
    low, high = (1.05**k for k in (43, 44))
    assert low < 4.07**3 / 8 < high
    assert key == f"LiF/7/8 atoms/{low:.4g}-{high:.4g} A^3"
    assert frame_key(frame(Atoms("CH4")), "volume_bin", "group_key", 0.05) == "open"


def test_volume_bins_part_strained_cells_but_not_cells_of_different_size():
    def name(atoms):
        return frame_key(frame(atoms), "volume_bin", "group_key", 0.05)

    assert name(salt()) == name(salt().repeat((2, 1, 1))) == name(salt(1.001))
    assert len({name(salt(scale)) for scale in (0.96, 0.98, 1.0, 1.02)}) == 4
    assert frame_key(frame(salt(0.99)), "volume_bin", "group_key", 0.2) == frame_key(
        frame(salt()), "volume_bin", "group_key", 0.2
    )


def test_a_missing_info_key_is_named_with_its_setting():
    with pytest.raises(DataError, match=r"frame 3: has no info key 'run' \(data\.stratify_key\); .* are: config_type"):
        frame_key(frame(salt(config_type="hot"), 3), ["formula", "run"], "stratify_key", 0.05)


def test_strata_of_groups_are_represented_in_proportion_and_groups_stay_whole():
    groups = [f"{stratum}{k % 20}" for stratum in "ab" for k in range(100)] + ["lonely"] * 4
    strata = ["a"] * 100 + ["b"] * 100 + ["c"] * 4
    parts = group_split(groups, (0, 20, 40), 0, strata)
    owners = [{groups[i] for i in part} for part in parts]
    assert sorted(i for part in parts for i in part) == list(range(204))
    assert len(set.union(*owners)) == sum(map(len, owners))
    for part, wanted in zip(parts[1:], (10, 20), strict=True):
        for stratum in "ab":
            assert abs(sum(strata[i] == stratum for i in part) - wanted) <= 2.5
    assert parts != group_split(groups, (0, 20, 40), 1, strata)


def test_a_group_in_a_given_test_file_and_in_train_is_refused(write, make_silicon, settings):
    frames = make_silicon(12)
    for k, atoms in enumerate(frames):
        atoms.info["run"] = k // 3
    frames[-1].info["run"] = 0
    config = DataConfig.read(
        settings(
            write(frames[:9], "a.extxyz"), split="groups", group_key="run", test_path=write(frames[9:], "b.extxyz")
        )
    )
    with pytest.raises(DataError, match=r"b\.extxyz, frame 2: group '0' is in test and, with .*a\.extxyz, frame 0"):
        split_frames(config, load_dataset(config))


def test_a_fingerprint_does_not_see_size_rotation_or_order():
    atoms = salt(noise=0.1)
    turned = atoms[np.random.default_rng(0).permutation(8)]
    turned.rotate(40, (1, 2, 3), rotate_cell=True)
    assert separation(atoms, turned) < 1e-12
    assert separation(atoms, atoms.repeat((2, 1, 3))) < 1e-12
    assert separation(atoms, salt(noise=0.1, seed=1)) > 1e-4


def test_a_fingerprint_tells_elements_and_densities_apart():
    other = salt()
    other.symbols[:] = ["Li"] * 4 + ["F"] * 4
    assert separation(salt(), other) > 0.01
    assert separation(salt(), salt(0.95)) > 0.01
    assert separation(Atoms("Li"), Atoms("F")) == 1.0, "without neighbours there is nothing to be alike"


def test_groups_with_almost_the_same_frame_are_joined_and_others_not():
    cells = [salt(scale, 0.1, seed) for scale in (0.95, 1.0, 1.05) for seed in range(4)]
    twin = cells[4].copy()
    twin.positions += np.random.default_rng(9).normal(scale=0.001, size=(8, 3))
    groups = ["low"] * 4 + ["middle"] * 4 + ["high"] * 4 + ["twin"]
    prints = fingerprints([frame(atoms) for atoms in [*cells, twin]])
    threshold = near_duplicate_threshold(groups, prints, None)
    joined = merge_near_duplicates(groups, prints, threshold)
    assert joined == ["low"] * 4 + ["middle + 1 more"] * 4 + ["high"] * 4 + ["middle + 1 more"]
    (pair,) = nearest_pairs({"train": list(range(12)), "test": [12]}, prints)
    assert (pair.test, pair.train) == (12, 4)
    assert pair.distance < threshold


def test_only_the_named_groups_tell_what_is_near():
    cells = [salt(1.0, 0.01, 0), salt(1.0, 0.01, 1), salt(1.0, 0.2, 2), salt(1.0, 0.2, 3)]
    prints = fingerprints([frame(atoms) for atoms in cells])
    groups = ["cold", "cold", "hot", "hot"]
    (_, first), (_, second) = (next(distances(prints[k : k + 1], prints[k + 1 : k + 2])) for k in (0, 2))
    assert near_duplicate_threshold(groups, prints, "hot*") == pytest.approx(second[0, 0])
    assert near_duplicate_threshold(groups, prints, None) < 2 * first[0, 0] + 0.02 * second[0, 0]
    assert np.isnan(near_duplicate_threshold(groups, prints, "warm"))


def test_merging_without_a_trajectory_is_refused(write, make_silicon):
    config = DataConfig.read(
        {
            "path": write(make_silicon(9)), "split": "groups", "group_key": "config_type",
            "merge_near_duplicates": True, "trajectories": "run*",
        }
    )  # fmt: skip
    with pytest.raises(DataError, match=r"data\.trajectories means has two frames"):
        split_frames(config, load_dataset(config))


def test_the_published_table_is_what_the_code_makes_now(tmp_path):
    assert main(["table", "data=lif_grouped", "--out", str(tmp_path / "new.csv")]) == 0
    assert (tmp_path / "new.csv").read_text() == TABLE.read_text(), "python -m scalarpath.data table ... makes it anew"


@pytest.mark.parametrize("split_seed", [0, 1, 2])
def test_lithium_fluoride_shares_no_key_and_no_near_duplicate_between_splits(split_seed):
    data = read_split(DataConfig.read({**LIF, "split_seed": split_seed}), cutoff=5.0)
    assert len(set(data.groups)) >= 30
    owners = {row.key: row.split for row in key_table(data)}
    assert len(owners) == len(key_table(data)) == len(set(data.keys))
    assert sum(row.frames for row in key_table(data)) == len(data.frames) == 144
    assert [round(len(data.splits[name]) / 144, 1) for name in ("train", "valid", "test")] == [0.8, 0.1, 0.1]
    assert audit_duplicates(data).near == 0


def test_salts_give_different_test_sets():
    tests = {tuple(read_split(DataConfig.read({**LIF, "split_seed": seed}), 5.0).splits["test"]) for seed in range(3)}
    assert len(tests) == 3


def test_the_audit_finds_the_near_duplicates_of_a_random_split(capsys):
    assert main(["near-duplicates", "data=lif", "--shown", "1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "36 test frames: 12 nearer than 0.00232" in shown
    assert "LiF/rattled/8.15-8.557 A^3" in shown
    assert main(["near-duplicates", "data=lif_grouped"]) == 0
    assert "14 test frames: 0 nearer than 0.00232" in " ".join(capsys.readouterr().out.split())


def test_user_errors_of_the_commands_are_one_line(capsys, tmp_path):
    assert main(["table", "data=lif", "--out", str(tmp_path / "t.csv")]) == 2
    assert capsys.readouterr().err == "error: data.split=random has no keys to list; use data.split=groups.\n"
    assert main(["near-duplicates", "data=nothing"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    (tmp_path / "file").touch()
    assert main(["table", "data=lif_grouped", "--out", str(tmp_path / "file/t.csv")]) == 2
    assert capsys.readouterr().err.startswith(f"error: --out={tmp_path}/file/t.csv cannot be written: ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_key": []}, r"data\.group_key=\[\] must be an info key"),
        ({"stratify_key": ["a", 3]}, r"data\.stratify_key must be text, not 3"),
        ({"volume_bin_width": 0}, r"data\.volume_bin_width must be greater than 0"),
        ({"merge_near_duplicates": "yes"}, r"data\.merge_near_duplicates must be true or false, not 'yes'"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig.read({**LIF, **changes})
