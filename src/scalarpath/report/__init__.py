"""Reports: paired statistics of finished runs over arms, seeds, data sets and backbones, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    from scalarpath.report.aggregate import Aggregate


def run(cfg: DictConfig) -> Aggregate:
    """Write the report that a composed conf/report.yaml asks for.

    Raises ConfigError for wrong settings, ReportError for runs that must not be compared.
    """
    from scalarpath.report.settings import ReportSettings

    # a wrong setting is reported before seconds go by with imports
    settings = ReportSettings.from_hydra(cfg)
    from scalarpath.report.command import write_report

    return write_report(settings)
