"""Train, validation and test splits. They depend on ``split_seed`` and the frames, never on the training seed.

Random orders come from SHA-256 of the seed and the position, so they do not change with a library's generator.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scalarpath.core.errors import ConfigError, DataError
from scalarpath.data.config import DataConfig
from scalarpath.data.duplicates import check_no_leak
from scalarpath.data.groups import check_groups, frame_groups, frame_key, matching
from scalarpath.data.reading import Frame
from scalarpath.data.sources import LoadedFrames

NAMES = ("train", "valid", "test")
Splits = dict[str, list[int]]


def split_frames(config: DataConfig, loaded: LoadedFrames, reserved: Sequence[int] = ()) -> tuple[Splits, list[str]]:
    """Frame indices of "train", "valid", "test" (disjoint, none empty, no structure in two), and every frame's group.

    The group is what the split keeps together: the group key, ``block k``, else the index of the frame itself.
    ``reserved`` frames (isolated atoms that give E0s) stay out of the split: those of the pool go to train, those of
    files for validation and test stay there. A split file has its way. What ``train_where`` and ``test_where`` do not
    want is then left out of its part; no frame changes parts. Raises ConfigError for
    sizes that do not fit, DataError for empty or overlapping splits, a missing group key, a structure or a group in
    two splits.
    """
    frames = loaded.frames
    groups = [str(i) for i in range(len(frames))]
    if config.split == "file":
        splits = read_split_file(Path(str(config.split_file)), len(frames))
    else:
        references = sorted(set(reserved) & set(loaded.pool))
        pool = [i for i in loaded.pool if i not in set(references)]
        try:
            sizes = resolve_sizes(
                len(pool),
                config.train_size,
                0 if loaded.valid is not None else config.valid_size,
                0 if loaded.test is not None else config.test_size,
            )
        except ConfigError as error:  # frames that were left out may be why there are so few
            raise ConfigError(" ".join([str(error), *loaded.notes])) from None
        if config.split == "random":
            parts = random_split(len(pool), sizes, config.split_seed, _strata(config, frames, pool))
        elif config.split == "blocks":
            parts = block_split(len(pool), sizes, config.split_seed, config.n_blocks, config.gap)
            for k, block in enumerate(_blocks(len(pool), config.n_blocks)):
                for position in block:
                    groups[pool[position]] = f"block {k}"
        else:
            groups = frame_groups(config, frames, references)
            parts = group_split([groups[i] for i in pool], sizes, config.split_seed, _strata(config, frames, pool))
        if config.train_size is not None:
            parts = _thinned(parts[0], sizes[0], config.split_seed), *parts[1:]
        splits = {name: [pool[k] for k in part] for name, part in zip(NAMES, parts, strict=True)}
        splits["train"] = sorted([*splits["train"], *references])
        splits["valid"] = splits["valid"] if loaded.valid is None else loaded.valid
        splits["test"] = splits["test"] if loaded.test is None else loaded.test
    for part, (setting, where) in {
        "train": ("train_where", config.train_where),
        "valid": ("train_where", config.train_where),
        "test": ("test_where", config.test_where),
    }.items():
        if where is not None:
            kept = matching(frames, where, setting, config.volume_bin_width) | set(reserved)
            splits[part] = [i for i in splits[part] if i in kept]
    for name in NAMES:
        if not splits[name]:
            raise DataError(
                f"{frames[0].file}: the {name} split of {len(frames)} frames is empty; add frames or change "
                f"data.{name}_size{'' if config.train_where is config.test_where is None else ' or data.*_where'}."
            )
    # an isolated atom may be in every part: nothing of it is learnt
    check_no_leak(frames, {name: [i for i in part if i not in set(reserved)] for name, part in splits.items()})
    if config.split == "groups":
        check_groups(groups, splits, frames)
    return splits, groups


def _strata(config: DataConfig, frames: Sequence[Frame], pool: Sequence[int]) -> list[str] | None:
    key, width = config.stratify_key, config.volume_bin_width
    return [frame_key(frames[i], key, "stratify_key", width) for i in pool] if key else None


def resolve_sizes(n_frames: int, train: float | None, valid: float | None, test: float | None) -> tuple[int, int, int]:
    """Frames in each split: integers count, fractions are rounded (at least one frame), None takes the rest."""
    given = [
        None if size is None else (max(1, round(size * n_frames)) if isinstance(size, float) else size)
        for size in (train, valid, test)
    ]
    if given.count(None) > 1:
        raise ConfigError("only one of data.train_size, data.valid_size, data.test_size may be null (the rest).")
    used = sum(size for size in given if size is not None)
    if used > n_frames:
        wanted = ", ".join(f"{name} {'the rest' if n is None else n}" for name, n in zip(NAMES, given, strict=True))
        raise ConfigError(
            f"the splits ask for more than the {n_frames} frames there are ({wanted}); lower data.*_size."
        )
    n_train, n_valid, n_test = (n_frames - used if size is None else size for size in given)
    return n_train, n_valid, n_test


def _shuffled(items: Sequence[str], seed: int) -> list[int]:
    return sorted(range(len(items)), key=lambda k: hashlib.sha256(f"{seed}/{items[k]}".encode()).digest())


def chosen(n_frames: int, wanted: int, seed: int) -> list[int]:
    """Sorted positions of ``wanted`` of ``n_frames`` frames; a smaller choice is a part of a larger one."""
    return sorted(_shuffled([f"sample/{k}" for k in range(n_frames)], seed)[:wanted])


def random_split(
    n_frames: int, sizes: tuple[int, int, int], seed: int, strata: Sequence[str] | None = None
) -> tuple[list[int], list[int], list[int]]:
    """Random split; with ``strata`` (a label per frame) every stratum is represented in proportion.

    Test and validation are cut first, so a smaller train size gives a subset of the larger one and the same test.
    """
    order = _shuffled([str(k) for k in range(n_frames)], seed)
    if strata is not None:
        counts = {name: strata.count(name) for name in set(strata)}
        taken = dict.fromkeys(counts, 0)
        place = {}
        for k in order:
            # the position inside the stratum, as a fraction, interleaves strata in proportion
            place[k] = (taken[strata[k]] + 0.5) / counts[strata[k]]
            taken[strata[k]] += 1
        order = sorted(order, key=lambda k: place[k])
    n_train, n_valid, n_test = sizes
    test, valid = order[:n_test], order[n_test : n_test + n_valid]
    train = order[n_test + n_valid : n_test + n_valid + n_train]
    return sorted(train), sorted(valid), sorted(test)


def _thinned(train: Sequence[int], wanted: int, seed: int) -> list[int]:
    """``wanted`` frames of those that whole blocks or groups leave for training, the same at every size up to it."""
    if wanted > len(train):
        raise ConfigError(
            f"data.train_size asks for {wanted} frames, but {len(train)} are left for training beside whole blocks or "
            "groups; lower it."
        )
    return sorted(train[k] for k in _shuffled([str(frame) for frame in train], seed)[:wanted])


def block_split(
    n_frames: int, sizes: tuple[int, int, int], seed: int, n_blocks: int, gap: int
) -> tuple[list[int], list[int], list[int]]:
    """Split a time series into ``n_blocks`` contiguous blocks, whole blocks going to one split.

    Sizes are rounded to blocks (at least one for each that is not zero; train has the rest). Where neighbouring blocks
    belong to different splits, ``gap`` frames between them are dropped, from the train side if there is one.
    """
    n_valid, n_test = (max(1, round(n * n_blocks / n_frames)) if n else 0 for n in sizes[1:])
    if n_valid + n_test >= n_blocks or n_blocks > n_frames:
        raise ConfigError(f"data.n_blocks={n_blocks} does not divide {n_frames} frames into three splits; change it.")
    if 2 * gap >= n_frames // n_blocks:
        raise ConfigError(
            f"data.gap={gap} leaves nothing of blocks of {n_frames // n_blocks} frames; lower one of gap and n_blocks."
        )
    order = _shuffled([str(k) for k in range(n_blocks)], seed)
    owner = ["train"] * n_blocks
    for rank, block in enumerate(order[: n_test + n_valid]):
        owner[block] = "test" if rank < n_test else "valid"
    blocks = _blocks(n_frames, n_blocks)
    for k in range(n_blocks - 1 if gap else 0):
        if owner[k] == owner[k + 1]:
            continue
        if owner[k + 1] == "train":
            blocks[k + 1] = blocks[k + 1][gap:]
        else:
            blocks[k] = blocks[k][:-gap]
    train, valid, test = ([i for b, o in zip(blocks, owner, strict=True) if o == name for i in b] for name in NAMES)
    return train, valid, test


def _blocks(n_frames: int, n_blocks: int) -> list[list[int]]:
    return [part.tolist() for part in np.array_split(np.arange(n_frames), n_blocks)]


def group_split(
    groups: Sequence[str], sizes: tuple[int, int, int], seed: int, strata: Sequence[str] | None = None
) -> tuple[list[int], list[int], list[int]]:
    """Whole groups go to one split: test, then validation, are filled up to their size; train has the rest.

    With ``strata`` (a label per frame; a group has that of most of its frames) every stratum is represented in
    proportion, as far as whole groups allow. Test and validation are then missed by up to half of a group.
    """
    names = sorted(set(groups))
    needed = 1 + sum(n > 0 for n in sizes[1:])
    if len(names) < needed:
        raise DataError(f"{len(names)} groups cannot fill {needed} splits; choose another data.group_key.")
    members = {name: [k for k, group in enumerate(groups) if group == name] for name in names}
    queue = [names[k] for k in _shuffled(names, seed)]
    if strata is not None:
        return _stratified_groups(queue, members, sizes, strata)
    parts: dict[str, list[int]] = {"test": [], "valid": []}
    # each split that is still to be filled keeps one group
    for name, wanted, kept in (("test", sizes[2], needed - 1 if sizes[2] else 1), ("valid", sizes[1], 1)):
        while len(parts[name]) < wanted and len(queue) > kept:
            parts[name] += members[queue.pop()]
    train = [k for name in queue for k in members[name]]
    return sorted(train), sorted(parts["valid"]), sorted(parts["test"])


def _stratified_groups(
    queue: Sequence[str], members: Mapping[str, list[int]], sizes: tuple[int, int, int], strata: Sequence[str]
) -> tuple[list[int], list[int], list[int]]:
    """Deal the groups of ``queue`` stratum by stratum; what one stratum leaves open is made up for in the next."""
    frames_of = Counter(strata)
    stratum_of = {name: Counter(strata[k] for k in members[name]).most_common(1)[0][0] for name in queue}
    parts: dict[str, list[int]] = {name: [] for name in NAMES}
    owed = {"test": 0.0, "valid": 0.0}
    for stratum in sorted(frames_of, key=lambda name: (-frames_of[name], name)):
        for split, size in (("test", sizes[2]), ("valid", sizes[1])):
            owed[split] += size * frames_of[stratum] / len(strata)
        for name in (name for name in queue if stratum_of[name] == stratum):
            half = len(members[name]) / 2
            split = next((split for split in owed if owed[split] >= half), "train")
            parts[split] += members[name]
            if split in owed:
                owed[split] -= len(members[name])
    return sorted(parts["train"]), sorted(parts["valid"]), sorted(parts["test"])


def read_split_file(path: Path, n_frames: int) -> Splits:
    """Frame indices from a JSON file ``{"train": [...], "valid": [...], "test": [...]}``, as run directories keep them.

    Raises DataError if the file is missing or malformed, an index is out of range, or a frame is in two splits.
    """
    try:
        content = json.loads(path.read_text())
        splits = {name: [int(i) for i in content[name]] for name in NAMES}
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; check data.split_file.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: is not a JSON object with integer lists train, valid and test; rewrite it."
        ) from error
    owner: dict[int, str] = {}
    for name, indices in splits.items():
        for i in indices:
            if not 0 <= i < n_frames:
                raise DataError(f"{path}: index {i} of {name} is not one of the {n_frames} frames; rewrite the file.")
            if i in owner:
                raise DataError(f"{path}: frame {i} is in {owner[i]} and in {name}; a frame belongs to one split only.")
            owner[i] = name
    return splits
