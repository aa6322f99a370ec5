"""Fine-tuning an encoder together with the head that reads it: as a whole, or through a few new weights."""

import re
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from omicsmlm._checks import value_error
from omicsmlm._random_state import own_random_state
from omicsmlm.models.base import OmicsModel
from omicsmlm.training import on_device

Tuning = Literal["frozen", "lora", "ia3", "full"]
LEARNING_RATES: dict[str, float] = {"lora": 1e-3, "ia3": 1e-2, "full": 2e-4}
"""Learning rate of each kind of fine-tuning, unless the user gives one; adapters are new weights, which start at no effect and
take a higher rate than weights that are trained already."""


class Adapters:
    """Adapters of an encoder, in place: LoRA or IA3 weights beside its own, which stay as they are until :meth:`merge`.

    The adapted layers are the linear ones that an embedding passes; those of a decoder are left out.

    Parameters
    ----------
    model
        Model whose encoder is adapted.
    method
        "lora" (Hu et al. 2021) or "ia3" (Liu et al. 2022).
    rank
        Rank of LoRA's matrices.
    seed
        Seed of their initial values.

    Raises
    ------
    ImportError
        If peft is not installed.
    """

    def __init__(self, model: OmicsModel, method: str, rank: int, seed: int) -> None:
        try:
            from peft import IA3Config, IA3Model, LoraConfig, LoraModel
        except ImportError as error:
            raise ImportError(f"tuning={method!r} needs peft; run: pip install peft") from error
        self.trained = {name for name, weight in model.module.named_parameters() if weight.requires_grad}
        layers = "|".join(re.escape(name) for name in embedding_layers(model))
        with own_random_state(seed, devices=[]):
            if method == "lora":
                lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
                self.adapted: Any = LoraModel(model.module, lora, "labels")
            else:
                ia3 = IA3Config(target_modules=layers, feedforward_modules=[])
                self.adapted = IA3Model(model.module, ia3, "labels")

    def merge(self) -> None:
        """Add the new weights to the encoder's own, so that it is again a plain one of its family, trained where it was."""
        self.adapted.merge_and_unload()
        for name, weight in self.adapted.model.named_parameters():
            weight.requires_grad_(name in self.trained)


def embedding_layers(model: OmicsModel) -> list[str]:
    """Return the names of the linear layers that an embedding passes.

    Raises
    ------
    ValueError
        If there is none.
    """
    used: list[str] = []
    handles = [
        layer.register_forward_hook(lambda layer, inputs, output, name=name: used.append(name))
        for name, layer in model.module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        batch = model.adata_manager.create_torch_dataset()[np.arange(min(2, model.adata.n_obs))]
        with torch.no_grad():
            model.embed_batch(on_device(batch, model.device))
    finally:
        for handle in handles:
            handle.remove()
    if not used:
        raise value_error("tuning", "an encoder with linear layers", "one without", 'pass tuning="full"')
    return sorted(set(used))
