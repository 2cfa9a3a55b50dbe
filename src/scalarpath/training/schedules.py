"""Learning-rate schedules: a linear warm-up times a constant, cosine, plateau or step factor."""

from __future__ import annotations

import math

from scalarpath.runs.sections import Plateau, SchedulerSettings


class LearningRateFactor:
    """Factor on the base learning rate as a function of the optimiser step, to be used with torch's LambdaLR.

    LambdaLR stores the attributes of a callable object with its own state, so a checkpoint holds all that is needed to
    continue exactly.
    """

    def __init__(self, settings: SchedulerSettings, total_steps: int) -> None:
        self.warmup_steps = settings.warmup_steps
        self.total_steps = total_steps
        self.final_factor = settings.final_factor
        self.start = settings.start
        self.plateau_factor = 1.0
        self.best = math.inf
        self.bad_epochs = 0

    def __call__(self, step: int) -> float:
        """Factor for the step that comes after ``step`` finished ones."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps * self.plateau_factor
        if self.final_factor is None:
            return self.plateau_factor
        if self.start is not None:
            return 1.0 if step < self.start * self.total_steps else self.final_factor
        length = max(1, self.total_steps - self.warmup_steps)
        progress = min(1.0, (step - self.warmup_steps) / length)
        return self.final_factor + (1.0 - self.final_factor) * 0.5 * (1.0 + math.cos(math.pi * progress))

    def observe(self, value: float, plateau: Plateau) -> None:
        """Take note of the monitored value of one epoch; a value that is not finite counts as no improvement."""
        if value < self.best * (1.0 - plateau.threshold):
            self.best, self.bad_epochs = value, 0
            return
        self.bad_epochs += 1
        if self.bad_epochs > plateau.patience:
            self.plateau_factor = max(plateau.min_factor, self.plateau_factor * plateau.factor)
            self.bad_epochs = 0
