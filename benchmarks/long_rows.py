"""Training steps on rows of 20,000 tokens, on CPU: peak memory and seconds, each in a process of its own.

    OMP_NUM_THREADS=1 python benchmarks/long_rows.py [--only latent packed] [--layers 2 4] [--steps 2]

A step is forward, backward and AdamW; width 128, 4 heads, feed-forward 512, 2 rows, float32. ``latent`` goes through 256
latents, ``packed`` is exact attention of every token to every other. The goal is to stay below 20 GiB.
"""

import argparse
import multiprocessing
import resource
import time
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("latent", "packed"), default=["latent", "packed"])
    parser.add_argument("--layers", nargs="+", type=int, default=[2, 4])
    parser.add_argument("--steps", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{N_ROWS} rows of {N_TOKENS:,} tokens, width {WIDTH}, 1 thread, PyTorch {torch.__version__}")
    for kind in arguments.only:
        for n_layers in arguments.layers:
            with multiprocessing.get_context("spawn").Pool(1) as process:
                found = process.apply(cost, (kind, n_layers, arguments.steps))
            verdict = "below" if found.peak < MOST_GIB else "ABOVE"
            print(
                f"{kind:<7} {n_layers} layers: {min(found.seconds):6.2f}-{max(found.seconds):.2f} CPU-s a step, peak "
                f"{found.peak:.2f} GiB ({found.before:.2f} before the first step), {verdict} {MOST_GIB:.0f} GiB; "
                f"loss {found.losses[0]:.3f} to {found.losses[1]:.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
