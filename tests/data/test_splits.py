import json

import numpy as np
import pytest
from samples import group

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.duplicates import check_no_leak, structure_hash
from scalarpath.data.reading import Frame
from scalarpath.data.sources import load_dataset
from scalarpath.data.splits import block_split, group_split, random_split, read_split_file, resolve_sizes, split_frames


def assert_partition(parts, n):
    joined = sorted(i for part in parts for i in part)
    assert len(set(joined)) == len(joined)
    assert set(joined) <= set(range(n))


def test_sizes_count_or_take_a_share():
    assert resolve_sizes(120, None, 0.08, 0.25) == (80, 10, 30)
    assert resolve_sizes(1000, 100, 50, 0.5) == (100, 50, 500)
    assert resolve_sizes(5, None, 0.01, 0.01) == (3, 1, 1)


@pytest.mark.parametrize("sizes", [(None, None, 1), (90, 10, 10), (0.9, 0.2, 0.1)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ConfigError):
        resolve_sizes(100, *sizes)


def test_random_split_is_fixed_for_ever_by_its_seed():
    parts = random_split(50, (30, 8, 12), seed=3)
    assert [len(part) for part in parts] == [30, 8, 12]
    assert_partition(parts, 50)
    assert parts == random_split(50, (30, 8, 12), seed=3)
    assert parts != random_split(50, (30, 8, 12), seed=4)
    # written down once: no change of library may move a frame from one split to another
    assert random_split(10, (6, 2, 2), seed=0) == ([1, 2, 3, 5, 7, 8], [6, 9], [0, 4])


def test_smaller_train_set_is_a_subset_with_the_same_test():
    small, _, test_small = random_split(100, (10, 10, 20), seed=0)
    large, _, test_large = random_split(100, (70, 10, 20), seed=0)
    assert set(small) < set(large)
    assert test_small == test_large


def test_strata_are_represented_in_proportion():
    strata = ["a"] * 60 + ["b"] * 30 + ["c"] * 30
    for part, share in zip(random_split(120, (80, 10, 30), 0, strata), (2 / 3, 1 / 12, 1 / 4), strict=True):
        for name, count in (("a", 60), ("b", 30), ("c", 30)):
            assert abs(sum(strata[i] == name for i in part) - share * count) <= 1.5


@pytest.mark.parametrize("seed", range(6))
def test_blocks_are_contiguous_and_separated_by_the_gap(seed):
    parts = block_split(103, (0, 10, 20), seed, n_blocks=10, gap=3)
    assert_partition(parts, 103)
    owner = {i: k for k, part in enumerate(parts) for i in part}
    for i in owner:
        for j in range(i + 1, i + 4):
            assert owner.get(j, owner[i]) == owner[i]
    assert len(parts[1]) in range(7, 12)
    assert len(parts[2]) in range(14, 23)
    assert len(owner) >= 103 - 6 * 3


def test_blocks_without_gap_use_every_frame():
    assert sum(map(len, block_split(57, (0, 6, 6), 0, n_blocks=7, gap=0))) == 57


def test_groups_stay_together():
    groups = [f"g{k % 9}" for k in range(90)]
    parts = group_split(groups, (0, 10, 20), seed=1)
    assert_partition(parts, 90)
    assert [len(part) for part in parts] == [60, 10, 20]
    owners = [{groups[i] for i in part} for part in parts]
    assert len(set.union(*owners)) == sum(map(len, owners)) == 9


def test_few_large_groups_leave_one_for_every_split():
    assert all(group_split(["a"] * 5 + ["b"] * 5 + ["c"] * 5, (0, 6, 6), seed=0))


@pytest.mark.parametrize(
    ("n_blocks", "gap", "message"), [(2, 0, "n_blocks=2"), (10, 5, "gap=5"), (200, 0, "n_blocks=200")]
)
def test_impossible_blocks_are_refused(n_blocks, gap, message):
    with pytest.raises(ConfigError, match=message):
        block_split(100, (0, 10, 10), 0, n_blocks, gap)


def test_split_by_group_key_and_its_absence(write, make_silicon, settings):
    frames = make_silicon(12)
    for k, atoms in enumerate(frames):
        atoms.info["run"] = k // 3
    config = DataConfig.read(settings(write(frames), split="groups", group_key="run"))
    splits, _ = split_frames(config, load_dataset(config))
    runs = {name: {k // 3 for k in indices} for name, indices in splits.items()}
    assert sum(len(names) for names in runs.values()) == 4
    with pytest.raises(DataError, match=r"frame 0: has no info key 'batch' .* info keys are: config_type, run"):
        split_frames(DataConfig.read({"path": "x", "split": "groups", "group_key": "batch"}), load_dataset(config))


@pytest.mark.parametrize("how", [{"split": "groups", "group_key": "run"}, {"split": "blocks", "n_blocks": 4, "gap": 0}])
def test_a_train_size_thins_what_whole_groups_and_blocks_leave(write, make_silicon, settings, how):
    frames = make_silicon(12)
    for k, atoms in enumerate(frames):
        atoms.info["run"] = k // 3

    def split(**sizes):
        config = DataConfig.read(settings(write(frames), **how, **sizes))
        return split_frames(config, load_dataset(config))[0]

    everything, four, two = split(), split(train_size=4), split(train_size=2)
    assert (len(everything["train"]), len(four["train"]), len(two["train"])) == (6, 4, 2)
    assert set(two["train"]) < set(four["train"]) < set(everything["train"])
    assert four["test"] == two["test"] == everything["test"]
    with pytest.raises(ConfigError, match="train_size asks for 7 frames, but 6 are left"):
        split(train_size=7)


def test_frames_left_out_of_a_part_leave_the_others_as_they_are(write, make_silicon, settings):
    path = write(make_silicon(20))  # config_type: cold, hot, cold, ...

    def split(**where):
        config = DataConfig.read(settings(path, split="random", valid_size=4, test_size=6, **where))
        return split_frames(config, load_dataset(config))[0]

    everything, warm, cold = split(), split(train_where={"config_type": ["h*"]}), split(test_where={"formula": "Si"})
    assert warm["test"] == everything["test"]
    assert cold == everything
    for part in ("train", "valid"):
        assert warm[part] == [i for i in everything[part] if i % 2]
        assert warm[part] != everything[part]
    test = split(test_where={"config_type": "cold"})
    assert test == {**everything, "test": [i for i in everything["test"] if not i % 2]}


def test_a_pattern_that_no_frame_has_is_refused(write, make_silicon, settings):
    config = DataConfig.read(settings(write(make_silicon(20)), train_where={"config_type": ["cold", "holt"]}))
    with pytest.raises(ConfigError, match=r"data.train_where.config_type: no frame has 'holt'; there are: cold, hot\."):
        split_frames(config, load_dataset(config))
    with pytest.raises(ConfigError, match=r"data.train_size and data.train_where are both set"):
        DataConfig.read({**settings("x"), "train_size": 5, "train_where": {"config_type": "cold"}})


def test_a_part_of_which_nothing_is_left_says_so(write, make_silicon, settings):
    config = DataConfig.read(settings(write(make_silicon(20)), test_size=1, test_where={"config_type": "cold"}))
    if split_frames(DataConfig.read(settings(config.path, test_size=1)), load_dataset(config))[0]["test"][0] % 2 == 0:
        config = DataConfig.read(settings(config.path, test_size=1, test_where={"config_type": "hot"}))
    with pytest.raises(DataError, match=r"the test split of 20 frames is empty; .* data.test_size or data.\*_where"):
        split_frames(config, load_dataset(config))


@pytest.mark.parametrize("name", ["si_sw", "ag_eam", "lif_bm"])
def test_sets_near_equilibrium_have_the_test_frames_of_the_whole_set(name):
    def split(data):
        config = DataConfig.read(group("data", data))
        loaded = load_dataset(config)
        return loaded.frames, split_frames(config, loaded)[0]

    (frames, whole), (_, near) = split(name), split(f"{name}_near")
    assert near["test"] == whole["test"]
    assert set(near["train"]) < set(whole["train"])
    kinds = {frames[i].atoms.info["config_type"] for i in near["train"] + near["valid"]}
    assert all(kind == "strained" or kind.startswith("crystal") for kind in kinds)


def test_given_files_are_the_splits(write, make_silicon, settings):
    frames = make_silicon(9)
    config = DataConfig.read(
        settings(
            write(frames[:5], "train.extxyz"),
            valid_path=write(frames[5:7], "valid.extxyz"),
            test_path=write(frames[7:], "test.extxyz"),
        )
    )
    assert split_frames(config, load_dataset(config))[0] == {"train": [0, 1, 2, 3, 4], "valid": [5, 6], "test": [7, 8]}


def test_index_selects_from_path_and_not_from_the_given_files(write, make_silicon):
    frames = make_silicon(9)
    test = write(frames[6:], "test.extxyz")
    loaded = load_dataset({"path": write(frames[:6]), "index": "::2", "test_path": test})
    assert [frame.number for frame in loaded.frames] == [0, 2, 4, 0, 1, 2]
    assert (loaded.pool, loaded.valid, loaded.test) == ([0, 1, 2], None, [3, 4, 5])


def test_validation_is_cut_from_path_where_only_the_test_file_is_given(write, make_silicon, settings):
    frames = make_silicon(9)
    config = DataConfig.read(
        settings(write(frames[:7], "train.extxyz"), valid_size=2, test_path=write(frames[7:], "test.extxyz"))
    )
    splits, _ = split_frames(config, load_dataset(config))
    assert sorted(splits["train"] + splits["valid"]) == list(range(7))
    assert len(splits["valid"]) == 2
    assert splits["test"] == [7, 8]


def test_split_file_is_followed(write, make_silicon, settings):
    wanted = {"train": [4, 0], "valid": [2], "test": [1]}
    path = write(json.dumps(wanted), "splits.json")
    config = DataConfig.read(settings(write(make_silicon(5)), split="file", split_file=path))
    assert split_frames(config, load_dataset(config))[0] == wanted


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"train": [0, 1], "valid": [1], "test": [2]}', "frame 1 is in train and in valid"),
        ('{"train": [0], "valid": [1], "test": [7]}', "index 7 of test"),
        ('{"train": [0], "valid": [1]}', "is not a JSON object"),
        ("train", "is not a JSON object"),
    ],
)
def test_bad_split_file_is_refused(write, tmp_path, content, message):
    write(content, "splits.json")
    with pytest.raises(DataError, match=message):
        read_split_file(tmp_path / "splits.json", 5)


def test_structure_hash_sees_structure_not_labels(make_silicon):
    first, second = make_silicon(2)
    same = first.copy()
    same.positions += 1e-13
    assert structure_hash(first) == structure_hash(same)
    assert structure_hash(first) != structure_hash(second)
    shifted = first.copy()
    shifted.set_cell(1.001 * np.asarray(first.cell))
    assert structure_hash(first) != structure_hash(shifted)


def test_duplicate_across_splits_names_both_frames(make_silicon):
    frames = [Frame(atoms, "set.extxyz", k) for k, atoms in enumerate(make_silicon(3))]
    frames.append(Frame(frames[1].atoms, "other.extxyz", 0))
    with pytest.raises(DataError, match=r"other\.extxyz, frame 0: .*test.*train \(set\.extxyz, frame 1\)"):
        check_no_leak(frames, {"train": [0, 1], "valid": [2], "test": [3]})
    check_no_leak(frames, {"train": [0, 1, 3], "valid": [2], "test": []})
