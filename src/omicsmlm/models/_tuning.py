"""Fine-tuning an encoder together with the head that reads it: as a whole, or through a few new weights."""

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omicsmlm._checks import mistake
from omicsmlm._types import Batch, Encoded, Module
from omicsmlm.nn import LabelHead
from omicsmlm.training import on_device

from ._base import OmicsModel


class Labeller(Module):
    """An encoder and the head that reads labels off its embedding.

    Parameters
    ----------
    encoder
        Module of a family.
    head
        Head of the width of its embedding.
    """

    def __init__(self, encoder: Module, head: LabelHead) -> None:
        super().__init__()
        self.n_latent = encoder.n_latent
        self.encoder = encoder
        self.head = head

    def encode(self, views: dict[str, Any]) -> Encoded:
        """Embed, as the encoder does."""
        return self.encoder.encode(views)

    def embed(self, views: dict[str, Any], batch: Batch) -> Encoded:
        """Embed a batch of rows, as the encoder does."""
        return self.encoder.embed(views, batch)

    def forward(self, views: dict[str, Any], batch: Batch) -> Tensor:
        """Give the (n, c) logits of a batch."""
        return self.head(self.embed(views, batch).mean)


class Adapted:
    """An encoder, in place, with LoRA or IA3 weights beside its own, which stay as they are until :meth:`merge`.

    The layers are the linear ones that an embedding passes; a decoder has no part in it.

    Parameters
    ----------
    model
        Model whose encoder is adapted.
    method
        "lora" (Hu et al. 2021) or "ia3" (Liu et al. 2022).
    rank
        Rank of LoRA's matrices.
    seed
        Seed of their start.

    Raises
    ------
    ImportError
        If peft is not installed.
    """

    def __init__(self, model: OmicsModel, method: str, rank: int, seed: int) -> None:
        try:
            from peft import IA3Config, IA3Model, LoraConfig, LoraModel
        except ImportError as error:
            raise ImportError(f"tuning={method!r} needs peft; run: pip install 'omicsmlm[tune]'") from error
        layers = "|".join(re.escape(name) for name in embedding_layers(model))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if method == "lora":
                lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
                self.adapted: Any = LoraModel(model.module, lora, "labels")
            else:
                ia3 = IA3Config(target_modules=layers, feedforward_modules=[])
                self.adapted = IA3Model(model.module, ia3, "labels")

    def merge(self) -> None:
        """Add the new weights to the encoder's own, so that it is again a plain one of its family."""
        self.adapted.merge_and_unload()
        self.adapted.model.requires_grad_(True)


def embedding_layers(model: OmicsModel) -> list[str]:
    """Name the linear layers that an embedding passes.

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
            model._embed(on_device(batch, model.device))
    finally:
        for handle in handles:
            handle.remove()
    if not used:
        raise mistake("tuning", "an encoder with linear layers", "one without", 'pass tuning="full"')
    return sorted(set(used))
