"""How long does a step take? OmicsMLM beside scVI, and where the time goes: CPU time, one thread, one process.

    OMP_NUM_THREADS=1 OMICSMLM_DATA=DIR python benchmarks/step.py [--repeats 9] [--epochs 5] [--only steps ...] [--profile]

pbmc_3tech (3 batches, 1,764 genes, all of which the model looks at), its rows repeated to 1,536, so that an epoch is 12
full batches of 128. scVI has its defaults (n_hidden 128, n_layers 1, n_latent 10, zinb). The two take turns.

steps      a step in each one's own loop, ``train()`` without validation, from its first step to its last, over the number
           of steps: loader, logging, ours with the averaging of weights and the refreshes of the memory; and a step
           in a bare loop of loader, forward, backward, (ours) clipping, optimiser: no Lightning
embedding  ``get_latent_representation`` of 6,000 rows, each with its own batch size (ours 1,024, scVI 128), and scVI with ours
breakdown  where a step goes in our own loop, each part timed inside ``train()``
overhead   our ``train()`` against the bare loop of the same steps, for a network wide enough for steps of 100 ms
--profile  the operations that take the most time in our bare step
"""

import argparse
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import chain, islice, repeat
from typing import Any, NamedTuple

import anndata as ad
import lightning
import numpy as np
import scvi
import torch
from _clock import REFRESH, Clock, instrumented
from scvi.dataloaders import DataSplitter

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets
from omicsmlm._draws import Draws
from omicsmlm.training._schedule import warmup_cosine

BATCH, N_TRAINED, N_EMBEDDED = 128, 1536, 6000
QUIET = {"enable_progress_bar": False, "logger": False, "enable_checkpointing": False}


class Sides(NamedTuple):
    """What takes turns: CPU-seconds (of a step, say) of each side, over the repeats."""

    names: list[str]
    seconds_rs: np.ndarray

    def lines(self, goal: str) -> str:
        """Give the median of each side in ms, and the median and range of the ratio of each other one to the first."""
        median_s = np.median(self.seconds_rs, axis=0)
        text = []
        for s, name in enumerate(self.names):
            line = f"  {name:<46}{1000 * median_s[s]:9.2f} ms"
            if s:
                ratios = self.seconds_rs[:, s] / self.seconds_rs[:, 0]
                line += f"   {np.median(ratios):5.2f} x ours ({ratios.min():.2f}-{ratios.max():.2f}){goal}"
            text.append(line)
        return "\n".join(text)


class Span(lightning.Callback):
    """CPU-seconds from the start of a training to its end, and its steps."""

    def __init__(self, on_start: Callable[[], None] = lambda: None) -> None:
        self.on_start = on_start

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Start."""
        self.on_start()
        self.start = time.process_time()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop."""
        self.seconds, self.n_steps = time.process_time() - self.start, trainer.global_step


def tiled(adata: ad.AnnData, n_rows: int) -> ad.AnnData:
    """Repeat the rows of an object until there are enough of them."""
    rows_n = np.resize(np.arange(adata.n_obs), n_rows)
    return ad.AnnData(adata.X[rows_n], adata.obs.iloc[rows_n].reset_index(drop=True), adata.var)


def their_model(adata: ad.AnnData) -> scvi.model.SCVI:
    scvi.model.SCVI.setup_anndata(adata, batch_key="batch")
    return scvi.model.SCVI(adata, gene_likelihood="zinb", n_layers=1, n_hidden=128, n_latent=10)


def our_own_loop(model: OmicsMLM, n_epochs: int, on_start: Callable[[], None] = lambda: None) -> float:
    """Train as users do, without validation; give the CPU-seconds of a step."""
    span = Span(on_start)
    model.train(n_epochs, train_size=1.0, batch_size=BATCH, key_added=None, progress_bar=False, callbacks=[span])
    return span.seconds / span.n_steps


def their_own_loop(model: scvi.model.SCVI, n_epochs: int) -> float:
    span = Span()
    settings = {**QUIET, "callbacks": [span], "accelerator": "cpu"}
    model.train(n_epochs, train_size=1.0, validation_size=None, batch_size=BATCH, **settings)
    return span.seconds / span.n_steps


def endless(loader: Any) -> Iterator[Any]:
    return chain.from_iterable(repeat(loader))


