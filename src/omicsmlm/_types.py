"""The records that flow from room to room.

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
from ._sizes import host_knows

Kind = Literal["counts", "accessibility", "protein", "fraction", "real"]
"""What the values of a modality are.

``counts``: raw non-negative integers (RNA). ``protein``: raw non-negative integers of antibody tags.
``accessibility``: peak counts or 0/1. ``fraction``: 0 to 1, NaN where not measured (methylation beta).
``real``: any finite number, NaN where not measured (log values, z-scores).
"""

SPARSE_KINDS: frozenset[str] = frozenset({"counts", "accessibility", "protein"})
"""Kinds in which a value that is not stored is a measured zero; in the others a NaN is not measured."""


DATASET, PROFILED = "dataset", "profiled"
"""Where an object put together of several data sets says so: ``obs["dataset"]`` has the data set of each row, and
``varm["profiled"]`` a boolean column per data set, true for the features that it profiled."""

SOURCES = "omicsmlm_sources"
"""Annotation of a dask array's own layer: the :class:`Source` s that its observations are, in this order."""


@dataclass(frozen=True, eq=False)
class Source:
    """The values of one file in an object put together of several: read from there, not through dask.

    Equal to nothing but itself, as dask compares annotations.
    """

    values: Any
    """CSR dataset (``anndata.abc.CSRDataset``) in HDF5 or zarr."""
    column_of: np.ndarray | None
    """(features of the file,) column of the whole for each; None where they are the same."""


class Tokens(NamedTuple):
    """The values of one modality for a batch of rows, packed without padding.

    Row ``i`` owns the tokens ``offsets[i]:offsets[i + 1]``; a row that was not measured owns none.
    """

    ids: Tensor
    """(t,) int32: position of the feature in the modality's vocabulary."""
    values: Tensor
    """(t,) float32: the stored value, in the modality's own units."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""


class Panels(NamedTuple):
    """What rows of several data sets were measured in."""

    profiled: Tensor
    """(s, g) bool: the features of the vocabulary that each data set profiled."""
    of_obs: Tensor
    """(n,) int64: data set of each row, -1 for a row that was not measured at all."""


class Sequences(NamedTuple):
    """Sequences of one modality for a batch of rows, packed without padding, each distinct one once.

    Sequence ``i`` owns the residues ``offsets[i]:offsets[i + 1]``.
    """

    residues: Tensor
    """(t,) uint8: ASCII codes of upper-case letters; T, never U, in nucleotides."""
    offsets: Tensor
    """(u + 1,) int64: cumulative lengths."""
    of_obs: Tensor
    """(n,) int64: the sequence of each row, -1 for a row that has none."""
    digests: Tensor
    """(u, 2) int64: a hash of each whole sequence, the same in every object and every session."""


class OnHost:
    """Numbers that stay on the host: neither a loader nor a move to a device takes them for something of theirs.

    Parameters
    ----------
    values
        The numbers.
    """

    def __init__(self, values: np.ndarray) -> None:
        self.values = values


class Batch(NamedTuple):
    """A batch of rows as it leaves the data room."""

    tokens: dict[str, Tokens]
    """One packed record per modality."""
    present: dict[str, Tensor]
    """(n,) bool per modality: the row was measured in it."""
    measured: dict[str, Tensor]
    """(g,) bool per modality: the object has this feature of the vocabulary."""
    covariates: Tensor
    """(n, k) int64: category of each covariate, -1 where unknown; the batch is column 0."""
    indices: Tensor
    """(n,) int64: position of each row in the object."""
    panels: Mapping[str, Panels] = {}
    """Per modality of several data sets put together: what each row was measured in; of the others, nothing."""
    sequences: Mapping[str, Sequences] = {}
    """Per modality that is a sequence, which has no tokens and no features: its letters."""
    draws: Draws | None = None
    """Random numbers of the step, in training and validation; None where nothing is drawn."""
    n_ranks: int = 1
    """Processes that share the step: each holds a part of its observations."""
    lengths: Mapping[str, OnHost] = {}
    """(n,) int64 per modality: tokens of each observation, on the host, which then need not ask the device."""
    whole_nd: Tensor | None = None
    """(n, d): embedding of the whole observations, where an objective's memory does not hold them all; no gradient."""


