"""The records that pass from the data to the tokenizer, the masking, the network and the objective.

Every record is a ``NamedTuple``, because Lightning moves named tuples (and dictionaries of them) to the device.
Tensor axes: n observations, t tokens, g features, d width, k covariates.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ._draws import Draws
from ._sizes import is_on_host

Kind = Literal["counts", "accessibility", "protein", "fraction", "real"]
"""What the values of a modality are.

``counts``: raw non-negative integers (RNA). ``protein``: raw non-negative integers of antibody tags.
``accessibility``: peak counts or 0/1. ``fraction``: 0 to 1, NaN where not measured (methylation beta).
``real``: any finite number, NaN where not measured (log values, z-scores).
"""

SPARSE_KINDS: frozenset[str] = frozenset({"counts", "accessibility", "protein"})
"""Kinds in which a value that is not stored is a measured zero; in the others a NaN is not measured."""


DATASET, PROFILED = "dataset", "profiled"
"""Where an object put together of several data sets says so: ``obs["dataset"]`` has the data set of each observation, and
``varm["profiled"]`` a boolean column per data set, true for the features that it measured."""

SOURCES = "omicsmlm_sources"
"""Annotation of a dask array's own layer: the :class:`Source` s of its observations, in this order."""


@dataclass(frozen=True, eq=False)
class Source:
    """The values of one file in an object put together of several: read from there, not through dask.

    Equal to nothing but itself, as dask compares annotations.
    """

    values: Any
    """CSR dataset (``anndata.abc.CSRDataset``) in HDF5 or zarr."""
    column_of: np.ndarray | None
    """(features of the file,) column of each in the object put together; None where they are the same."""


class Tokens(NamedTuple):
    """The values of one modality for a batch of observations, packed without padding.

    Observation ``i`` has the tokens ``offsets[i]:offsets[i + 1]``; one without this modality has none.
    """

    ids: Tensor
    """(t,) int32: position of the feature in the modality's vocabulary."""
    values: Tensor
    """(t,) float32: the stored value, in the modality's own units."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""


class Panels(NamedTuple):
    """The features that each of several data sets measured (their gene panels), and the data set of each observation."""

    measured: Tensor
    """(s, g) bool: the features of the vocabulary that each data set measured."""
    of_obs: Tensor
    """(n,) int64: data set of each observation, -1 for one without this modality."""


MASK_BIT = 128
"""Bit of a residue that is set where it is masked; letters have 7 bits."""


class Sequences(NamedTuple):
    """Sequences of one modality for a batch of observations, packed without padding, each distinct one once.

    Sequence ``i`` has the residues ``offsets[i]:offsets[i + 1]``.
    """

    residues: Tensor
    """(t,) uint8: ASCII codes of upper-case letters; T, never U, in nucleotides. A masked residue has :data:`MASK_BIT` beside its
    letter: encoders that cut a sequence into words need the letters to leave the words around a masked region as they were."""
    offsets: Tensor
    """(u + 1,) int64: cumulative lengths."""
    of_obs: Tensor
    """(n,) int64: the sequence of each observation, -1 for one that has none."""
    digests: Tensor
    """(u, 2) int64: a hash of each whole sequence, the same in every object and every session."""


class OnHost:
    """Numbers that stay on the host.

    A record holds them in this class because Lightning moves any tensor of a batch to the device, and a loader pins it.

    Parameters
    ----------
    values
        The numbers.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values


class Batch(NamedTuple):
    """A batch of observations as the loader yields it."""

    tokens: dict[str, Tokens]
    """One packed record per modality."""
    present: dict[str, Tensor]
    """(n,) bool per modality: the observation was measured in it."""
    measured: dict[str, Tensor]
    """(g,) bool per modality: the object has this feature of the vocabulary."""
    covariates: Tensor
    """(n, k) int64: category of each covariate, -1 where unknown; the batch is column 0."""
    indices: Tensor
    """(n,) int64: position of each observation in the object."""
    panels: Mapping[str, Panels] = {}
    """Per modality of several data sets put together: the features that each observation was measured in."""
    sequences: Mapping[str, Sequences] = {}
    """Per modality that is a sequence, which has no tokens and no features: its residues."""
    draws: Draws | None = None
    """Random numbers of the step, in training and validation; None where nothing is drawn."""
    n_ranks: int = 1
    """Processes that share the step: each holds a part of its observations."""
    lengths: Mapping[str, OnHost] = {}
    """(n,) int64 per modality: tokens of each observation, on the host, which then does not wait for the device."""
    numbers: Tensor | None = None
    """(n, c) float32: continuous covariates, standardised, 0 where unknown; None where there are none."""
    size_factors: Tensor | None = None
    """(n,) float32: size factor relative to the reference's median, NaN where unknown; None where depth is read off the counts."""
    unmasked_nd: Tensor | None = None
    """(n, d): embedding of the unmasked observations, without gradient, where the objective's memory bank lacks some."""
    digests: Tensor | None = None
    """(n,) int64: a hash of each observation's name, the same in every object and every session."""


