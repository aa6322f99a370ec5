"""Frozen encoders: samples a second of a training step with states from disk, beside one that runs the encoder.

    python benchmarks/isoformer_cache.py [--repeats 3] [--rows 32] [--length 300]

The encoder is the real class of ESM-2 in the size of esm2_t6_8M (6 layers, width 320) with random weights, saved and loaded by
path: what it says is nonsense, what it costs is not. A step is forward, loss, backward and AdamW of fusion and head, for the same
rows in turn with and without the store; CPU time in one process, one thread.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from transformers import EsmConfig, EsmModel, EsmTokenizer

from omicsmlm import IsoFormer, IsoFormerConfig, SequenceEncoder
from omicsmlm.nn import PretrainedEncoder, Reading, Source

LETTERS = "LAGVSERTIDPKQNFYMHWC"


def esm(folder: Path) -> None:
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *LETTERS, *"XBUZO.-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": 320, "num_hidden_layers": 6, "num_attention_heads": 20, "intermediate_size": 1280}
    ids = {"vocab_size": len(tokens), "pad_token_id": 1, "mask_token_id": len(tokens) - 1}
    EsmModel(EsmConfig(position_embedding_type="rotary", **ids, **sizes)).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--repeats", 3), ("--rows", 32), ("--length", 300)):
        parser.add_argument(name, type=int, default=default)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    proteins = ["".join(rng.choice(list(LETTERS), arguments.length)) for _ in range(arguments.rows)]
    obs = pd.DataFrame({"protein": proteins}, index=[f"t{i}" for i in range(arguments.rows)])
    adata = AnnData(rng.random((arguments.rows, 30)).astype("float32"), obs=obs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        esm(folder)
        encoders = {"protein": SequenceEncoder("transformers", str(folder))}
        config = IsoFormerConfig(encoders=encoders, kernel_expert=False, cache_dir=str(folder / "cache"))
        model = IsoFormer(adata, config)
        batch = model.adata_manager.create_torch_dataset()[list(range(arguments.rows))]
        views, module = model.parts.tokenizer(batch), model.module.train()
        optimiser = torch.optim.AdamW(module.parameters())
        stored = module.frozen["protein"]
        loaded = PretrainedEncoder(Source("transformers", str(folder)), Reading("protein"), config.n_windows).eval()

        def step() -> float:
            start = time.process_time()
            optimiser.zero_grad()
            masked = model.parts.masking(views, torch.Generator().manual_seed(0))
            terms = model.parts.objective(module(masked.inputs, batch), masked, batch, 1.0)
            sum(terms.values()).backward()
            optimiser.step()
            return time.process_time() - start

        start = time.process_time()
        stored(views["protein"])
        filling = time.process_time() - start
        times: dict[str, list[float]] = {"from disk": [], "through the encoder": []}
        for repeat in range(arguments.repeats + 1):
            for how, encode in (("from disk", stored), ("through the encoder", torch.no_grad()(loaded))):
                module.frozen["protein"] = encode
                spent = step()
                if repeat:
                    times[how].append(spent)
        table = pd.DataFrame({how: arguments.rows / np.array(spent) for how, spent in times.items()})
        print(f"filling the store: {arguments.rows / filling:.1f} sequences a CPU-second")
        print(table.round(1).to_string(index=False))
        ratio = table["from disk"].median() / table["through the encoder"].median()
        print(f"samples a CPU-second, ratio of medians: {ratio:.1f} (goal: at least 20)")


if __name__ == "__main__":
    main()
