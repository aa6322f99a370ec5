"""Moving batches to a device, and seeding what is drawn there."""

import torch
from lightning.fabric.utilities import move_data_to_device

from omicsmlm._types import Batch


def on_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on a device."""
    return move_data_to_device(batch, device)


def seed_draws(seed: int, device: torch.device) -> None:
    """Seed what is drawn on the CPU and on a device.

    ``torch.manual_seed`` also formats a stack trace for each back end that is not there: milliseconds in every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
