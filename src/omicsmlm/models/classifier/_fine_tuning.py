"""An encoder and its label head, trained together."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from omicsmlm._checks import value_error
from omicsmlm._types import Parts
from omicsmlm.data import observation_loader
from omicsmlm.masking import WithFullView
from omicsmlm.models.base import OmicsModel
from omicsmlm.models.heads import LEARNING_RATES, Adapters, BothViews, TrainerSettings
from omicsmlm.objectives import AgreeingViews, LabelObjective
from omicsmlm.training import Optimisation, fit, sensible_epochs

from ._config import ClassifierConfig
from ._head_fit import HeldOut
from ._linear_model import fit_novelty, label_weights, scaled
from ._modality_subsets import subset_embeddings
from ._module import ClassifierModule


class Split(NamedTuple):
    """Positions of the observations that fine-tuning learns from, and of those that are held out from it."""

    train: np.ndarray
    held_out: np.ndarray


def training_mask(label_n: np.ndarray, held_out: float, seed: int) -> np.ndarray:
    """Choose at random, label by label, the observations to learn from: all but one in ``1 / held_out``.

    Parameters
    ----------
    label_n
        (n,) int codes of the labels.
    held_out
        Fraction to hold out.
    seed
        Seed of the choice.

    Returns
    -------
    numpy.ndarray
        (n,) bool.

    Raises
    ------
    ValueError
        If no label has as many observations.
    """
    n_parts = max(2, round(1 / held_out))
    order = pd.Series(np.random.default_rng(seed).permutation(len(label_n)))
    trained_n = order.groupby(label_n).rank().to_numpy() % n_parts != 0
    if trained_n.all():
        most = f"at most {np.bincount(label_n).max()} observations of a label"
        raise value_error("train", f"a label of at least {n_parts} observations", most, 'pass tuning="frozen"')
    return trained_n


def fine_tune(
    model: OmicsModel,
    module: ClassifierModule,
    split: Split,
    label_n: np.ndarray,
    config: ClassifierConfig,
    settings: TrainerSettings,
) -> dict[str, list[float]]:
    """Train encoder and head together, in place, from the fitted head on.

    Parameters
    ----------
    model, module
        The classifier's own model, and its encoder with the head.
    split
        Observations of the model's object.
    label_n
        (n_obs,) int: labels of all observations of the object, -1 where there is none.
    config, settings
        Hyper-parameters, and how the training runs.

    Returns
    -------
    dict
        Mean of every logged loss per epoch.
    """
    c, manager = config, model.adata_manager
    weight_c = label_weights(label_n[split.train], len(module.head.means_cd), c.balance)
    objective = LabelObjective(torch.from_numpy(label_n), torch.from_numpy(weight_c).float())
    masking = model.fine_tuning_masking(c.mask_rates, c.modality_rate)
    parts = Parts(model.parts.tokenizer, masking, module, objective)
    if c.agreement:
        agreeing = AgreeingViews(objective, c.agreement, c.agreement_form)
        parts = Parts(model.parts.tokenizer, WithFullView(masking), BothViews(module), agreeing)
    frozen = [w for w in model.module.initial_layer() if c.freeze_initial and w.requires_grad]
    n_epochs = sensible_epochs(len(split.train), settings.batch_size)
    adapters = None if c.tuning == "full" else Adapters(model, c.tuning, c.rank, c.seed)
    try:
        for weight in frozen:
            weight.requires_grad_(False)
        fitted = fit(
            parts,
            Optimisation(learning_rate=c.learning_rate or LEARNING_RATES[c.tuning], weight_decay=c.weight_decay),
            observation_loader(manager, split.train, settings.batch_size, seed=c.seed),
            observation_loader(manager, split.held_out, model.embedding_batch_size),
            settings.fit_options(n_epochs, c.seed, c.patience),
            settings.trainer_options,
        )
    finally:  # also of a training that was interrupted
        for weight in frozen:
            weight.requires_grad_(True)
        if adapters is not None:
            adapters.merge()
    return {name: list(column) for name, column in fitted.losses.items()}


def tuned_predictions(model: OmicsModel, module: ClassifierModule, split: Split, label_n: np.ndarray) -> HeldOut:
    """Fit the novelty of a fine-tuned head, in place, and predict the observations that were held out from it.

    Parameters
    ----------
    model, module, split
        As in :func:`fine_tune`.
    label_n
        (n_obs,) int: the labels that were learned from, and those of the held-out observations.
    """
    head = module.head.cpu()
    z_nd, position_n = subset_embeddings(model, split.train)
    fit_novelty(head, scaled(head, z_nd), label_n[split.train][position_n])
    z_nd, position_n = subset_embeddings(model, split.held_out)
    with torch.no_grad():
        z = torch.from_numpy(z_nd)
        logits_nc, novelty_n = head(z).double().numpy(), head.novelty(z).double().numpy()
    return HeldOut(logits_nc, novelty_n, label_n[split.held_out][position_n])
