"""A training that diverges: it is stopped, told, and leaves the last good weights."""

import logging

import lightning
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from omicsmlm._checks import value_error

from ._callbacks import KeptWeights
from ._plan import MaskedPlan

logger = logging.getLogger(__name__)

MOST_LEFT_OUT = 20
"""Steps in a row without finite gradients, whole rounds of them, after which a training is stopped; a scale of float16 gradients
that begins too high is found in fewer."""
REMEDY = "lower learning_rate in the config, or pass precision='32-true'"


class Divergence(Callback):
    """Stops a training in which rounds of steps have no finite gradients, or whose validation loss is not finite.

    Where a good round came before, the training ends as if it had been stopped early; otherwise the weights are put back to
    what they were before it, and it fails.

    Parameters
    ----------
    kept
        The weights that the training leaves.
    """

    def __init__(self, kept: KeptWeights) -> None:
        self.kept = kept
        self.n_in_a_row = 0
        self.has_good_round = False
        self.before: dict[str, Tensor] = {}

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Keep the weights, also those of a checkpoint that the training goes on from."""
        assert isinstance(pl_module, MaskedPlan)
        self.before = {name: value.detach().cpu().clone() for name, value in pl_module.module.state_dict().items()}

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Look at the round: the history has ended it, and Lightning has validated."""
        assert isinstance(pl_module, MaskedPlan)
        n_steps = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
        is_lost = pl_module.n_left_out >= n_steps
        self.n_in_a_row = self.n_in_a_row + n_steps if is_lost else 0
        validated = trainer.callback_metrics.get("validation_loss")
        if validated is not None and not bool(validated.isfinite()):
            self._stop(trainer, pl_module, f"a validation loss of {float(validated)}", is_good=bool(self.kept.best))
        elif is_lost and self.n_in_a_row >= min(MOST_LEFT_OUT, pl_module.n_steps):
            self._stop(trainer, pl_module, f"none in {self.n_in_a_row} steps in a row", is_good=self.has_good_round)
        else:
            self.has_good_round |= not is_lost

    def _stop(self, trainer: lightning.Trainer, plan: MaskedPlan, found: str, *, is_good: bool) -> None:
        if is_good:
            trainer.should_stop = True
            logger.warning(
                "The training diverged (%s) and was stopped; the last good weights are kept; %s.", found, REMEDY
            )
            return
        plan.module.load_state_dict(self.before)
        raise value_error("train", "finite losses and gradients", found, REMEDY)