def our_bare_loop(model: OmicsMLM, n_steps: int) -> float:
    """Go through the steps of the plan in a plain loop, the targets of the alignment losses taken before; CPU-seconds of a step."""
    from omicsmlm.data import observation_loader

    parts, o, module = model.parts, model.optimisation, model.module
    rows = np.arange(model.adata.n_obs)
    with torch.no_grad():
        visible = list(observation_loader(model.adata_manager, rows, 1024))
        means = torch.cat([module.embed(parts.tokenizer(batch), batch).mean for batch in visible])
        covariates, keys = (torch.cat([getattr(b, name) for b in visible]) for name in ("covariates", "rows"))
        parts.memory.refresh(means, covariates, keys, is_whole=True)
    weights = list(module.parameters())
    optimizer = torch.optim.AdamW(
        weights, lr=o.learning_rate, betas=o.betas, eps=o.epsilon, weight_decay=o.weight_decay, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_cosine(step, n_steps, n_steps // 10))
    batches = endless(observation_loader(model.adata_manager, rows, BATCH, seed=0))
    module.train()
    start = time.process_time()
    for step, batch in enumerate(islice(batches, n_steps)):
        optimizer.zero_grad()
        torch.default_generator.manual_seed(step)
        batch = batch._replace(draws=Draws(step, batch.indices))
        masked = parts.masking(parts.tokenizer(batch), batch.draws)
        terms = parts.objective(module(masked.inputs, batch), masked, batch, step / n_steps)
        torch.stack([term.float() for term in terms.values()]).sum().backward()
        torch.nn.utils.clip_grad_norm_(weights, o.gradient_limit)
        optimizer.step()
        schedule.step()
    spent = time.process_time() - start
    module.eval()
    parts.memory.clear()
    return spent / n_steps


def their_bare_loop(model: scvi.model.SCVI, n_steps: int) -> float:
    """Go through the steps of scVI's TrainingPlan (Adam 1e-3, epsilon .01, decay 1e-6, KL weight 1), without it."""
    splitter = DataSplitter(model.adata_manager, train_size=1.0, batch_size=BATCH)
    splitter.setup()
    optimizer = torch.optim.Adam(model.module.parameters(), lr=1e-3, eps=0.01, weight_decay=1e-6)
    batches = endless(splitter.train_dataloader())
    model.module.train()
    start = time.process_time()
    for tensors in islice(batches, n_steps):
        optimizer.zero_grad()
        _, _, losses = model.module(tensors, loss_kwargs={"kl_weight": 1.0})
        losses.loss.backward()
        optimizer.step()
    spent = time.process_time() - start
    model.module.eval()
    return spent / n_steps


def turns(sides: dict[str, Callable[[], float]], repeats: int) -> Sides:
    """Let the sides take turns, after one that is not counted."""
    for run in sides.values():
        run()
    return Sides(list(sides), np.array([[run() for run in sides.values()] for _ in range(repeats)]))


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def steps(adata: ad.AnnData, repeats: int, n_epochs: int) -> None:
    ours, theirs, n_steps = OmicsMLM(adata, batch_key="batch"), their_model(adata), n_epochs * (N_TRAINED // BATCH)
    sides: dict[str, Callable[[], float]] = {
        "OmicsMLM, train()": lambda: our_own_loop(ours, n_epochs),
        "scVI, train()": lambda: their_own_loop(theirs, n_epochs),
        "OmicsMLM, bare loop": lambda: our_bare_loop(ours, n_steps),
        "scVI, bare loop": lambda: their_bare_loop(theirs, n_steps),
    }
    found = turns(sides, repeats)
    print(
        f"\nA step of {BATCH} rows x {adata.n_vars} genes, {n_steps} steps a turn, {repeats} turns (goal 1.2, better 1.5)"
    )
    for first in (0, 2):
        print(Sides(found.names[first : first + 2], found.seconds_rs[:, first : first + 2]).lines(""))


def embedding(adata: ad.AnnData, repeats: int) -> None:
    ours, theirs = OmicsMLM(adata, batch_key="batch"), their_model(adata)
    theirs.is_trained_ = True
    found = turns(
        {
            "OmicsMLM, its own batches (1,024)": lambda: seconds(ours.get_latent_representation),
            "scVI, its own batches (128)": lambda: seconds(theirs.get_latent_representation),
            "scVI, batches of 1,024": lambda: seconds(lambda: theirs.get_latent_representation(batch_size=1024)),
        },
        3 * repeats,
    )
    print(f"\nEmbedding of {adata.n_obs} rows (goal 1.0, better 1.5)")
    print(found.lines(""))


def breakdown(adata: ad.AnnData, repeats: int, n_epochs: int) -> None:
    model, n_steps = OmicsMLM(adata, batch_key="batch"), n_epochs * (N_TRAINED // BATCH)
    our_own_loop(model, n_epochs)
    plain, found = [], []
    for _ in range(repeats):
        plain.append(our_own_loop(model, n_epochs))
        clock = Clock()
        with instrumented(model, clock):
            our_own_loop(model, n_epochs, clock.restart)
            found.append(clock.stop())
    names = sorted({name for spent in found for name in spent})
    median = {name: float(np.median([spent.get(name, 0.0) for spent in found])) / n_steps for name in names}
    total = sum(median.values())
    print(
        f"\nWhere a step of train() goes: {1000 * total:.2f} ms with the wrappers, {1000 * np.median(plain):.2f} without"
    )
    for name, spent in sorted(median.items(), key=lambda item: -item[1]):
        print(f"  {name:<46}{1000 * spent:9.2f} ms{spent / total:8.1%}")


def overhead(adata: ad.AnnData, repeats: int, width: int) -> None:
    model = OmicsMLM(adata, OmicsMLMConfig(width=width), batch_key="batch")
    n_epochs, clock = 8, Clock()
    n_steps = n_epochs * (N_TRAINED // BATCH)
    refreshes = []

    def own() -> float:
        with instrumented(model, clock):
            spent = our_own_loop(model, n_epochs, clock.restart)
            refreshes.append(clock.stop().get(REFRESH, 0.0) / n_steps)
        return spent

    found = turns({"bare loop": lambda: our_bare_loop(model, n_steps), "train()": own}, repeats)
    bare, whole = np.median(found.seconds_rs, axis=0)
    ratios = found.seconds_rs[:, 1] / found.seconds_rs[:, 0] - 1
    without = (found.seconds_rs[:, 1] - np.array(refreshes[1:])) / found.seconds_rs[:, 0] - 1
    print(f"\ntrain() against a bare loop of the same steps, width {width} (goal at most 10 % at 100 ms and more)")
    print(f"  bare loop {1000 * bare:.1f} ms, train() {1000 * whole:.1f} ms a step: {np.median(ratios):+.1%}", end="")
    print(f" ({ratios.min():+.1%} to {ratios.max():+.1%}); without the refreshes {np.median(without):+.1%}")


def profiled(adata: ad.AnnData) -> None:
    from torch.profiler import ProfilerActivity, profile

    model = OmicsMLM(adata, batch_key="batch")
    our_bare_loop(model, 12)
    with profile(activities=[ProfilerActivity.CPU]) as found:
        our_bare_loop(model, 48)
    operations = sorted(found.key_averages(), key=lambda operation: -operation.self_cpu_time_total)
    print("\nOperations of a bare step, by their own time (in the profiler, which makes small ones dearer)")
    for operation in operations[:30]:
        own, calls = operation.self_cpu_time_total / 48 / 1000, operation.count / 48
        print(f"  {operation.key[:46]:<46}{own:9.2f} ms{calls:8.1f} calls")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["steps", "embedding", "breakdown", "overhead"]
    parser.add_argument("--only", nargs="+", choices=parts, default=parts)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--epochs", type=int, default=5, help="of 12 steps each, in a turn")
    parser.add_argument("--width", type=int, default=2048, help="of the network whose overhead is measured")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("lightning.pytorch", "scvi"):
        logging.getLogger(name).setLevel(logging.ERROR)
    whole = datasets.pbmc_3tech()
    trained, embedded = tiled(whole, N_TRAINED), tiled(whole, N_EMBEDDED)
    if "steps" in arguments.only:
        steps(trained, arguments.repeats, arguments.epochs)
    if "embedding" in arguments.only:
        embedding(embedded, arguments.repeats)
    if "breakdown" in arguments.only:
        breakdown(trained, arguments.repeats, arguments.epochs)
    if "overhead" in arguments.only:
        overhead(trained, arguments.repeats, arguments.width)
    if arguments.profile:
        profiled(trained)


if __name__ == "__main__":
    main()
