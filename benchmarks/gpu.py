"""What one card does: its tests, the same numbers as a CPU, seconds a step and what they are made of; under six minutes.

    python benchmarks/gpu.py [--device cuda] [--small] [--only tests families data presets] [--out table.md]

tests     the tests marked ``gpu``, which other machines skip
families  each family: trained for some steps, then embedded on the CPU and on the card by the same weights (largest difference);
          a training step as ``train()`` does it (bfloat16, fused AdamW, clipping): seconds, rows a second, useful FLOPs counted
          by ``torch.utils.flop_counter`` as a share of a measured matrix product, peak memory, the share of the time in which the
          loader is waited for, and how often the host waits in a step as PyTorch counts it (``set_sync_debug_mode``)
data      the same step of TxFM from the loader in memory, from pinned memory read ahead, and from a CSR matrix
          that lies on the card and is tokenised there
presets   one step each of the papers' sizes, of MOJO and TxFM

With ``--device cpu --small`` everything but the tests runs in seconds on a laptop: so it is tested. Attention of packed rows in one
kernel (``varlen_attn``) is not known to the counter of FLOPs; these are added in closed form.
"""

import argparse
import copy
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import omicsmlm
from omicsmlm import MOJO, IsoFormer, MOJOConfig, OmicsMLM, ScMBERT, TxFM, TxFMConfig
from omicsmlm._draws import Draws
from omicsmlm._types import Batch, Parts, Tokens
from omicsmlm.data import observation_loader
from omicsmlm.models import OmicsModel
from omicsmlm.training import on_device

SECTIONS = ("tests", "families", "data", "presets")


class Sizes(NamedTuple):
    """How large everything is."""

    n_rows: int
    n_genes: int
    n_peaks: int
    batch_size: int
    n_steps: int
    matrix: int


FULL = Sizes(20_000, 18_000, 60_000, 256, 30, 8192)
SMALL = Sizes(48, 40, 60, 16, 1, 128)


