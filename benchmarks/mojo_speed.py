"""MOJO beside a transformer that sees every gene: CPU time of training steps; and the memory of the paper's size.

    OMP_NUM_THREADS=1 python benchmarks/mojo_speed.py [--only genes modalities memory] [--sizes 4096 8192 16384]
                                                  [--repeats 3] [--fp32]

A step is masking, forward, cross-entropy of the masked tokens, backward and AdamW, in bfloat16 unless told otherwise, one
row of both modalities. The transformer has the embeddings, the heads, and the blocks of MOJO (width 256, 8 blocks of 8
heads, SwiGLU of 512, rotary positions), and runs them on all tokens instead of what the towers leave. The two take turns.

genes       4,096, 8,192 and 16,384 tokens, the modalities' embeddings summed in both (ratio 6)
modalities  8,192 genes: MOJO sums the modalities, the transformer has the tokens of both behind one another (ratio 7)
memory      peak memory of training MOJOConfig.paper() at 17,152 positions with batches of 2, in float32
"""

import argparse
import resource
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from speed import Contest, Step, measure, seconds
from torch import Tensor, nn

from omicsmlm import MOJOConfig
from omicsmlm._draws import Draws
from omicsmlm._types import Batch, Encoded, Grid, Module
from omicsmlm.masking import MaskBins
from omicsmlm.models.mojo._module import MOJOModule, MOJOOutputs
from omicsmlm.nn import AxisEmbedding, RotaryTransformer, TokenHead
from omicsmlm.objectives import BinCrossEntropy

NAMES = ["rna", "methylation"]
CONFIG = replace(MOJOConfig.paper(), token_width=128, width=256, n_heads=8, feed_width=512)
"""The paper's, at half the width."""
GOALS = {4096: 8.0, 8192: 15.0, 16_384: 25.0}
"""Ratio 6 by the number of tokens."""


class AllTokens(Module):
    """The transformer on every token; ``joined`` puts the modalities behind one another, else they are summed."""

    def __init__(self, n_genes: int, config: MOJOConfig, joined: bool) -> None:
        super().__init__()
        c, self.joined, self.n_latent = config, joined, config.width
        n_positions = c.n_positions(n_genes)
        groups = [[name] for name in NAMES] if joined else [NAMES]
        self.embeddings = nn.ModuleList(
            [AxisEmbedding(group, c.n_bins, n_genes, n_positions, c.gene_width, c.token_width) for group in groups]
        )
        self.wide = nn.Linear(c.token_width, c.width)
        self.transformer = RotaryTransformer(c.width, c.n_heads, c.feed_width, c.n_blocks)
        self.heads = nn.ModuleList([TokenHead(c.width, c.n_bins) for _ in NAMES])

    def encode(self, views: dict[str, Grid]) -> Encoded:
        mean_nd = self._states(views).mean(1)
        return Encoded(mean_nd, torch.zeros_like(mean_nd))

    def forward(self, views: dict[str, Grid], batch: Batch) -> MOJOOutputs:
        states_nld = self._states(views)
        parts = states_nld.chunk(2, 1) if self.joined else (states_nld, states_nld)
        token_logits = {name: head(part) for name, head, part in zip(NAMES, self.heads, parts, strict=True)}
        return MOJOOutputs(Encoded(states_nld.mean(1), states_nld.mean(1)), token_logits, {})

    def _states(self, views: dict[str, Grid]) -> Tensor:
        embedded = torch.cat([embedding(views) for embedding in self.embeddings], 1)
        return self.transformer(self.wide(embedded))


def views_of(n_rows: int, n_genes: int, n_bins: int) -> dict[str, Grid]:
    """Random bins, all measured."""
    values = {name: torch.randint(0, n_bins, (n_rows, n_genes)).float() for name in NAMES}
    return {name: Grid(x, torch.ones_like(x, dtype=torch.bool), x.sum(1)) for name, x in values.items()}


def step(module: Module, views: dict[str, Grid], config: MOJOConfig, bf16: bool) -> Step:
    """A training step."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)
    masking, objective = MaskBins(config.n_bins, config.mask_rate), BinCrossEntropy()
    n_rows = len(next(iter(views.values())).values)
    batch = Batch({}, {}, {}, torch.zeros(n_rows, 0, dtype=torch.int64), torch.arange(n_rows))
    draws = Draws(0, batch.indices)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            masked = masking(views, draws)
            terms = objective(module(masked.inputs, batch), masked, batch, 0.0)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()

    return run


def contest(name: str, goal: float, n_genes: int, joined: bool, bf16: bool) -> Contest:
    views = views_of(1, n_genes, CONFIG.n_bins)
    ours = step(MOJOModule(NAMES, n_genes, CONFIG).train(), views, CONFIG, bf16)
    theirs = step(AllTokens(n_genes, CONFIG, joined).train(), views, CONFIG, bf16)
    return Contest(name, goal, ours, theirs, 0.0)


def genes(arguments: argparse.Namespace) -> None:
    for n_genes in arguments.sizes:
        entry = contest(f"transformer, {n_genes:,} tokens", GOALS[n_genes], n_genes, False, not arguments.fp32)
        print(measure(entry, arguments.repeats), flush=True)


def modalities(arguments: argparse.Namespace) -> None:
    entry = contest("transformer, 2 x 8,192 tokens", 60.0, 8192, True, not arguments.fp32)
    print(measure(entry, arguments.repeats), flush=True)


def memory(arguments: argparse.Namespace) -> None:
    config, n_genes = MOJOConfig.paper(), 17_116
    module = MOJOModule(NAMES, n_genes, config).train()
    run = step(module, views_of(2, n_genes, config.n_bins), config, bf16=False)
    taken = [seconds(run) for _ in range(2)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    n_parameters = sum(p.numel() for p in module.parameters())
    print(
        f"paper size, {n_parameters:,} parameters, {config.n_positions(n_genes):,} positions, batch 2, float32: "
        f"peak memory of the process {peak:.1f} GiB (wanted < 16), {taken[-1]:.0f} CPU-s a step"
    )


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {"genes": genes, "modalities": modalities, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--sizes", nargs="+", type=int, choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--fp32", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{torch.get_num_threads()} thread, {'float32' if arguments.fp32 else 'bfloat16'}, PyTorch {torch.__version__}"
    )
    for name in arguments.only:
        torch.manual_seed(0)
        PARTS[name](arguments)


if __name__ == "__main__":
    main()
