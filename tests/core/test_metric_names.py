"""Names of quantities and metrics, and the check of settings that name a metric."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scalarpath.core.errors import ConfigError
from scalarpath.core.metrics import check_monitor, logged_metrics, metric_name
from scalarpath.core.quantities import PRIMARY_FIRST, QUANTITIES


def test_names_in_files_carry_quantity_statistic_and_unit() -> None:
    assert [metric_name(name) for name in QUANTITIES] == [
        "energy_mae_meV_atom", "forces_mae_meV_A", "stress_mae_meV_A3",
    ]  # fmt: skip
    assert metric_name("forces", "rmse") == "forces_rmse_meV_A"
    assert [quantity.name for quantity in PRIMARY_FIRST] == ["forces", "energy", "stress"]


def test_a_metric_that_is_not_logged_is_refused_with_the_nearest_name() -> None:
    logged = logged_metrics({"energy", "forces"})
    check_monitor("a.setting", "val/stress_mae_meV_A3", logged)
    for name, hint in (
        ("val/los", r" \(did you mean 'val/loss'\?\); choose one of: .*val/forces_mae_meV_A"),
        ("val/force_mae_meV_A", r" \(did you mean 'val/forces_mae_meV_A'\?\)"),
        ("val/loss_stress", ""),
        ("train/stress_mae_meV_A3", ""),
    ):
        with pytest.raises(ConfigError, match=f"a.setting = '{name}' is not logged in this run{hint}"):
            check_monitor("a.setting", name, logged)


def test_a_metric_without_labels_behind_it_is_refused() -> None:
    logged = logged_metrics(QUANTITIES)
    for name in ("val/stress_rmse_meV_A3", "val/loss_stress"):
        with pytest.raises(ConfigError, match=f"'{name}' is not logged in this run, since no validation frame has a"):
            check_monitor("a.setting", name, logged, lambda part, quantity: quantity != "stress")
    check_monitor("a.setting", "train/stress_rmse_meV_A3", logged, lambda part, quantity: part == "train")


def test_what_tells_nothing_of_errors_is_not_monitored() -> None:
    for name in ("val/energy_labels", "lr"):
        with pytest.raises(ConfigError, match=f"'{name}' says nothing of how good a potential is.*val/loss"):
            check_monitor("a.setting", name, logged_metrics(QUANTITIES))


def test_settings_and_reports_can_read_the_names_without_torch() -> None:
    code = "import sys, scalarpath.core.metrics; sys.exit('torch' in sys.modules or 'ase' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