def measured_in(batch: Batch, name: str) -> Tensor:
    """Return the features that each observation was measured in: (n, g) bool, or (1, g) where all share them.

    Examples
    --------
    >>> nothing, two = torch.zeros(2, 0, dtype=torch.int64), torch.arange(2)
    >>> panels = Panels(torch.tensor([[True, False], [True, True]]), two)
    >>> batch = Batch({}, {}, {"rna": torch.tensor([True, True])}, nothing, two, {"rna": panels})
    >>> measured_in(batch, "rna").tolist()
    [[True, False], [True, True]]
    """
    if name not in batch.panels:
        return batch.measured[name][None]
    panels = batch.panels[name]
    return panels.measured[panels.of_obs.clamp(min=0)] & (panels.of_obs >= 0)[:, None]


class Grid(NamedTuple):
    """One modality of a batch as a dense matrix of observations by features, which only a batch is small enough for."""

    values: Tensor
    """(n, g) float32 in the modality's own units; 0 where not visible."""
    visible: Tensor
    """(n, g) bool: false alike for padding, a missing modality, an unmeasured and a masked feature."""
    total: Tensor
    """(n,) float32: expected sum of the observation over the whole vocabulary, less what is masked; the depth of counts."""


class FewVisible(NamedTuple):
    """A :class:`Grid` so few of whose features are visible that gathering them is cheaper.

    The bound ``most`` is known on the host, so that gathering need not wait for the device.
    """

    values: Tensor
    """(n, g) float32, as in :class:`Grid`."""
    visible: Tensor
    """(n, g) bool, as in :class:`Grid`."""
    total: Tensor
    """(n,) float32, as in :class:`Grid`."""
    most: int
    """Upper bound on the visible features of an observation."""


class TokenSet(NamedTuple):
    """One modality of a batch as the features detected in each observation: packed tokens, no padding.

    Observation ``i`` has the tokens ``offsets[i]:offsets[i + 1]``. A feature without a token is a measured zero, was not
    measured, or has been dropped: the encoder does not tell the three apart.
    """

    ids: Tensor
    """(t,) int64: position of the feature in the modality's vocabulary, -1 where it is masked."""
    values: Tensor
    """(t,) float32 in the modality's own units, NaN where the value is masked."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""
    fraction: Tensor
    """(n,) float32: fraction of the observation's tokens that was kept, 1 where none was dropped."""
    covered: Tensor
    """(n,) float32: fraction of the observation's total, over the whole vocabulary, that its visible values should make up."""
    measured: Tensor
    """(g,) bool: the object has this feature of the vocabulary."""
    present: Tensor
    """(n,) bool: the observation was measured in this modality."""
    cache: "TokenCache | None" = None
    """What the host knows of these tokens already: see :func:`cached_lengths` and :func:`masked_positions`."""


class TokenCache:
    """Lengths and masked positions of tokens, held so that the host does not wait for the device again.

    It holds for the very tensors it was made with: a :class:`TokenSet` with other offsets or values ignores it.

    Parameters
    ----------
    offsets, lengths
        Cumulative lengths of the observations on the device, and the n lengths on the host; no token stands behind those
        of the last observation.
    values, masked
        Values, and the positions, (s,) int64, of those that are masked while their feature is visible.
    """

    def __init__(
        self, offsets: Tensor, lengths: list[int], values: Tensor | None = None, masked: Tensor | None = None
    ) -> None:
        self.offsets, self.lengths, self.values, self.masked = offsets, lengths, values, masked


def cached_lengths(part: TokenSet) -> list[int] | None:
    """Return the number of tokens of each of n observations where the host knows it, else None."""
    is_it = part.cache is not None and part.cache.offsets is part.offsets
    return part.cache.lengths if is_it and part.cache is not None else None


def masked_positions(part: TokenSet) -> Tensor:
    """Return the positions of the tokens whose value, and not their feature, is masked, (s,) int64; waits for the device if not cached."""
    if part.cache is None or part.cache.values is not part.values or part.cache.masked is None:
        return (part.values.isnan() & (part.ids >= 0)).nonzero()[:, 0]
    return part.cache.masked


View = Grid | FewVisible | TokenSet | Sequences
"""One modality of a batch in the form that a family's encoder takes."""


