"""A head and its encoder that are fine-tuned on the partial and the full view of each observation."""

from typing import Any, NamedTuple, Protocol

from torch import Tensor, nn

from omicsmlm._types import Batch, Encoded, Module
from omicsmlm.masking import FULL, PARTIAL


class TunedNetwork(Protocol):
    """An encoder with the head that reads its embedding."""

    n_latent: int

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed one view."""
        ...

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed one view of a batch."""
        ...

    def predicted(self, z_nd: Tensor, batch: Batch) -> Tensor:
        """Return what the head predicts, (n, o), from an embedding of the observations of a batch."""
        ...


class ViewOutputs(NamedTuple):
    """What is predicted from both views, and the embeddings that it is predicted from."""

    full: Tensor
    """(n, o)."""
    partial: Tensor
    """(n, o)."""
    full_nd: Tensor
    """(n, d)."""
    partial_nd: Tensor
    """(n, d)."""


class BothViews(Module):
    """Applies a network to both views of a batch.

    Parameters
    ----------
    network
        An encoder with its head, whose weights are trained; see :class:`TunedNetwork`.
    """

    def __init__(self, network: TunedNetwork) -> None:
        super().__init__()
        assert isinstance(network, nn.Module)
        self.n_latent = network.n_latent
        self.network = network

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed one view, as the encoder does."""
        return self._network.encode(views)

    def forward(self, views: dict[str, Any], batch: Batch) -> ViewOutputs:
        """Predict from both views."""
        full_nd, partial_nd = (self._network.embed(views[name], batch).mean for name in (FULL, PARTIAL))
        full, partial = (self._network.predicted(z_nd, batch) for z_nd in (full_nd, partial_nd))
        return ViewOutputs(full, partial, full_nd, partial_nd)

    @property
    def _network(self) -> TunedNetwork:
        network: Any = self.network
        return network
