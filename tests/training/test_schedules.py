"""Learning-rate schedules."""

from __future__ import annotations

import pytest

from scalarpath.core.errors import ConfigError
from scalarpath.runs.sections import Plateau, SchedulerSettings
from scalarpath.training.schedules import LearningRateFactor

PLATEAU = Plateau(monitor="val/loss", factor=0.5, patience=1, threshold=0.1, min_factor=0.2)


def factor(kind: str, warmup_steps: int = 0) -> LearningRateFactor:
    settings = SchedulerSettings(
        kind=kind,
        warmup_steps=warmup_steps,
        final_factor=0.1 if kind in ("cosine", "step") else None,
        start=0.8 if kind == "step" else None,
        plateau=PLATEAU if kind == "plateau" else None,
    )
    return LearningRateFactor(settings, total_steps=100)


def test_warm_up_rises_linearly_and_ends_at_the_full_rate() -> None:
    f = factor("constant", warmup_steps=4)
    assert [f(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_falls_from_one_to_the_final_factor_and_stays_there() -> None:
    f = factor("cosine", warmup_steps=20)
    assert f(20) == 1.0
    assert f(60) == pytest.approx(0.55)
    assert f(100) == pytest.approx(0.1)
    assert f(200) == pytest.approx(0.1)
    assert all(f(step) > f(step + 1) for step in range(20, 100))


def test_step_keeps_the_rate_until_its_start() -> None:
    f = factor("step", warmup_steps=2)
    assert [f(step) for step in (0, 1, 2, 79, 80, 99, 200)] == [0.5, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1]


def test_plateau_lowers_the_rate_after_more_than_patience_bad_epochs_and_not_below_its_minimum() -> None:
    f = factor("plateau")
    seen = []
    for value in (1.0, 0.95, 0.95, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        f.observe(value, PLATEAU)
        seen.append(f(0))
    assert seen == [1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]


def test_a_value_that_is_not_a_number_is_no_improvement() -> None:
    f = factor("plateau")
    f.observe(float("nan"), PLATEAU)
    assert f.bad_epochs == 1


def test_settings_of_another_schedule_are_refused() -> None:
    with pytest.raises(ConfigError, match="final_factor belongs to scheduler=cosine"):
        SchedulerSettings(kind="constant", warmup_steps=0, final_factor=0.1, plateau=None)
    with pytest.raises(ConfigError, match=r"scheduler\.start .* belongs to scheduler=step"):
        SchedulerSettings(kind="cosine", warmup_steps=0, final_factor=0.1, plateau=None, start=0.5)
    with pytest.raises(ConfigError, match=r"scheduler\.plateau"):
        SchedulerSettings(kind="plateau", warmup_steps=0, final_factor=None, plateau=None)
