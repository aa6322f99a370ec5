"""Trains a small OmicsMLM, alone or as one of several ranks (torchrun), and writes what came of it.

python ranks_script.py OUT            torchrun --nproc-per-node 2 ranks_script.py OUT
"""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np

import omicsmlm
from tests.objects import SMALL

out = Path(sys.argv[1])
data = omicsmlm.datasets.simulate_multiome(150, 30, 40)
model = omicsmlm.OmicsMLM(data, dataclasses.replace(SMALL, dropout=0.0), batch_key="batch")
model.train(6, batch_size=32, accelerator="cpu", progress_bar=False, checkpoint_dir=out / "checkpoints")
weights = {name: value.numpy() for name, value in model.module.state_dict().items()}
history = {f"history {name}": frame.to_numpy() for name, frame in model.history.items()}
rank = os.environ.get("RANK", "alone")
np.savez(out / f"{rank}.npz", embedding=data.obsm["X_omics"], **weights, **history)
