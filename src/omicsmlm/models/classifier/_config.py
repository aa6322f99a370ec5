"""Hyper-parameters of a classifier."""

from collections.abc import Iterable
from dataclasses import dataclass

from omicsmlm._checks import value_error
from omicsmlm.models.base import FormerFields, check_fields
from omicsmlm.models.heads import Tuning
from omicsmlm.objectives import AgreementForm

FEW_OBSERVATIONS = 2000
"""Labelled observations below which linear models of bulk features are the default: beyond, the embedding did as well in
``docs/experiments.md``."""
MOST_OBSERVATIONS = 10_000
"""Labelled observations up to which regressions on components stand beside the embedding: their features lie in memory, and
beyond, the embedding is not short of labels."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Hyper-parameters of :class:`Classifier`.

    Parameters
    ----------
    tuning
        "frozen": only the head is fitted, to convergence. "lora", "ia3" (both need ``pip install peft``) and
        "full" then train the encoder too.
    linear_models
        Whether labels are predicted from the features by an ensemble of logistic regressions, one of which adds the
        embedding, rather than from the embedding alone: for each subset of modalities that observations have, one of
        them is chosen on held-out observations. None: where it paid in ``docs/experiments.md``, with fewer than
        ``FEW_OBSERVATIONS`` labelled observations, values that are all real or fractions, and a frozen encoder.
        Observations of all labels then count alike, whatever ``balance`` says. False: the embedding alone. Called
        ``anchor`` in models saved by 0.1.
    component_models
        Whether two regressions on components of each modality (its 50 leading ones, or its features where these are few)
        stand beside the embedding, with at most ``MOST_OBSERVATIONS`` labelled observations and a frozen encoder. The mean
        of the probabilities by the embedding and by the balanced regression predicts, unless one of the three is better on
        held-out observations beyond chance. False, or ``linear_models=False``: the embedding alone.
    frequency_power
        Power of the labels' frequencies that this mean is divided by, before its probabilities are made to sum to 1 again.
        0 leaves it as it is, for observations whose labels are as frequent as in training; 1 treats every label as equally
        frequent. Chosen among 0, .25 and .5 by leaving one data set out (``docs/experiments/queries_and_labels.md``).
    false_rejection
        Fraction of observations of known labels that may be called unknown, at least 0 and below 1.
    balance
        Weight of an observation: the frequency of its label to the power of minus this. 0: every observation counts
        alike; 1: every label does. Halved where many labels turn out to be wrong, since rare labels would make these
        weigh most.
    n_folds
        Most folds of held-out observations.
    held_out
        Fraction of the labelled observations held out from fine-tuning; it stops by them, and is calibrated on them.
    freeze_initial
        Whether full fine-tuning leaves the weights of the features themselves as they are, as scMBERT does: with few
        labelled observations most features occur in few of them.
    rank
        Rank of LoRA.
    learning_rate
        Highest rate of AdamW in fine-tuning; None for 1e-3 (lora), 1e-2 (ia3) or 2e-4 (full).
    weight_decay
        Of AdamW.
    mask_rates
        Lowest and highest fraction of an observation's features that are masked in a step of fine-tuning.
    modality_rate
        Probability that an observation then loses a whole modality.
    agreement
        Weight, in fine-tuning, of the agreement of an observation's masked view with its full view, which no gradient of
        this term flows into; both views then learn from the labels, and a step costs twice as much. The MOJO paper has a
        "mutual information" loss for this and prints no formula: this term is ours. 0 switches it off.
    agreement_form
        "divergence": the Kullback-Leibler divergence of the labels that the masked view predicts from those that the full
        one does. "infonce": the InfoNCE bound of the mutual information of the two views' embeddings, which identifies an
        observation among those of a step.
    hidden_widths
        Hidden layers, with SELU, of a network beside the linear layer of the head, in fine-tuning: (256, 128) in the MOJO
        paper. Its last weights are 0 at first, so that fine-tuning starts from the fitted linear layer (ours). () for none.
    patience
        Epochs of fine-tuning without a better validation loss before it stops.
    seed
        Seed of everything random.
    """

    tuning: Tuning = "frozen"
    linear_models: bool | None = None
    component_models: bool = True
    frequency_power: float = 0.25
    false_rejection: float = 0.05
    balance: float = 1.0
    n_folds: int = 5
    held_out: float = 0.2
    freeze_initial: bool = False
    rank: int = 8
    learning_rate: float | None = None
    weight_decay: float = 1e-4
    mask_rates: tuple[float, float] = (0.0, 0.5)
    modality_rate: float = 0.5
    agreement: float = 0.0
    agreement_form: AgreementForm = "divergence"
    hidden_widths: tuple[int, ...] = ()
    patience: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_fields(self)
        only_frozen = not self.linear_models or self.tuning == "frozen"
        ranges = {
            "linear_models": (only_frozen, 'None or False unless tuning is "frozen"'),
            "frequency_power": (0 <= self.frequency_power <= 1, "a number from 0 to 1"),
            "false_rejection": (0 <= self.false_rejection < 1, "a fraction of at least 0 and below 1"),
            "balance": (0 <= self.balance <= 1, "a number from 0 to 1"),
            "n_folds": (self.n_folds >= 2, "at least 2"),
            "freeze_initial": (not self.freeze_initial or self.tuning == "full", 'False, unless tuning is "full"'),
            "agreement": (
                self.agreement == 0 or (self.agreement > 0 and self.tuning != "frozen"),
                'at least 0, and 0 if tuning is "frozen"',
            ),
            "hidden_widths": (
                not self.hidden_widths or (min(self.hidden_widths) >= 1 and self.tuning != "frozen"),
                'widths of at least 1, and () if tuning is "frozen"',
            ),
            "held_out": (0 < self.held_out < 1, "a fraction above 0 and below 1"),
        }
        for name, (holds, wanted) in ranges.items():
            if not holds:
                raise value_error(name, wanted, repr(getattr(self, name)), "leave it out for the default")

    @classmethod
    def scmbert_paper(cls, seed: int = 0) -> "ClassifierConfig":
        """Return how labels are learned in the scMBERT abstract (Chen et al. 2025), for :class:`omicsmlm.ScMBERT`.

        The weights of the features frozen, cross-entropy in which every cell counts alike, and a patience of 10 epochs are the
        paper's. It is silent about the rate, the fraction held out and what is masked, which were chosen on held-out cells
        of SNARE-seq (``docs/experiments/scmbert.md``).

        Parameters
        ----------
        seed
            Seed of everything random.

        Examples
        --------
        >>> ClassifierConfig.scmbert_paper().tuning
        'full'
        """
        return cls(
            tuning="full",
            freeze_initial=True,
            balance=0.0,
            learning_rate=2e-3,
            mask_rates=(0.2, 0.7),
            modality_rate=0.0,
            held_out=0.1,
            patience=10,
            seed=seed,
        )

    def has_linear_models(self, kinds: Iterable[str], n_labelled: int) -> bool:
        """Return whether the features have linear models, for modalities of these kinds and so many labelled observations.

        Examples
        --------
        >>> config = ClassifierConfig()
        >>> config.has_linear_models(["real", "fraction"], 100), config.has_linear_models(["counts"], 100)
        (True, False)
        """
        if self.linear_models is not None:
            return self.linear_models
        return self.tuning == "frozen" and n_labelled < FEW_OBSERVATIONS and set(kinds) <= {"real", "fraction"}

    def has_component_models(self, n_labelled: int) -> bool:
        """Return whether, for so many labelled observations, regressions on components stand beside the embedding.

        Examples
        --------
        >>> (
        ...     ClassifierConfig().has_component_models(100),
        ...     ClassifierConfig(component_models=False).has_component_models(100),
        ... )
        (True, False)
        """
        asked = self.component_models and self.linear_models is not False
        return asked and self.tuning == "frozen" and n_labelled <= MOST_OBSERVATIONS


FORMER_CONFIG = FormerFields(
    renamed={"anchor": "linear_models", "hidden_rates": "mask_rates"}, absent={"frequency_power": 0.0}
)
"""Hyper-parameters of models saved by 0.1 that have another name now, or that came later."""
