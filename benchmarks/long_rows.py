"""Training steps on rows of 20,000 tokens, on CPU: peak memory and seconds, each in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/long_rows.py [--only latent packed scmbert] [--layers 2 4] [--steps 2]

A step is forward, backward and AdamW; width 128, 4 heads, feed-forward 512, 2 rows, float32. ``latent`` goes through 256
latents, ``packed`` is exact attention of every token to every other. ``scmbert`` is ScMBERT itself, made and trained by
``train(batch_size=2)`` on cells of 20,000 tokens (5,000 genes and 15,000 of 200,000 regions) of which no step drops any:
its seconds are those of the whole training divided by its steps. The goal is to stay below 20 GiB.
"""

import argparse
import multiprocessing
import resource
import time
from typing import NamedTuple

import numpy as np
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm import ScMBERT, ScMBERTConfig
from omicsmlm.nn import LatentTransformer, PackedTransformer

WIDTH, N_HEADS, FEED_FORWARD, N_LATENTS = 128, 4, 512, 256
N_ROWS, N_TOKENS = 2, 20_000
MOST_GIB = 20.0


class Cost(NamedTuple):
    """What steps took: CPU-seconds of each, peak memory in GiB before them and at their end, first and last loss."""

    seconds: list[float]
    before: float
    peak: float
    losses: tuple[float, float]


def model_of(kind: str, n_layers: int) -> nn.Module:
    if kind == "latent":
        return LatentTransformer(WIDTH, N_LATENTS, n_layers, N_HEADS, FEED_FORWARD)
    return PackedTransformer(WIDTH, n_layers, N_HEADS, FEED_FORWARD)


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in KiB on Linux


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x_td: Tensor, offsets: Tensor, target_td: Tensor) -> float:
    optimizer.zero_grad()
    loss = F.mse_loss(model(x_td, offsets), target_td)
    loss.backward()
    optimizer.step()
    return loss.item()


def cost(kind: str, n_layers: int, n_steps: int) -> Cost:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = model_of(kind, n_layers)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    x_td, target_td = torch.randn(2, N_ROWS * N_TOKENS, WIDTH)
    offsets = N_TOKENS * torch.arange(N_ROWS + 1)
    before, seconds, losses = peak_gib(), [], []
    for _ in range(n_steps):
        start = time.process_time()
        losses.append(step(model, optimizer, x_td, offsets, target_td))
        seconds.append(time.process_time() - start)
    return Cost(seconds, before, peak_gib(), (losses[0], losses[-1]))


def cells() -> MuData:
    """Cells of 5,000 genes, all of them found, and 15,000 open regions of 200,000."""
    rng, n = np.random.default_rng(0), 8
    rna = AnnData(sparse.csr_matrix(rng.poisson(2.0, (n, 5000)) + 1.0, dtype=np.float32))
    places = np.concatenate([i * 200_000 + rng.choice(200_000, 15_000, replace=False) for i in range(n)])
    atac = AnnData(
        sparse.csr_matrix((np.ones(len(places)), np.divmod(places, 200_000)), (n, 200_000), dtype=np.float32)
    )
    atac.var_names = [f"chr1:{1000 * j}-{1000 * j + 500}" for j in range(atac.n_vars)]
    return MuData({"rna": rna, "atac": atac})


def scmbert_cost(_: str, n_layers: int, n_steps: int) -> Cost:
    torch.set_num_threads(1)
    data, n_train = cells(), 6
    config = ScMBERTConfig(
        n_layers=n_layers, drop_rates=(0.0, 0.0), modality_rate=0.0, max_training_tokens=N_TOKENS, alignment_weight=0.0
    )
    model = ScMBERT(data, config)
    before, n_epochs, start = peak_gib(), max(1, -(-N_ROWS * n_steps // n_train)), time.process_time()
    model.train(n_epochs, batch_size=N_ROWS, train_size=n_train / data.n_obs, progress_bar=False, key_added=None)
    spent = (time.process_time() - start) / (n_epochs * n_train / N_ROWS)
    losses = model.history["train_loss"]["train_loss"]
    return Cost([spent], before, peak_gib(), (losses.iloc[0], losses.iloc[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("latent", "packed", "scmbert"), default=["latent", "packed"])
    parser.add_argument("--layers", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--steps", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{N_ROWS} rows of {N_TOKENS:,} tokens, width {WIDTH}, 1 thread, PyTorch {torch.__version__}")
    for kind in arguments.only:
        for n_layers in arguments.layers:
            with multiprocessing.get_context("spawn").Pool(1) as process:
                found = process.apply(scmbert_cost if kind == "scmbert" else cost, (kind, n_layers, arguments.steps))
            verdict = "below" if found.peak < MOST_GIB else "ABOVE"
            print(
                f"{kind:<7} {n_layers} layers: {min(found.seconds):6.2f}-{max(found.seconds):.2f} CPU-s a step, peak "
                f"{found.peak:.2f} GiB ({found.before:.2f} before the first step), {verdict} {MOST_GIB:.0f} GiB; "
                f"loss {found.losses[0]:.3f} to {found.losses[1]:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
