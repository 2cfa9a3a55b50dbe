"""The Lightning module around a potential: steps, metrics, optimiser and schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch_geometric.data import Batch

from scalarpath.optimizers import build_optimizer
from scalarpath.potential import to_checkpoint
from scalarpath.potential.backend import PotentialBackend, verify
from scalarpath.potential.parts import rate_factors
from scalarpath.runs.sections import OptimizerSettings, SchedulerSettings
from scalarpath.training.clipping import GradientClip
from scalarpath.training.losses import WeightedLoss
from scalarpath.training.metrics import EpochErrors
from scalarpath.training.schedules import LearningRateFactor


class PotentialModule(pl.LightningModule):
    """Trains a Potential on energy per atom, forces and stress.

    Logged once per epoch: ``train/...`` and ``val/...`` metrics as ``core.metrics`` names them, the number of labels
    behind them, the loss with its weighted parts, ``lr`` and the gradient norm before clipping. The validation loss
    always has the weights of the last stage, so that epochs before and after the change compare.

    ``depth_factor``: see ``potential.parts.rate_factors``; ``lr`` is the rate of the fastest part.

    With ``backend`` both steps run it in place of the potential. It is compared with the potential before training
    starts.
    """

    def __init__(
        self,
        potential: Any,
        loss: WeightedLoss,
        optimizer: OptimizerSettings,
        scheduler: SchedulerSettings,
        backend: PotentialBackend | None = None,
        gradient_clip: float | Literal["auto"] | None = None,
        depth_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.potential = potential
        self.backend = backend  # no module: it owns no weights
        self.loss = loss
        self.clip = GradientClip(gradient_clip)
        self.optimizer_settings = optimizer
        self.scheduler_settings = scheduler
        self.depth_factor = depth_factor
        self.train_errors = EpochErrors(loss, sharded=True)
        self.valid_errors = EpochErrors(loss)
        self._steps_of_checkpoint: int | None = None
        self.gradient_norms: list[Tensor] = []  # before clipping, of the optimiser steps of this epoch

    @property
    def progress(self) -> float:
        """Fraction of all epochs that are done."""
        return self.current_epoch / (self.trainer.max_epochs or 1)

    @property
    def _outputs(self) -> dict[str, bool]:
        """The derivatives that the training loss needs."""
        return {key: key in self.loss.settings.required for key in ("forces", "stress")}

    def on_fit_start(self) -> None:
        """Compare the backend, if any, with the plain potential on the first batch: weights are on their device."""
        if self.backend is not None:
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            batch = next(iter(data.train_dataloader())).to(self.device)
            verify(self.backend, batch, lambda out: self.loss(out, batch, self.progress), **self._outputs)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Loss of one batch (float64 scalar)."""
        prediction = (self.backend or self.potential)(batch, **self._outputs)
        self.train_errors.update(prediction, batch)
        return self.loss(prediction, batch, self.progress)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add one batch to the validation errors."""
        # forces are a derivative, and Lightning validates without gradients
        with torch.enable_grad():
            prediction = (self.backend or self.potential)(batch)
        self.valid_errors.update(prediction, batch)

    def on_train_epoch_end(self) -> None:
        """Give the loggers what the epoch has brought; callbacks that save come after this."""
        values = {name: float(value) for name, value in self.trainer.callback_metrics.items()}
        for logger in self.trainer.loggers:
            logger.log_metrics({**values, "epoch": self.current_epoch}, step=self.trainer.global_step - 1)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Log the training errors with the last batch, so that every epoch-end callback finds them."""
        if not self.trainer.is_last_batch:
            return
        self._log_errors("train", self.train_errors, self.progress)
        norms = torch.stack(self.gradient_norms)
        self.gradient_norms.clear()
        rate = max(group["lr"] for group in self.trainer.optimizers[0].param_groups)
        self.note({"train/grad_norm_mean": norms.mean().item(), "train/grad_norm_max": norms.max().item(), "lr": rate})

    def on_validation_epoch_end(self) -> None:
        """Log the validation errors and let the plateau schedule see its monitored value."""
        self._log_errors("val", self.valid_errors, 1.0)
        plateau = self.scheduler_settings.plateau
        if plateau is not None and not self.trainer.sanity_checking:
            self._factor.observe(float(self.trainer.callback_metrics[plateau.monitor]), plateau)

    def _log_errors(self, stage: str, errors: EpochErrors, progress: float) -> None:
        values = errors.compute()
        errors.reset()
        penalties = {key.removesuffix("_penalty"): values.pop(key) for key in list(values) if key.endswith("_penalty")}
        self.note({f"{stage}/{key}": x for key, x in (values | self.loss.terms(penalties, progress)).items()})

    def note(self, values: Mapping[str, float]) -> None:
        """Put values of this epoch, in float32, where callbacks find them: ``trainer.callback_metrics``.

        All processes hold the same numbers up to rounding; the mean makes their decisions the same. Lightning's own
        ``log`` does that with every number by itself, for which an epoch took the time of a step longer.
        """
        means = torch.tensor(list(values.values()), dtype=torch.float32, device=self.device)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(means)
            means /= torch.distributed.get_world_size()
        self.trainer.callback_metrics.update(zip(values, means.cpu().unbind(), strict=True))

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by the norm over all parameters, and keep that norm."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.gradient_norms.append(self.clip(parameters))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Optimiser and per-step schedule."""
        optimizer = build_optimizer(
            self.optimizer_settings,
            self.potential.backbone_parameters(),
            self.potential.head_parameters(),
            rate_factors(self.potential.parts(), self.depth_factor),
        )
        self._factor = LearningRateFactor(self.scheduler_settings, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [self._factor] * len(optimizer.param_groups))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the schedule span the epochs of this launch, which may be more than those of the one before."""
        for schedule in checkpoint["lr_schedulers"]:
            for factor in schedule["lr_lambdas"]:
                self._steps_of_checkpoint = factor.pop("total_steps", None)

    def on_train_start(self) -> None:
        """Begin with the rate of the longer schedule, if it is that; the optimizer has the rate of the shorter one."""
        if self._steps_of_checkpoint in (None, self._factor.total_steps):
            return
        schedule: Any = self.lr_schedulers()
        for group, rate in zip(schedule.optimizer.param_groups, schedule.base_lrs, strict=True):
            group["lr"] = rate * self._factor(schedule.last_epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the potential in its own format, unless the weight average has put its own there."""
        checkpoint.setdefault("potential", to_checkpoint(self.potential))
