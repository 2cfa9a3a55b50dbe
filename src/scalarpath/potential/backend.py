"""What may compute a potential in place of torch's own operations, and its comparison with them before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data

from scalarpath.core.errors import ConfigError, ScalarPathError, TrainingError
from scalarpath.potential.potential import Potential

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}  # difference, over the largest value of each quantity


class PotentialBackend(Protocol):
    """Another way to compute a potential, called like it; ``setting`` is what the user wrote to get it."""

    potential: Potential
    setting: str

    def __call__(self, graph: Data, *, forces: bool = True, stress: bool = True) -> dict[str, Tensor]:
        """Predictions for a batch, see Potential.forward."""

    def require(self, graph: Data) -> None:
        """Raise ConfigError for a batch on which nothing could be compared."""

    def message(self, problem: str) -> str:
        """The sentence for an error of foreign code; ``problem`` is its class and first line."""


@contextmanager
def errors_as_sentences(backend: PotentialBackend) -> Iterator[None]:
    """Turn whatever foreign code raises on behalf of the backend into a ConfigError."""
    try:
        yield
    except ScalarPathError:
        raise
    except Exception as error:
        cause = getattr(error, "inner_exception", error)  # torch.compile wraps what it meets
        first = (str(cause).strip().splitlines() or [""])[0]
        raise ConfigError(backend.message(f"{type(cause).__name__}: {first}")) from error


def verify(
    backend: PotentialBackend, graph: Data, loss: Callable[[Mapping[str, Tensor]], Tensor], **outputs: bool
) -> None:
    """Compare on one batch, for training (with these outputs) and for validation (all).

    Compared are the predictions and the gradient of ``loss`` of the predictions by the parameters. Both start from the
    same buffers and random numbers, and training goes on from these as if nothing had been compared. Raises ConfigError
    for a batch that is too small, TrainingError where the two differ (see TOLERANCE).
    """
    backend.require(graph)
    potential = backend.potential
    training, parameters = potential.training, [p for p in potential.parameters() if p.requires_grad]
    results = []
    for model in (potential, backend):
        errors = nullcontext() if model is potential else errors_as_sentences(backend)
        with _state_put_back(potential), errors:
            potential.train()
            result = model(graph, **outputs)
            gradients = torch.autograd.grad(loss(result), parameters, allow_unused=True, materialize_grads=True)
            potential.eval()
            validation = {f"{key} in validation": value.detach() for key, value in model(graph).items()}
        result["gradient of the loss"] = torch.cat([gradient.flatten() for gradient in gradients])
        results.append({**result, **validation})
    potential.train(training)
    limit = TOLERANCE[potential.dtype]
    for key, plain in results[0].items():
        ratio = relative_difference(results[1][key].detach(), plain.detach())
        if not ratio <= limit:
            raise TrainingError(
                f"{backend.setting}: {key} differs from that of the plain potential by {ratio:.1e} of the largest "
                f"value on the first training batch, more than {limit:.0e}; leave this setting out."
            )


@contextmanager
def _state_put_back(potential: Potential) -> Iterator[None]:
    """Put back what a pass counts or draws: buffers of the potential (``draws`` of a shuffle), torch's generators."""
    buffers = {name: buffer.clone() for name, buffer in potential.named_buffers()}
    with torch.random.fork_rng([potential.device] if potential.device.type == "cuda" else []):
        try:
            yield
        finally:
            for name, buffer in potential.named_buffers():
                buffer.copy_(buffers[name])


def relative_difference(value: Tensor, reference: Tensor) -> float:
    """Largest difference over the largest reference; NaN in both (no stress without a period) is no difference."""
    difference = (value - reference).masked_fill(value.isnan() & reference.isnan(), 0.0).abs().max()
    return float(difference / reference.nan_to_num().abs().max()) if difference != 0.0 else 0.0
