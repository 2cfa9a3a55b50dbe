"""Weights of frames in the loss: by file, config_type and other keys."""

from __future__ import annotations

import json

import numpy as np
import pytest
from composed_jobs import SMOKE, job, run

from scalarpath.core.errors import ConfigError, ScalarPathError
from scalarpath.data.config import DataConfig
from scalarpath.data.datamodule import AtomicDataModule
from scalarpath.data.groups import frame_weights
from scalarpath.data.sources import load_dataset


def weights_of(config):
    config = DataConfig.read(config)
    return frame_weights(config, load_dataset(config).frames)


@pytest.fixture
def two_files(write, make_silicon, settings):
    frames = make_silicon(10)
    return settings([write(frames[:4], "new.extxyz"), write(frames[4:], "old.extxyz")])


def test_a_weight_is_that_of_all_patterns_that_a_frame_has(two_files):
    assert weights_of(two_files | {"weights": None}) is None
    by_file = weights_of(two_files | {"weights": {"file": {"old*": 0.1}}})
    np.testing.assert_allclose(by_file, [1.0] * 4 + [0.1] * 6)
    # config_type: cold, hot, cold, ...
    both = weights_of(two_files | {"weights": {"file": {"old.extxyz": 0.1}, "config_type": {"hot": 2.0, "cold": 0.0}}})
    np.testing.assert_allclose(both, [0.0, 2.0, 0.0, 2.0] + [0.0, 0.2] * 3)


@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        (
            {"file": {"odl.extxyz": 0.1}},
            r"data.weights.file: no frame has 'odl.extxyz'; there are: new.extxyz, old",
        ),
        ({"kind": {"a": 0.1}}, r"no info key 'kind' \(data.weights\)"),
        ({"file": {"old*": -1}}, r"data.weights.*at least 0"),
        ({"old.extxyz": 0.1}, r"data.weights"),
    ],
)
def test_what_is_no_weight_is_refused(two_files, weights, complaint):
    with pytest.raises(ScalarPathError, match=complaint):
        weights_of(two_files | {"weights": weights})


def test_data_and_splits_stay_as_they_are(two_files):
    plain, weighed = (
        AtomicDataModule(two_files | more, cutoff=4.0, seed=0) for more in ({}, {"weights": {"file": {"old*": 0.1}}})
    )
    for data in (plain, weighed):
        data.setup()
    assert plain.data_hash == weighed.data_hash
    assert plain.splits == weighed.splits
    assert weighed.frame_weights.tolist() == pytest.approx([1.0] * 4 + [0.1] * 6)


def test_weights_of_one_change_no_digit_and_others_do(tmp_path):
    def errors(name: str, *overrides: str) -> dict:
        run(job(*SMOKE, *overrides, f"output_dir={tmp_path / name}"))
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        return {key: value for key, value in summary.items() if key.startswith(("test/", "valid_frames/"))}

    plain, ones = errors("plain"), errors("ones", "data.weights={config_type:{*:1.0}}")
    assert plain == ones
    assert plain != errors("others", "data.weights={config_type:{*:1.0,hot*:0.0}}")
    with pytest.raises(ConfigError, match=r"head.linear is fitted to all frames alike; leave data.weights out"):
        errors("linear", "head=linear", "data.weights={config_type:{*:1.0}}")
