"""Hyper-parameters of OmicsMLM, and the constants of its recipe (``docs/experiments.md``)."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from omicsmlm._checks import value_error
from omicsmlm.models.base import (
    ACCESSIBILITY_WEIGHT,
    ADVERSARY_WEIGHT,
    KL_WARMUP,
    N_SAMPLED,
    WEIGHT_DECAY,
    ComponentDerived,
    FormerFields,
    check_fields,
)
from omicsmlm.nn import ShiftSizes


@dataclass(frozen=True)
class OmicsMLMConfig:
    """Hyper-parameters of :class:`OmicsMLM`; the defaults are the recipe of ``docs/experiments.md``.

    What is None is chosen by the number of observations when a model is made: see :meth:`for_n_obs`.

    Parameters
    ----------
    n_nonlinear, n_linear
        Dimensions of the embedding: those that start near zero and are learned by the network, and those that start as
        principal components, divided among the modalities by ``COMPONENT_WEIGHTS``. All are trained from there.
    width
        Width of the hidden layers.
    n_attention_layers
        Latent attention layers beside the sum of tokens; 0 for none.
    linear_scale, linear_power
        A linear dimension starts with standard deviation ``linear_scale`` · (s / s₁) ** ``linear_power``, s its singular
        value: weak components, mostly noise, stay small; those of open regions start smaller by ``COMPONENT_SCALES``.
    residual_scale
        Initial factor of what the network adds to the linear dimensions.
    n_variable, n_common
        Most features that are selected: the most variable counts, the most common open regions.
    mask_rates
        Lowest and highest fraction of an observation's features that are masked; each draws its own.
    modality_rate
        Probability that an observation loses a whole modality in a training step.
    kl_weight
        Weight of the KL divergence at a depth of ``KL_DEPTH``; see ``KL_POWER``.
    batch_strength
        Factor of all that removes the batch from the latent: the adversary, the batch-alignment loss and (up to 1) the
        shifts of clusters; 0 leaves the batch in, as where it may be biology.
    dropout
        Dropout in the hidden layers.
    learning_rate
        Of AdamW.
    patience
        Validations (every so many steps: see ``train``) without a better loss before training stops.
    seed
        Seed of everything random.
    """

    n_nonlinear: int | None = None
    n_linear: int | None = None
    width: int = 128
    n_attention_layers: int = 0
    linear_scale: float | None = None
    linear_power: float | None = None
    residual_scale: float | None = None
    n_variable: int = 2000
    n_common: int = 15_000
    mask_rates: tuple[float, float] = (0.1, 0.8)
    modality_rate: float = 0.2
    kl_weight: float = 1.0
    batch_strength: float = 1.0
    dropout: float = 0.1
    learning_rate: float = 2e-3
    patience: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        least = {"n_nonlinear": 0, "n_linear": 0, "n_attention_layers": 0, "n_variable": 1, "n_common": 1}
        least |= {"linear_power": 0, "residual_scale": 0, "kl_weight": 0, "batch_strength": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise value_error(name, f"at least {lowest}", str(value), "leave it out for the default")
        if self.linear_scale is not None and self.linear_scale <= 0:
            raise value_error("linear_scale", "above 0", str(self.linear_scale), "leave it out for the default")
        if self.n_nonlinear == self.n_linear == 0:
            raise value_error("n_linear", "at least 1 where n_nonlinear is 0", "0", "leave it out for the default")

    def for_n_obs(self, n_obs: int, *, is_linear: bool = False) -> "OmicsMLMConfig":
        """Return the configuration for a data set of this many observations: what is None is filled in.

        The embedding has 80 dimensions: with few observations, 48 components and 32 free dimensions, which the network
        learns; with ``MANY_OBS`` or more, 80 components, to which the network adds a residual. So, too, for ``is_linear``: where
        links alone tie modalities, free dimensions would have nothing that holds these together (``docs/experiments/single_cell.md``).

        Examples
        --------
        >>> OmicsMLMConfig().for_n_obs(1000).n_nonlinear, OmicsMLMConfig().for_n_obs(5000).n_nonlinear
        (32, 0)
        """
        chosen = (LATENT_OF_FEW if n_obs < MANY_OBS and not is_linear else LATENT_OF_MANY)._asdict()
        return replace(self, **{name: value for name, value in chosen.items() if getattr(self, name) is None})

    @property
    def latent(self) -> "Latent":
        """The latent's dimensions and initial scales, once none of them is None."""
        return Latent(**{name: getattr(self, name) for name in Latent._fields})