def measured_in(batch: Batch, name: str) -> Tensor:
    """Tell what each row of a batch was measured in: (n, g) bool, or (1, g) where that is the same for all rows.

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
    return panels.profiled[panels.of_obs.clamp(min=0)] & (panels.of_obs >= 0)[:, None]


class Grid(NamedTuple):
    """One modality of a batch on a fixed feature axis: what is cheap to hold for a batch, never for a data set."""

    values: Tensor
    """(n, g) float32 in the modality's own units; 0 where not seen."""
    visible: Tensor
    """(n, g) bool: padding, a missing modality, an unmeasured and a masked feature are all just not seen."""
    total: Tensor
    """(n,) float32: what the row would sum to over the whole vocabulary, less what is masked; the depth of counts."""


class FewVisible(NamedTuple):
    """A :class:`Grid` of which few features are seen, so few that it is better gathered; on a device without asking it."""

    values: Tensor
    visible: Tensor
    total: Tensor
    most: int
    """Most features that are seen of a row."""


class TokenSet(NamedTuple):
    """One modality of a batch as what was found in each row: packed tokens, no padding.

    Row ``i`` owns the tokens ``offsets[i]:offsets[i + 1]``. A feature that a row does not list is a measured zero, was not
    measured, or has been dropped: to the encoder all three are just not there.
    """

    ids: Tensor
    """(t,) int64: position of the feature in the modality's vocabulary, -1 where it is masked."""
    values: Tensor
    """(t,) float32 in the modality's own units, NaN where the value is masked."""
    offsets: Tensor
    """(n + 1,) int64: cumulative lengths."""
    fraction: Tensor
    """(n,) float32: share of the row's tokens that was kept, 1 where none was dropped."""
    covered: Tensor
    """(n,) float32: share of the row's total, over the whole vocabulary, that its visible values are expected to make up."""
    measured: Tensor
    """(g,) bool: the object has this feature of the vocabulary."""
    present: Tensor
    """(n,) bool: the row was measured in this modality."""
    known: "Known | None" = None
    """What has been read off these tokens already: see :func:`lengths_of` and :func:`masked_of`."""


class Known:
    """What has been read off tokens, so that the host need not ask the device again; of other tokens it says nothing.

    Parameters
    ----------
    offsets, lengths
        Cumulative lengths of the rows, and on the host, as n lengths; the tokens end where the last row does.
    values, masked
        Values, and the places, (s,) int64, of those that are masked.
    """

    def __init__(
        self, offsets: Tensor, lengths: list[int], values: Tensor | None = None, masked: Tensor | None = None
    ) -> None:
        self.offsets, self.lengths, self.values, self.masked = offsets, lengths, values, masked


def lengths_of(part: TokenSet) -> list[int] | None:
    """Return the n lengths of the rows, if they have been read."""
    is_it = part.known is not None and part.known.offsets is part.offsets
    return part.known.lengths if is_it and part.known is not None else None


def masked_of(part: TokenSet) -> Tensor:
    """Return the places of the tokens whose value is masked, (s,) int64; the host waits if they have not been found yet."""
    if part.known is None or part.known.values is not part.values or part.known.masked is None:
        return part.values.isnan().nonzero()[:, 0]
    return part.known.masked


View = Grid | FewVisible | TokenSet | Sequences
"""One modality of a batch, as a family's encoder takes it."""


def obs_of(packed: Tokens | TokenSet) -> Tensor:
    """Give the row of each token, (t,) int64.

    Examples
    --------
    >>> obs_of(Tokens(torch.arange(3), torch.ones(3), torch.tensor([0, 2, 2, 3])))
    tensor([0, 0, 2])
    """
    owners = torch.arange(len(packed.offsets) - 1, device=packed.offsets.device)
    return torch.repeat_interleave(owners, packed.offsets.diff(), output_size=len(packed.ids))


