"""Hyper-parameters of OmicsMLM, and the numbers that its recipe fixes."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from omicsmlm.models.base import ComponentDerived


@dataclass(frozen=True)
class OmicsMLMConfig:
    """Hyper-parameters of :class:`OmicsMLM`; the defaults are the recipe of ``docs/experiments.md``.

    What is None is chosen by the number of rows when a model is made: see :meth:`for_rows`.

    Parameters
    ----------
    n_nonlinear, n_linear
        Dimensions of the embedding: those that start almost empty and are filled by the network, and those that start as
        principal components, shared among the modalities by ``COMPONENT_WEIGHTS``. Everything is trained from there.
    width
        Width of the hidden layers.
    n_attention_layers
        Latent attention layers beside the sum of tokens; 0 for none.
    n_latents, attention_width
        Number of latents and their width.
    linear_scale, linear_power
        A linear dimension starts with standard deviation ``linear_scale`` · (s / s₁) ** ``linear_power``, s its singular
        value: weak components, mostly noise, stay small; those of open regions start smaller by ``COMPONENT_SCALES``.
    residual_scale
        Factor of what the network adds to the linear dimensions at the start.
    n_variable, n_common
        Most features that the model looks at: the most variable counts, the most common open regions.
    n_sampled
        Open regions decoded per training step, drawn anew each time.
    hidden_rates
        Lowest and highest share of hidden features in a row.
    modality_rate
        Probability that a row loses a whole modality in a training step.
    protein_weight, accessibility_weight
        Weights of these likelihoods; the others have weight 1.
    kl_weight, kl_power, kl_warmup
        The KL divergence has the weight ``kl_weight`` · (evidence / 1000) ** ``kl_power``, where the evidence is the
        median number of counts in a row, over the features looked at: the deeper the rows, the more detail would
        otherwise fill the latent. The factor stays within ``KL_FACTORS``; the weight is reached after ``kl_warmup`` of
        the training.
    batch_strength
        Factor of all that takes the batch out of the latent: the adversary, the pull to neighbours in other batches and
        (up to 1) the shifts of clusters; 0 leaves the batch in, as where it may be biology.
    adversary_weight
        Weight of the adversary on the batch, for each batch but one (the more there are, the weaker it is), and at most
        ``MOST_ADVERSARY`` in all; 0 switches it off.
    neighbour_weight, alignment_weight
        Weights of the pulls to mutual nearest neighbours in other batches, and to the row's own full view, less its
        cluster's batch effect.
    dropout
        Dropout in the hidden layers.
    learning_rate, weight_decay
        Of AdamW.
    patience
        Rounds (of steps: see ``train``) without a better validation loss before training stops.
    seed
        Seed of everything random.
    """

    n_nonlinear: int | None = None
    n_linear: int | None = None
    width: int = 128
    n_attention_layers: int = 0
    n_latents: int = 16
    attention_width: int = 64
    linear_scale: float | None = None
    linear_power: float | None = None
    residual_scale: float | None = None
    n_variable: int = 2000
    n_common: int = 15_000
    n_sampled: int = 2000
    hidden_rates: tuple[float, float] = (0.1, 0.8)
    modality_rate: float = 0.2
    protein_weight: float = 3.0
    accessibility_weight: float = 0.1
    kl_weight: float = 1.0
    kl_power: float = 2.25
    kl_warmup: float = 0.3
    batch_strength: float = 1.0
    adversary_weight: float = 2.5
    neighbour_weight: float = 10.0
    alignment_weight: float = 30.0
    dropout: float = 0.1
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    patience: int = 15
    seed: int = 0

    def for_rows(self, n_rows: int) -> "OmicsMLMConfig":
        """Fill in what is None for a data set of this many rows.

        The embedding has 80 dimensions: of few rows, 48 components and 32 free dimensions, which the network fills; with
        ``MANY_ROWS`` or more, 80 components, to which the network adds a residual.
        """
        chosen = (FEW if n_rows < MANY_ROWS else MANY)._asdict()
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})

    @property
    def latent(self) -> "Latent":
        """What the latent is made of, once nothing of it is None."""
        return Latent(**{name: getattr(self, name) for name in Latent._fields})


@dataclass(frozen=True, kw_only=True)
class OmicsMLMDerived(ComponentDerived):
    """What :class:`OmicsMLM` derives from the data."""

    evidence: float
    """How much the median observation says, over the selected features of all modalities, as counts."""


class Latent(NamedTuple):
    """The dimensions of the latent and their start; see :class:`OmicsMLMConfig`."""

    n_nonlinear: int
    n_linear: int
    linear_scale: float
    linear_power: float
    residual_scale: float


FEW = Latent(n_nonlinear=32, n_linear=48, linear_scale=0.4, linear_power=1.0, residual_scale=0.05)
MANY = Latent(n_nonlinear=0, n_linear=80, linear_scale=5.0, linear_power=2.0, residual_scale=0.2)
KL_FACTORS = (0.1, 25.0)
"""Least and most that the depth of the rows makes of the KL weight."""
MANY_ROWS = 5000
"""Rows from which on a model has ``MANY``, not ``FEW``."""
