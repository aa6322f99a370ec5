"""Trains a small OmicsMLM for one epoch of many rounds, going on from a checkpoint if there is one: python one_pass_script.py OUT."""

import sys
from pathlib import Path

import numpy as np

import omicsmlm
import omicsmlm.training._rounds
from tests.objects import SMALL

omicsmlm.training._rounds.ROUND_BATCHES = 5
out = Path(sys.argv[1])
data = omicsmlm.datasets.simulate_multiome(4000, 30, 40)
model = omicsmlm.OmicsMLM(data, SMALL, batch_key="batch")
print("begins", flush=True)
begun = out if (out / "last.ckpt").exists() else None
options = {"batch_size": 8, "accelerator": "cpu", "progress_bar": False, "key_added": None}
model.train(1, checkpoint_dir=out, resume_from=begun, **options)
np.savez(out / "weights.npz", **{name: value.numpy() for name, value in model.module.state_dict().items()})
