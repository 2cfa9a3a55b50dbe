"""A potential whose convolutions run in cuEquivariance's kernels (``kernels=cuequivariance`` of train.py)."""

from __future__ import annotations

from torch import Tensor
from torch_geometric.data import Data

from scalarpath.core.errors import ConfigError
from scalarpath.nn.convolution.channelwise import ChannelwiseConvolution
from scalarpath.nn.convolution.cuequivariance import CuequivarianceConvolution
from scalarpath.potential.potential import Potential


class CuequivariancePotential:
    """Called like its potential, with the same results up to rounding and the same derivatives.

    Raises ConfigError for a backbone without channelwise convolutions, or where the package is not installed.
    """

    setting = "kernels=cuequivariance"

    def __init__(self, potential: Potential):
        self.potential = potential
        found = [module for module in potential.backbone.modules() if isinstance(module, ChannelwiseConvolution)]
        if not found:
            kind = potential.config["backbone"]["kind"]
            raise ConfigError(
                f"{self.setting}: backbone {kind} has no channelwise convolution, which is what the kernels replace; "
                "set kernels=null."
            )
        self._kernels = [(convolution, CuequivarianceConvolution(convolution)) for convolution in found]

    def __call__(self, graph: Data, *, forces: bool = True, stress: bool = True) -> dict[str, Tensor]:
        """Predictions for a batch, see Potential.forward."""
        for convolution, kernel in self._kernels:
            convolution.kernel = kernel
        try:
            return self.potential(graph, forces=forces, stress=stress)
        finally:
            for convolution, _ in self._kernels:
                convolution.kernel = None

    def require(self, graph: Data) -> None:
        """Any batch will do."""

    def message(self, problem: str) -> str:
        """The sentence for an error of the other package."""
        return f"{self.setting} does not work here ({problem}); set kernels=null."