def places_of(offsets: Tensor, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Return, (t,) int64 each, the owner of each packed token and its position among those of its owner.

    On a device there may be tokens behind the last row's (:mod:`omicsmlm._sizes`); they are numbered as if they were its.

    Examples
    --------
    >>> places_of(torch.tensor([0, 2, 2, 3]), 3)
    (tensor([0, 0, 2]), tensor([0, 1, 0]))
    """
    n_owners, place_t = len(offsets) - 1, torch.arange(n_tokens, device=offsets.device)
    if host_knows(offsets):
        owners = torch.arange(n_owners, device=offsets.device)
        owner_t = torch.repeat_interleave(owners, offsets.diff(), output_size=n_tokens)
    else:
        owner_t = torch.bucketize(place_t, offsets[1:], right=True).clamp(max=n_owners - 1)
    return owner_t, place_t - offsets[owner_t]


class Masked(NamedTuple):
    """What the encoder may look at, and what it is judged on."""

    inputs: dict[str, Any]
    """A :data:`View` per modality."""
    targets: dict[str, Any]
    """A :data:`View` per modality, of the same kind."""
    evaluated: dict[str, Any] | None = None
    """Per modality, what the objective judges, where that is not everything; in the family's own terms."""


class Encoded(NamedTuple):
    """What the encoder makes of a batch."""

    mean: Tensor
    """(n, d): the embedding."""
    log_variance: Tensor
    """(n, d): its uncertainty; zero-width posteriors are not used."""


class Module(nn.Module, ABC):
    """The network of a family. Its ``forward`` makes, of a masked batch, what the family's objective judges."""

    n_latent: int
    """Width of the embedding."""

    @abstractmethod
    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed what is seen of a batch; deterministic in evaluation mode."""

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch of rows: what :meth:`encode` says, unless the module has been adapted to some batches."""
        return self.encode(views)

    def initial_layer(self) -> list[nn.Parameter]:
        """Give the weights of the features themselves, which fine-tuning can leave as they are; by default none."""
        return []


class BatchSampler(Protocol):
    """Order of the observations of an epoch, in batches."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order is drawn next."""
        ...

    def start_at(self, batch: int) -> None:
        """Begin the next iteration, and only that, at this batch of the epoch."""
        ...

    def divide(self, rank: int, n_ranks: int) -> None:
        """Leave to this process every ``n_ranks``-th observation of each batch, from ``rank`` on."""
        ...

    @property
    def smallest_batch(self) -> int:
        """Observations of the smallest batch, of all ranks together."""
        ...

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        ...


class Loader(Protocol):
    """Batches of an epoch."""

    @property
    def sampler(self) -> BatchSampler:
        """Their order."""
        ...

    def __iter__(self) -> Iterator[Batch]:
        """Go through an epoch, or what is left of it."""
        ...

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        ...


class Tokenizer(Protocol):
    """Turns packed rows into a family's own view of them."""

    def __call__(self, batch: Batch) -> dict[str, Any]:
        """Return one :data:`View` per modality."""
        ...


class Masking(Protocol):
    """Masks part of the input; all of its randomness comes from the draws."""

    def __call__(self, views: dict[str, Any], draws: Draws, /) -> Masked:
        """Return the visible part and the targets."""
        ...


class Objective(Protocol):
    """Judges the outputs of a module."""

    def __call__(self, outputs: Any, masked: Masked, batch: Batch, progress: float) -> Mapping[str, Tensor]:
        """Return named scalar terms; training minimises their sum. ``progress`` runs from 0 to 1."""
        ...


class Memory(Protocol):
    """Embeddings of training observations that an objective compares with; refreshed every so many steps."""

    start: float
    """Share of the training after which it is refreshed."""

    def refresh(self, embedding_md: Tensor, covariates_mk: Tensor, indices_m: Tensor, *, is_whole: bool) -> None:
        """Note what the objective needs to know of all training observations, or of a sample of them."""
        ...

    def forget(self) -> None:
        """Drop what was noted: before a training and after it."""
        ...


@dataclass(frozen=True)
class Parts:
    """The four parts that make a family; the one training plan asks for nothing else.

    A fifth, ``memory``, is for an objective that compares an observation with the whole training set.
    """

    tokenizer: Tokenizer
    masking: Masking
    module: Module
    objective: Objective
    memory: Memory | None = None
