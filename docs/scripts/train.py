"""Train OmicsMLM from a file on whatever there is, and go on where the last run ended: python train.py cells.h5ad embedded.h5ad"""

import os
import sys
from pathlib import Path

import anndata

import omicsmlm

source, target = sys.argv[1:3]
checkpoints = Path("checkpoints")
begun = (checkpoints / "last.ckpt").exists()

adata = anndata.read_h5ad(source, backed="r")
model = omicsmlm.OmicsMLM(adata, batch_key="batch")
model.train(
    # torchrun says by itself how many processes there are; under SLURM, say what the job was given
    devices=int(os.environ["SLURM_NTASKS_PER_NODE"]) if "SLURM_NTASKS_PER_NODE" in os.environ else "auto",
    num_nodes=int(os.environ.get("SLURM_NNODES", 1)),
    checkpoint_dir=checkpoints,
    resume_from=checkpoints if begun else None,
    key_added=None,  # written to a file instead, a block at a time
)
model.save("model", overwrite=True)  # by the first process alone
model.write_latent_representation(target, across_ranks=True)  # all embed, the first one writes
