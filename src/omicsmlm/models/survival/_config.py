"""Hyper-parameters of a survival model."""

from dataclasses import dataclass
from typing import Literal

from omicsmlm._checks import value_error
from omicsmlm.models.base import FormerFields, check_fields
from omicsmlm.models.heads import Tuning
from omicsmlm.objectives import AgreementForm

Likelihood = Literal["cox", "discrete"]


@dataclass(frozen=True)
class SurvivalConfig:
    """Hyper-parameters of :class:`Survival`; the defaults are the recipe of ``docs/experiments.md``.

    Parameters
    ----------
    linear_models
        Whether ridge Cox models of the features, fitted to convergence, take part: one of each stratum, and one of all
        strata together. Called ``anchor`` in models saved by 0.1.
    n_networks
        Networks that take part, at most ``n_folds``; each learns without one of the folds, and they are averaged. 0 for
        the linear models alone.
    likelihood
        What networks learn: "cox", the partial likelihood, or "discrete", hazards of ``n_intervals`` of time.
    tuning
        What they learn with: "frozen" trains the head only, "full" also the encoder, "lora" and "ia3" (both need
        ``pip install peft``) a few new weights of it.
    n_components, n_pooled_components
        Principal components of the features that the Cox model of a stratum, and that of all, are fitted in.
    covariate_regularisation
        Weight of the ridge on covariates, beside the mean loss of an observation; that on the components is chosen on
        held-out observations. Called ``covariate_strength`` in models saved by 0.1.
    n_folds
        Folds of held-out observations.
    n_intervals
        Intervals of discrete hazards, with as many events in each.
    n_steps
        Steps that a network is trained for.
    learning_rate, weight_decay
        Of AdamW.
    mask_rates
        Lowest and highest fraction of an observation's features that are masked in a step.
    modality_rate
        Probability that an observation then loses a whole modality.
    agreement
        Weight, in the training of networks, of the agreement of an observation's masked view with its full view, which no
        gradient of this term flows into; both views then learn from the times, and a step costs twice as much. The MOJO
        paper has a "mutual information" loss for this and prints no formula: this term is ours. 0 switches it off.
    agreement_form
        "divergence": the mean squared difference of the log hazards, each centred within the stratum, or, of discrete hazards,
        the Kullback-Leibler divergence of the interval of the event. "infonce": the InfoNCE bound of the mutual information
        of the two views' embeddings, which identifies an observation among those of a step.
    hidden_widths
        Hidden layers of the head of a network (MOJO paper: 512 and 256).
    rank
        Rank of LoRA.
    seed
        Seed of everything random.
    """

    linear_models: bool = True
    n_networks: int = 3
    likelihood: Likelihood = "cox"
    tuning: Tuning = "full"
    n_components: int = 100
    n_pooled_components: int = 200
    covariate_regularisation: float = 0.03
    n_folds: int = 5
    n_intervals: int = 20
    n_steps: int = 120
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    mask_rates: tuple[float, float] = (0.5, 0.5)
    modality_rate: float = 0.3
    agreement: float = 0.0
    agreement_form: AgreementForm = "divergence"
    hidden_widths: tuple[int, ...] = (64,)
    rank: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        ranges = {
            "n_folds": (self.n_folds >= 2, "at least 2"),
            "n_networks": (0 <= self.n_networks <= self.n_folds, f"a number from 0 to n_folds, {self.n_folds}"),
            "linear_models": (self.linear_models or self.n_networks > 0, "True where n_networks is 0"),
            "n_components": (self.n_components >= 1, "at least 1"),
            "n_pooled_components": (self.n_pooled_components >= 1, "at least 1"),
            "covariate_regularisation": (self.covariate_regularisation > 0, "a number above 0"),
            "n_intervals": (self.n_intervals >= 2, "at least 2"),
            "agreement": (self.agreement >= 0, "at least 0"),
            "agreement_form": (
                self.agreement_form == "divergence" or (self.agreement_form == "infonce" and self.tuning != "frozen"),
                '"divergence", or "infonce" unless tuning is "frozen"',
            ),
            "hidden_widths": (
                len(self.hidden_widths) > 0 and min(self.hidden_widths) >= 1,
                "one or more widths of at least 1",
            ),
            "n_steps": (self.n_steps >= 1, "at least 1"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(getattr(self, name)), "leave it out for the default")


FORMER_CONFIG = FormerFields(
    renamed={
        "anchor": "linear_models",
        "covariate_strength": "covariate_regularisation",
        "hidden_rates": "mask_rates",
    }
)
"""Hyper-parameters of models saved by 0.1 that have another name now."""
