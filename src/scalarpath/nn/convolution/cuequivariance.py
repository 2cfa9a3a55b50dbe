"""The channelwise convolution in the kernels of NVIDIA's cuequivariance, an alternative to our own fused sum.

One segmented polynomial (weights x features x harmonics, coupled by Clebsch-Gordan coefficients) per convolution, with
the gather from neighbours and the sum over them inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scalarpath.core.errors import ConfigError
from scalarpath.graph.geometry import EdgeGeometry
from scalarpath.nn.angular import block, clebsch_gordan

if TYPE_CHECKING:
    from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution

SMALLEST_COEFFICIENT = 1e-12  # below it a Clebsch-Gordan coefficient is zero, up to rounding


class CuequivarianceConvolution:
    """Called like ``ChannelwiseConvolution``, whose paths and couplings it takes; it owns no weights.

    On a GPU by the method uniform_1d, elsewhere by cuequivariance's own plain torch, which is slow. Raises ConfigError
    where the package, or on a GPU its kernels, are not installed.
    """

    def __init__(self, convolution: ChannelwiseConvolution):
        if find_spec("cuequivariance_torch") is None:
            raise ConfigError(
                "kernels=cuequivariance needs the package cuequivariance-torch; install scalarpath[cuequivariance], or "
                "set kernels=null."
            )
        self.channels, self.degrees = convolution.channels, convolution.degrees
        self.n_scalar_groups, self.split_weights = convolution.n_scalar_groups, convolution.split_weights
        self.targets = [
            (2 * ir.l + 1, width) for ir, width in zip(convolution.targets, convolution.fan_out, strict=True)
        ]
        self.unit = math.gcd(*self.channels)  # channels in segments of one size, as the kernels need
        self.polynomial = self._polynomial(convolution)
        self._modules: dict[tuple[torch.device, torch.dtype], torch.nn.Module] = {}

    def __call__(
        self,
        features: Sequence[Tensor],
        weights: Sequence[Tensor],
        harmonics: Tensor,
        geometry: EdgeGeometry,
        gate: Tensor | None = None,
    ) -> list[Tensor]:
        """See ``ChannelwiseConvolution.forward``."""
        weights = self.split_weights(weights, geometry)
        if gate is not None:
            n, factor = self.n_scalar_groups, gate.flatten(0, 1)
            weights = [*(w * factor for w in weights[:n]), *weights[n:]]
        atom_of_slot = torch.arange(geometry.n_atoms, device=harmonics.device).repeat_interleave(geometry.max_degree)
        joined = torch.cat([values.flatten(1) for values in features], dim=1)
        (out,) = self._module(joined)(
            [torch.cat(list(weights), dim=1), joined, harmonics.flatten(0, 1)],
            input_indices={1: geometry.padded_neighbour},
            output_shapes={0: joined.new_empty(geometry.n_atoms, 1)},
            output_indices={0: atom_of_slot},
        )
        blocks = out.split([m * width for m, width in self.targets], dim=1)
        return [values.unflatten(1, shape) for values, shape in zip(blocks, self.targets, strict=True)]

    def _module(self, like: Tensor) -> torch.nn.Module:
        key = (like.device, like.dtype)
        if key not in self._modules:
            import cuequivariance_torch

            on_gpu = like.device.type == "cuda"
            if on_gpu and find_spec("cuequivariance_ops_torch") is None:
                raise ConfigError(
                    "kernels=cuequivariance needs cuequivariance-ops-torch for the CUDA version of this machine; "
                    "install cuequivariance-ops-torch-cu12 or -cu13, or set kernels=null."
                )
            method = "uniform_1d" if on_gpu else "naive"
            module = cuequivariance_torch.SegmentedPolynomial(self.polynomial, method=method, math_dtype=like.dtype)
            self._modules[key] = module.to(like.device)
        return self._modules[key]

    def _polynomial(self, convolution: ChannelwiseConvolution) -> Any:
        """sum over paths of CG W h Y; segments of ``unit`` channels, weights in the order of the groups."""
        import cuequivariance as cue

        product = cue.SegmentedTensorProduct.from_subscripts("u,u,,u")
        chunks = [channels // self.unit for channels in self.channels]
        sizes = [(2 * degree + 1) * n for degree, n in zip(self.degrees, chunks, strict=True)]
        widths = [width // self.unit for _, width in self.targets]
        heights = [m * width for (m, _), width in zip(self.targets, widths, strict=True)]
        for _ in range(sum(chunks[convolution.paths[p].source] for members in convolution.members for p in members)):
            product.add_segment(0, (self.unit,))
        for _ in range(sum(sizes)):
            product.add_segment(1, (self.unit,))
        for _ in range((1 + max(path.l_edge for path in convolution.paths)) ** 2):
            product.add_segment(2, ())
        for _ in range(sum(heights)):
            product.add_segment(3, (self.unit,))
        # where the channels of a path begin among those of its target, in the order of ``paths``
        begins, filled = [], [0] * len(self.targets)
        for source, _, target in convolution.paths:
            begins.append(sum(heights[:target]) + filled[target])
            filled[target] += chunks[source]
        weight = 0
        for p in (p for members in convolution.members for p in members):
            source, l2, target = convolution.paths[p]
            coupling = clebsch_gordan(self.degrees[source], l2, convolution.targets[target].l)
            for m1, m2, m3 in torch.nonzero(coupling.abs() > SMALLEST_COEFFICIENT).tolist():
                for k in range(chunks[source]):
                    feature = sum(sizes[:source]) + m1 * chunks[source] + k
                    out = begins[p] + m3 * widths[target] + k
                    value = coupling[m1, m2, m3].item()
                    product.add_path(weight + k, feature, block(l2).start + m2, out, c=value)
            weight += chunks[source]
        *inputs, output = product.operands
        return cue.SegmentedPolynomial(inputs, [output], [(cue.Operation([0, 1, 2, 3]), product)])