class Latent(NamedTuple):
    """Dimensions of the latent and their initial scales; see :class:`OmicsMLMConfig`."""

    n_nonlinear: int
    n_linear: int
    linear_scale: float
    linear_power: float
    residual_scale: float


@dataclass(frozen=True, kw_only=True)
class OmicsMLMDerived(ComponentDerived):
    """Hyper-parameters that :class:`OmicsMLM` derives from the data."""

    depth: float
    """The median depth of the RNA; without RNA, the sum over modalities of their median depths, each with the weight of its
    likelihood, protein 1."""
    shifts: ShiftSizes = ShiftSizes()
    """What is kept of the reference to find features that a query's batches have shifted; nothing in models of 0.1."""


LATENT_OF_FEW = Latent(n_nonlinear=32, n_linear=48, linear_scale=0.4, linear_power=1.0, residual_scale=0.05)
LATENT_OF_MANY = Latent(n_nonlinear=0, n_linear=80, linear_scale=5.0, linear_power=2.0, residual_scale=0.2)
MANY_OBS = 5000
"""Observations from which on a model has ``LATENT_OF_MANY``, not ``LATENT_OF_FEW``."""
N_LATENTS = 16
"""Latents of the attention, where there is any."""
ATTENTION_WIDTH = 64
"""Width of these latents; attention won nowhere, so neither was tuned (``docs/experiments.md``)."""
PROTEIN_WEIGHT = 3.0
"""Weight of the likelihood of protein counts, beside 1 for RNA; 1 gave the same within noise (``docs/experiments.md``)."""
KL_DEPTH = 1000
"""Depth at which the weight of the KL divergence is ``kl_weight``: counts of RNA over the selected features, the median. Proteins
are no depth: with 3,000 counts of RNA and 6,000 of proteins in a cell the weight was at its cap, and types were lost."""
KL_POWER = 1.0
"""The weight grows with depth to this power: the deeper the observations, the more detail would otherwise fill the latent. Chosen
by the largest regret against plain baselines over the sets for choosing (``docs/experiments/recipe.md``)."""
FORMER_KL_POWER = 2.25
"""The power of version 0.1, bought by one component of the score of one set; its models train on with ``KL_POWER``."""
LABEL_WEIGHT = 30.0
"""Weight of the cross-entropy of labels, where some are given."""
KL_FACTORS = (0.1, 25.0)
"""Least and largest factor by which depth changes the weight."""
NEIGHBOUR_WEIGHT = 10.0
"""Weight of the batch-alignment loss: the distance to mutual nearest neighbours in other batches."""
OWN_NEIGHBOUR_WEIGHT = 10.0
"""The same of counts of one batch: the distance to mutual nearest neighbours in its other half. As between batches: of 0, 10 and 30
it has the least largest regret (``docs/experiments/recipe.md``). Not where links tie modalities, nor without counts, as in
bulk z-scores: there it was not measured."""
ALIGNMENT_WEIGHT = 30.0
"""Weight of the distance to the embedding of the observation without masks, less its cluster's batch effect."""
FORMER_CONFIG = FormerFields(
    renamed={"hidden_rates": "mask_rates"},
    constants={
        "n_latents": N_LATENTS,
        "attention_width": ATTENTION_WIDTH,
        "n_sampled": N_SAMPLED,
        "protein_weight": PROTEIN_WEIGHT,
        "accessibility_weight": ACCESSIBILITY_WEIGHT,
        "kl_power": FORMER_KL_POWER,
        "kl_warmup": KL_WARMUP,
        "adversary_weight": ADVERSARY_WEIGHT,
        "neighbour_weight": NEIGHBOUR_WEIGHT,
        "alignment_weight": ALIGNMENT_WEIGHT,
        "weight_decay": WEIGHT_DECAY,
    },
)
"""Fields that version 0.1 saved."""