def obs_of(packed: Tokens | TokenSet) -> Tensor:
    """Return the observation of each token, (t,) int64.

    Examples
    --------
    >>> obs_of(Tokens(torch.arange(3), torch.ones(3), torch.tensor([0, 2, 2, 3])))
    tensor([0, 0, 2])
    """
    owners = torch.arange(len(packed.offsets) - 1, device=packed.offsets.device)
    return torch.repeat_interleave(owners, packed.offsets.diff(), output_size=len(packed.ids))


def positions_of(offsets: Tensor, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Return, (t,) int64 each, the observation (or sequence) of each packed token and its position within that.

    On a device there may be tokens behind those of the last one (:mod:`omicsmlm._sizes`); they are numbered as if they
    belonged to it.

    Examples
    --------
    >>> positions_of(torch.tensor([0, 2, 2, 3]), 3)
    (tensor([0, 0, 2]), tensor([0, 1, 0]))
    """
    n_owners, place_t = len(offsets) - 1, torch.arange(n_tokens, device=offsets.device)
    if is_on_host(offsets):
        owners = torch.arange(n_owners, device=offsets.device)
        owner_t = torch.repeat_interleave(owners, offsets.diff(), output_size=n_tokens)
    else:
        owner_t = torch.bucketize(place_t, offsets[1:], right=True).clamp(max=n_owners - 1)
    return owner_t, place_t - offsets[owner_t]


class Masked(NamedTuple):
    """A masked batch: the input of the encoder and what the objective compares its output with."""

    inputs: dict[str, Any]
    """A :data:`View` per modality."""
    targets: dict[str, Any]
    """A :data:`View` per modality, of the same kind."""
    evaluated: dict[str, Any] | None = None
    """Per modality, what the loss is taken over, where that is not everything; in the family's own terms."""


class Encoded(NamedTuple):
    """Output of the encoder for a batch."""

    mean: Tensor
    """(n, d): the embedding."""
    log_variance: Tensor
    """(n, d): log variance of the posterior of which ``mean`` is the mean."""


class Module(nn.Module, ABC):
    """The network of a family. Its ``forward`` returns, for a masked batch, what the family's objective takes."""

    n_latent: int
    """Width of the embedding."""

    @abstractmethod
    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed what is visible of a batch; deterministic in evaluation mode."""

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch: by :meth:`encode`, unless the module has been adapted to some of the experimental batches."""
        return self.encode(views)

    def initial_layer(self) -> list[nn.Parameter]:
        """Return the weights of the single features, which fine-tuning may keep frozen; by default none."""
        return []


class BatchSampler(Protocol):
    """Order of the observations of an epoch, in batches."""

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch whose order is drawn next."""
        ...

    def start_at(self, batch: int) -> None:
        """Start the next iteration, and no later one, at this batch of the epoch (after a restart from a checkpoint)."""
        ...

    def divide(self, rank: int, n_ranks: int) -> None:
        """Restrict this process to every ``n_ranks``-th observation of each batch, from ``rank`` on."""
        ...

    @property
    def smallest_batch(self) -> int:
        """Number of observations of the smallest batch, summed over all ranks."""
        ...

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        ...


class Loader(Protocol):
    """Batches of an epoch."""

    @property
    def sampler(self) -> BatchSampler:
        """The sampler that determines the order of the observations."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over the batches of an epoch, or of what is left of it."""
        ...

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        ...


class Tokenizer(Protocol):
    """Turns packed observations into the input of a family's encoder."""

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Return one :data:`View` per modality."""
        ...


class Masking(Protocol):
    """Masks part of the input; all of its randomness comes from the draws."""

    def __call__(self, views: dict[str, Any], draws: Draws, /) -> Masked:
        """Return the visible part and the targets."""
        ...


class Objective(Protocol):
    """The loss of a family."""

    def __call__(self, outputs: Any, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return named scalar terms; training minimises their sum. ``progress`` runs from 0 to 1."""
        ...


class Memory(Protocol):
    """Memory bank of an objective: embeddings of training observations that it compares with, refreshed periodically."""

    start: float
    """Fraction of the training after which it is refreshed for the first time."""

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool) -> None:
        """Replace the stored embeddings by these, of all training observations or (``is_whole`` false) of a sample."""
        ...

    def clear(self) -> None:
        """Drop what is stored: called before a training and after it."""
        ...


@dataclass(frozen=True)
class Parts:
    """The four parts of a family, which are all that the training plan uses.

    A fifth, ``memory``, is for an objective that compares an observation with the whole training set.
    """

    tokenizer: Tokenizer
    masking: Masking
    module: Module
    objective: Objective
    memory: Memory | None = None
