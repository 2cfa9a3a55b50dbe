from dataclasses import asdict, fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from scalarpath.core.errors import ConfigError
from scalarpath.core.resources import CONF_DIR
from scalarpath.data.config import DataConfig

GROUP = sorted(path.stem for path in (CONF_DIR / "data").glob("*.yaml"))


def resolved(name, *overrides):
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        config = compose(overrides=[f"+data={name}", *overrides])
    return OmegaConf.to_container(config.data, resolve=True)


def test_every_data_set_is_there():
    names = "ag ag_eam ag_eam_near ethanol extxyz lif lif_bm lif_bm_near lif_grouped"
    names += " md17 rmd17 rmd17_100 si si_sw si_sw_near"
    assert names.split() == GROUP


@pytest.mark.parametrize("name", GROUP)
def test_every_file_of_the_group_is_valid(name):
    config = DataConfig.read(resolved(name, *(["data.path=x.extxyz"] if name == "extxyz" else [])))
    assert config.name == name


def test_the_documented_file_has_every_setting_and_completes_a_section():
    documented = resolved("extxyz")
    assert documented.keys() == {f.name for f in fields(DataConfig)}
    assert asdict(DataConfig.read({"path": "x", "n_blocks": 3})) == documented | {"path": "x", "n_blocks": 3}


def test_forgotten_path_is_told():
    with pytest.raises(ConfigError, match=r"data\.path is not set; .* data\.path=my_frames\.extxyz"):
        DataConfig.read(resolved("extxyz"))


def test_cache_folder_follows_setting_then_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("SCALARPATH_CACHE", str(tmp_path / "env"))
    assert DataConfig.read({"path": "x"}).cache_root == tmp_path / "env"
    assert DataConfig.read({"path": "x", "cache_dir": str(tmp_path / "set")}).cache_root == tmp_path / "set"
    monkeypatch.delenv("SCALARPATH_CACHE")
    assert DataConfig.read({"path": "x"}).cache_root == Path.home() / ".cache" / "scalarpath"


@pytest.mark.parametrize(
    "bad",
    [
        {"batch_size": 0},
        {"batch_size": 2.5},
        {"gap": -1},
        {"train_size": 1.5},
        {"test_size": 0},
        {"valid_size": "some"},
        {"download": "yes"},
        {"split": "stratified"},
        {"split": "groups"},
        {"split": "file"},
        {"source": "web"},
        {"on_suspicious": "ignore"},
        {"e0s": {"Si": "low"}},
        {"source": "rmd17"},
    ],
)
def test_bad_values_are_config_errors(bad):
    with pytest.raises(ConfigError, match=r"^data\..*\.$"):
        DataConfig.read({"path": "x", **bad})


def test_a_size_is_a_fraction_or_a_count():
    assert DataConfig.read({"path": "x", "train_size": 20, "valid_size": 0.5}).train_size == 20
    with pytest.raises(ConfigError, match="greater than 0 and less than 1 or a whole number at least 1 or null"):
        DataConfig.read({"path": "x", "train_size": 1.5})