class Step:
    """A training step of the parts of a model on a device, as ``train()`` does it."""

    def __init__(self, parts: Parts, device: torch.device) -> None:
        self.parts, self.device, self.n_done = copy.deepcopy(parts), device, 0
        for part in (self.parts.module, self.parts.tokenizer, self.parts.masking):
            if isinstance(part, nn.Module):
                part.to(device)
        self.parts.module.train()
        self.weights = [weight for weight in self.parts.module.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(self.weights, lr=1e-4, fused=True)

    def __call__(self, batch: Batch) -> None:
        """Mask, encode, judge, differentiate, clip, step."""
        self.n_done += 1
        batch = batch._replace(draws=Draws(self.n_done, batch.indices))
        with torch.autocast(self.device.type, torch.bfloat16):
            masked = self.parts.masking(self.parts.tokenizer(batch), batch.draws)
            terms = self.parts.objective(self.parts.module(masked.inputs, batch), masked, batch, 0.5)
        torch.stack([term.float() for term in terms.values()]).sum().backward()
        nn.utils.clip_grad_norm_(self.weights, 50.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Measured(NamedTuple):
    """What a number of steps took."""

    seconds: float
    """Of one step."""
    rows: float
    """Rows a second."""
    flops: float
    """Of one step."""
    waiting: float
    """Share of the time in which the loader was waited for."""
    memory: float
    """Most memory of the device, in GiB."""


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def matrix_product(size: int, device: torch.device) -> float:
    """FLOPs a second of a product of square bfloat16 matrices: what is possible, for the shares below."""
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best, n = 0.0, 10
    for _ in range(3):
        wait_for(device)
        start = time.perf_counter()
        for _ in range(n):
            a @ b
        wait_for(device)
        best = max(best, 2 * size**3 * n / (time.perf_counter() - start))
    return best


def attention_flops(query: Tensor, offsets: Tensor, key_offsets: Tensor) -> int:
    """Of the two products of attention among the tokens of each row, and among these alone.

    Examples
    --------
    Of 2 queries and 3 keys in one head of width 4, twice 2 · 2 · 3 · 4:

    >>> attention_flops(torch.zeros(2, 1, 4), torch.tensor([0, 2]), torch.tensor([0, 3]))
    96
    """
    pairs = (offsets.diff().long() * key_offsets.diff().long()).sum()
    return 4 * int(pairs) * query.shape[1] * query.shape[2]


def packed_attention() -> dict[Any, Any]:
    """What the counter of FLOPs does not know; backward takes five products where forward takes two."""
    forward: Any = lambda query, key, value, offsets, key_offsets, *rest, out_val=None, **more: attention_flops(
        query, offsets, key_offsets
    )
    backward: Any = lambda grad, query, key, value, out, lse, offsets, key_offsets, *rest, out_val=None, **more: (
        attention_flops(query, offsets, key_offsets) * 5 // 2
    )
    forward._get_raw = backward._get_raw = True
    import torch.nn.attention.varlen  # registers the operations

    names = torch.ops.torch_attn
    return {names._varlen_attn: forward, names._varlen_attn_backward: backward}


def endless(make: Callable[[], Iterable[Batch]]) -> Iterator[Batch]:
    while True:
        yield from make()


def measure(step: Step, make: Callable[[], Iterable[Batch]], n_steps: int) -> Measured:
    """Run some steps to warm up, then the ones that count, without a word between host and device."""
    device, batches = step.device, endless(make)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for _ in range(min(3, n_steps)):
        step(on_device(next(batches), device))
    with FlopCounterMode(display=False, custom_mapping=packed_attention()) as counter:
        step(on_device(next(batches), device))
    wait_for(device)
    start, waited, n_rows = time.perf_counter(), 0.0, 0
    for _ in range(n_steps):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        step(on_device(batch, device))
        n_rows += len(batch.indices)
    wait_for(device)
    took = time.perf_counter() - start
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    return Measured(took / n_steps, n_rows / took, counter.get_total_flops(), waited / took, memory)


def count_waits(step: Step, batch: Batch) -> str:
    """How often PyTorch says that the host waited for the card in a step; a dash where there is no card."""
    if step.device.type != "cuda":
        return "–"
    batch = on_device(batch, step.device)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step(batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return str(sum("called a synchronizing" in str(line.message) for line in caught))


def n_compilations() -> int:
    """Graphs that were compiled in this process."""
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def loader_of(model: OmicsModel, batch_size: int, **options: Any) -> Callable[[], Iterable[Batch]]:
    """Batches of a model's object, shuffled."""
    assert model.adata is not None
    loader = observation_loader(model.adata_manager, np.arange(model.adata.n_obs), batch_size, seed=0, **options)
    return lambda: loader


class Resident:
    """Counts of a modality as a CSR matrix on the card: a batch is gathered there, and the host knows its size.

    Parameters
    ----------
    model
        A model of one modality; its object is in memory.
    device
        The card.
    """

    def __init__(self, model: OmicsModel, device: torch.device) -> None:
        dataset = model.adata_manager.create_torch_dataset()
        assert model.adata is not None
        whole = dataset[np.arange(model.adata.n_obs)]
        (self.name,) = whole.tokens
        tokens = whole.tokens[self.name]
        self.whole, self.ends = on_device(whole, device), tokens.offsets.numpy()
        self.n_bytes = tokens.ids.nbytes + tokens.values.nbytes + tokens.offsets.nbytes

    def batches(self, batch_size: int) -> Iterator[Batch]:
        """Go through all rows once, shuffled."""
        order, whole = np.random.default_rng(0).permutation(len(self.ends) - 1), self.whole
        order_n, tokens = torch.from_numpy(order).to(whole.indices.device), whole.tokens[self.name]
        for first in range(0, len(order), batch_size):
            rows_n = order_n[first : first + batch_size]
            own = order[first : first + batch_size]
            total = int((self.ends[own + 1] - self.ends[own]).sum())
            length_n = tokens.offsets.diff()[rows_n]
            offsets = torch.cat([length_n.new_zeros(1), length_n.cumsum(0)])
            shift_n = tokens.offsets[:-1][rows_n] - offsets[:-1]
            place_t = torch.repeat_interleave(shift_n, length_n, output_size=total)
            place_t = place_t + torch.arange(total, device=place_t.device)
            yield whole._replace(
                tokens={self.name: Tokens(tokens.ids[place_t], tokens.values[place_t], offsets)},
                present={self.name: whole.present[self.name][rows_n]},
                covariates=whole.covariates[rows_n],
                indices=rows_n,
                lengths={},
            )


def bulk(n_rows: int, n_genes: int) -> MuData:
    """RNA and methylation of the same rows on one axis of genes."""
    rng = np.random.default_rng(0)
    names = [f"gene{g}" for g in range(n_genes)]
    parts = {
        "rna": rng.normal(size=(n_rows, n_genes)).astype(np.float32),
        "methylation": rng.random((n_rows, n_genes), dtype=np.float32),
    }
    return MuData({name: AnnData(x, var=pd.DataFrame(index=names)) for name, x in parts.items()})


def counts(n_rows: int, n_genes: int, density: float = 0.1) -> AnnData:
    """Counts of RNA, cheaply."""
    rng = np.random.default_rng(0)
    x = sparse.random(n_rows, n_genes, density, "csr", np.float32, rng)
    x.data = np.ceil(5 * x.data)
    return AnnData(x, var=pd.DataFrame(index=[f"gene{g}" for g in range(n_genes)]))


def transcripts(n_rows: int, longest: int) -> AnnData:
    """DNA and protein of transcripts, and expression in three tissues."""
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(index=[f"transcript{i}" for i in range(n_rows)])
    for name, residues in (("dna", "ACGT"), ("protein", "ACDEFGHIKLMNPQRSTVWY")):
        lengths = rng.integers(longest // 2, longest, n_rows)
        obs[name] = ["".join(rng.choice(list(residues), length)) for length in lengths]
    obs["gene"] = obs.index
    return AnnData(rng.normal(size=(n_rows, 3)).astype(np.float32), obs=obs)


def families(sizes: Sizes) -> dict[str, tuple[Callable[[], OmicsModel], int]]:
    """Each family, with the rows of its step."""
    s, is_small = sizes, sizes is SMALL
    multiome = lambda: omicsmlm.datasets.simulate_multiome(
        s.n_rows // (1 if is_small else 4), s.n_genes // 6 + 20, s.n_peaks // 6 + 20
    )
    few = s.n_rows if is_small else s.n_rows // 10
    return {
        "OmicsMLM": (lambda: OmicsMLM(multiome()), s.batch_size),
        "ScMBERT": (lambda: ScMBERT(multiome()), s.batch_size // 2),
        "MOJO": (lambda: MOJO(bulk(few, s.n_genes)), s.batch_size // 8),
        "TxFM": (lambda: TxFM(counts(few, s.n_genes)), s.batch_size),
        "IsoFormer": (lambda: IsoFormer(transcripts(few, 60 if is_small else 1500)), s.batch_size // 2),
    }


def family_row(name: str, model: OmicsModel, batch_size: int, sizes: Sizes, device: torch.device, peak: float) -> dict:
    """A line of the table of families."""
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    before = n_compilations()
    model.train(
        max_steps=5,
        accelerator=accelerator,
        precision="bf16-mixed",
        batch_size=batch_size,
        progress_bar=False,
        key_added=None,
    )
    rows = np.arange(min(512, model.adata.n_obs))
    model.to_device("cpu")
    here_nd = model.get_latent_representation(indices=rows)
    model.to_device(device)
    there_nd = model.get_latent_representation(indices=rows)
    model.to_device("cpu")
    step = Step(model.parts, device)
    found = measure(step, loader_of(model, batch_size, pin_memory=device.type == "cuda", n_ahead=2), sizes.n_steps)
    waits = count_waits(step, next(iter(loader_of(model, batch_size)())))
    difference = np.abs(here_nd - there_nd).max() / max(1e-12, here_nd.std())
    return {
        "family": name,
        "CPU − card, largest, in SD": f"{difference:.1e}",
        **line(found, batch_size, peak),
        "host waits": waits,
        "compilations": n_compilations() - before,
    }


def line(found: Measured, batch_size: int, peak: float) -> dict[str, Any]:
    return {
        "rows a step": batch_size,
        "ms a step": f"{1e3 * found.seconds:.1f}",
        "rows a second": f"{found.rows:,.0f}",
        "GFLOP a step": f"{found.flops / 1e9:.1f}",
        "share of the matrix product": f"{found.flops / found.seconds / peak:.1%}",
        "peak GiB": f"{found.memory:.2f}",
        "waiting for data": f"{found.waiting:.1%}",
    }


def data_rows(sizes: Sizes, device: torch.device, peak: float) -> Iterator[dict]:
    """The same steps from memory, from pinned memory, and from the card."""
    model = TxFM(counts(sizes.n_rows if sizes is SMALL else sizes.n_rows // 4, sizes.n_genes))
    resident = Resident(model, device)
    sources = {"from memory": loader_of(model, sizes.batch_size)}
    if device.type == "cuda":
        sources["from pinned memory, ahead"] = loader_of(model, sizes.batch_size, pin_memory=True, n_ahead=2)
    sources[f"on the card ({resident.n_bytes / 2**20:.0f} MiB)"] = lambda: resident.batches(sizes.batch_size)
    for name, make in sources.items():
        yield {
            "TxFM's data": name,
            **line(measure(Step(model.parts, device), make, sizes.n_steps), sizes.batch_size, peak),
        }


def preset_rows(sizes: Sizes, device: torch.device, peak: float) -> Iterator[dict]:
    """Steps of the papers' sizes; with small ones, of their shape alone."""
    small = {"width": 16, "n_heads": 2, "n_layers": 2}
    is_small, n_genes = sizes is SMALL, 17_116
    for name, config, batch_size in (("TxFM B", TxFMConfig.B(), 32), ("TxFM L", TxFMConfig.L(), 16)):
        config = replace(config, **small, n_visible=16) if is_small else config
        model = TxFM(counts(64, 200 if is_small else 44_349), config)
        yield preset(name, model, batch_size, device, peak)
    shape = {"token_width": 16, "gene_width": 16, "width": 16, "n_heads": 2, "n_levels": 2, "n_blocks": 1}
    config = replace(MOJOConfig.paper(), **shape) if is_small else MOJOConfig.paper()
    yield preset("MOJO", MOJO(bulk(64, 200 if is_small else n_genes), config), 8, device, peak)


def preset(name: str, model: OmicsModel, batch_size: int, device: torch.device, peak: float) -> dict:
    found = measure(Step(model.parts, device), loader_of(model, batch_size), 2)
    n_weights = sum(weight.numel() for weight in model.module.parameters())
    return {"preset": name, "million weights": f"{n_weights / 1e6:.1f}", **line(found, batch_size, peak)}


def markdown(rows: list[dict]) -> str:
    """A table."""
    if not rows:
        return ""
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([str(row[name]) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def describe(device: torch.device) -> str:
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
    return f"CPU with {torch.get_num_threads()} threads, PyTorch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--out")
    options = parser.parse_args()
    device, sizes = torch.device(options.device), SMALL if options.small else FULL
    if device.type == "cuda" and not torch.cuda.is_available():
        sys.exit("there is no CUDA device here; pass --device cpu --small to see that the script runs")
    start, peak = time.perf_counter(), matrix_product(sizes.matrix, device)
    parts = [f"Device: {describe(device)}; a bfloat16 matrix product of {sizes.matrix:,}²: {peak / 1e12:.2f} TFLOP/s."]
    if "tests" in options.only and device.type == "cuda":
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"], capture_output=True, text=True
        )
        parts.append(f"Tests marked gpu: {done.stdout.strip().splitlines()[-1]}")
    if "families" in options.only:
        found = [family_row(name, make(), n, sizes, device, peak) for name, (make, n) in families(sizes).items()]
        parts.append(markdown(found))
    if "data" in options.only:
        parts.append(markdown(list(data_rows(sizes, device, peak))))
    if "presets" in options.only:
        parts.append(markdown(list(preset_rows(sizes, device, peak))))
    parts.append(f"{time.perf_counter() - start:.0f} s in all.")
    text = "\n\n".join(part for part in parts if part)
    print(text)
    if options.out:
        with open(options.out, "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
