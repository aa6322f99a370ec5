"""Records on their way to a device."""

import torch
from lightning.fabric.utilities import move_data_to_device

from omicsmlm._types import Batch


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Move a batch of rows to a device."""
    return move_data_to_device(batch, device)
