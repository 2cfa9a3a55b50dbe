"""Strict reading of configuration sections."""

from __future__ import annotations

from typing import Any

import pytest
from toy_training import toy_config

from scalarpath.core.errors import ConfigError
from scalarpath.runs.job import Job


def changed(path: str, value: Any) -> dict[str, Any]:
    config = toy_config()
    *sections, key = path.split(".")
    place = config
    for section in sections:
        place = place[section]
    place[key] = value
    return config


def test_a_sound_configuration_is_read() -> None:
    settings = Job.read(toy_config())
    assert settings.optimizer.lr == 0.01
    assert settings.callbacks.ema is not None
    assert settings.callbacks.ema.decay == 0.9
    assert settings.trainer.max_time is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("optimizer.learning_rate", 0.1, r"optimizer has no setting 'learning_rate'; known settings: .*lr"),
        ("callbacks.swa", {}, r"callbacks has no setting 'swa'; known settings: .*ema"),
        ("callbacks.ema.decya", 0.1, r"callbacks\.ema has no setting 'decya'"),
        ("optimizer.lr", 0.0, r"optimizer\.lr must be greater than 0, not 0"),
        ("optimizer.lr", float("nan"), r"optimizer\.lr must be greater than 0"),
        ("optimizer.lr", "fast", r"optimizer\.lr must be a number, not 'fast'"),
        ("optimizer.lr", True, r"optimizer\.lr must be a number, not True"),
        ("optimizer.lr", None, r"optimizer\.lr must be a number, not None"),
        ("optimizer.amsgrad", 1, r"optimizer\.amsgrad must be true or false, not 1"),
        ("optimizer.kind", "sgd", r"optimizer\.kind must be one of adam, adamw, not 'sgd'"),
        ("trainer.max_epochs", 0, r"trainer\.max_epochs must be at least 1"),
        ("trainer.max_epochs", 1.5, r"trainer\.max_epochs must be a whole number, not 1\.5"),
        ("trainer.max_time", -1.0, r"trainer\.max_time must be greater than 0"),
        ("callbacks.ema.decay", 1.0, r"callbacks\.ema\.decay must be less than 1"),
        ("callbacks.ema", 0.99, r"callbacks\.ema must be a group of settings, not 0\.99"),
        ("callbacks.checkpoint", None, r"callbacks\.checkpoint must be a group of settings"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_refused_in_one_sentence(path: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Job.read(changed(path, value))
    assert "\n" not in str(error.value)


def test_a_missing_setting_is_named() -> None:
    config = toy_config()
    del config["optimizer"]["lr"]
    with pytest.raises(ConfigError, match="optimizer lacks the setting 'lr'"):
        Job.read(config)
