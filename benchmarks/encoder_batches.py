"""Frozen published encoders: sequences in batches of like length, beside one at a time.

    python benchmarks/encoder_batches.py [--sizes tiny small 8M] [--kinds esm bert t5] [--n 128] [--repeats 3] [--device cpu]
                                         [--most-tokens N ...]

The encoders are the real classes of their library with random weights, saved and loaded by path: what they say is nonsense, what
they cost is not. Sequences have 30 to 400 residues, log-uniform. The two ways take turns on the same sequences; CPU time of one
process and one thread, on a GPU the time by the clock. Padding is the fraction of tokens that went through the network and
belong to none. "One at a time" is batches of one token at most, that is, of one sequence.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    EsmConfig,
    EsmModel,
    EsmTokenizer,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
)

from omicsmlm._types import Sequences
from omicsmlm.nn import PretrainedEncoder, Reading, Source
from omicsmlm.nn import _pretrained_encoder as module
from omicsmlm.nn._pretrained_encoder import MOST_TOKENS, MOST_VALUES

LETTERS = "LAGVSERTIDPKQNFYMHWC"
SIZES = {"tiny": (2, 32, 2), "small": (4, 64, 4), "8M": (6, 320, 20)}
"""Layers, width and heads; the last is that of esm2_t6_8M."""


def esm(folder: Path, n_layers: int, width: int, n_heads: int) -> Reading:
    tokens = ["<cls>", "<pad>", "<eos>", "<unk>", *LETTERS, *"XBUZO.-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(tokens))
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    sizes = {"hidden_size": width, "num_hidden_layers": n_layers, "num_attention_heads": n_heads}
    ids = {"vocab_size": len(tokens), "pad_token_id": 1, "mask_token_id": len(tokens) - 1}
    config = EsmConfig(
        position_embedding_type="rotary", intermediate_size=4 * width, token_dropout=True, **ids, **sizes
    )
    EsmModel(config).save_pretrained(folder)
    return Reading("protein")


def bert(folder: Path, n_layers: int, width: int, n_heads: int) -> Reading:
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, "X"]))
    BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    sizes = {"hidden_size": width, "num_hidden_layers": n_layers, "num_attention_heads": n_heads}
    BertModel(BertConfig(vocab_size=26, intermediate_size=4 * width, **sizes)).save_pretrained(folder)
    return Reading("protein", spaced=True)


def t5(folder: Path, n_layers: int, width: int, n_heads: int) -> Reading:
    pieces = ["<pad>", "</s>", "<unk>", *(f"▁{letter}" for letter in LETTERS + "X")]
    made = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=made, **special).save_pretrained(folder)
    sizes = {
        "d_model": width,
        "d_kv": width // n_heads,
        "d_ff": 4 * width,
        "num_layers": n_layers,
        "num_heads": n_heads,
    }
    T5EncoderModel(T5Config(vocab_size=len(pieces), **sizes)).save_pretrained(folder)
    return Reading("protein", spaced=True)


def proteins(n: int, device: str) -> Sequences:
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.uniform(np.log(30), np.log(400), n)).astype(int)
    residues = torch.from_numpy(rng.choice(np.frombuffer(LETTERS.encode(), np.uint8), lengths.sum()))
    offsets = torch.from_numpy(np.append(0, lengths.cumsum()))
    digests = torch.stack([torch.arange(n), torch.arange(n)], 1)
    return Sequences(*(part.to(device) for part in (residues, offsets, torch.arange(n), digests)))


def timed(encoder: PretrainedEncoder, sequences: Sequences, most_tokens: int) -> float:
    """Seconds of one pass in batches of so many tokens."""
    on_gpu = sequences.residues.is_cuda
    encoder.most_tokens = {"cpu": most_tokens, "cuda": most_tokens}
    kept, module.MOST_VALUES = module.MOST_VALUES, most_tokens * encoder.width
    clock = time.perf_counter if on_gpu else time.process_time
    start = clock()
    with torch.no_grad():
        encoder(sequences)
    if on_gpu:
        torch.cuda.synchronize()
    module.MOST_VALUES = kept
    return clock() - start


def padding(encoder: PretrainedEncoder, sequences: Sequences) -> float:
    """Fraction of the tokens that go through the network and belong to no sequence."""
    sizes: list[tuple[int, int]] = []
    forward = encoder.network.forward

    def counted(*args: Any, **given: Any) -> Any:
        mask = given["attention_mask"]
        sizes.append((mask.numel(), int(mask.sum())))
        return forward(*args, **given)

    encoder.network.forward = counted
    with torch.no_grad():
        encoder(sequences)
    encoder.network.forward = forward
    computed, own = np.array(sizes).sum(0)
    return float(1 - own / computed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--kinds", nargs="+", default=["esm", "bert", "t5"], choices=["esm", "bert", "t5"])
    parser.add_argument("--n", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--most-tokens", type=int, nargs="+", default=None, help="None for what the package takes")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    makers = {"esm": esm, "bert": bert, "t5": t5}
    sequences = proteins(arguments.n, arguments.device)
    for size in arguments.sizes:
        for kind in arguments.kinds:
            with tempfile.TemporaryDirectory() as name:
                reading = makers[kind](Path(name), *SIZES[size])
                encoder = PretrainedEncoder(Source("transformers", name), reading, 32).eval().to(arguments.device)
            on_gpu = arguments.device.startswith("cuda")
            default = MOST_TOKENS["cuda"] if on_gpu else min(MOST_TOKENS["cpu"], MOST_VALUES // encoder.width)
            budgets = arguments.most_tokens or [default]
            fraction = padding(encoder, sequences)
            spent: dict[int, list[float]] = {most: [] for most in (1, *budgets)}
            for _ in range(arguments.repeats + 1):
                for most, seconds in spent.items():
                    seconds.append(timed(encoder, sequences, most))
            for most in budgets:
                ratios = np.array(spent[1][1:]) / np.array(spent[most][1:])
                print(
                    f"{kind} {size}: {arguments.n / np.median(spent[1][1:]):.1f} sequences a second one at a time, "
                    f"{arguments.n / np.median(spent[most][1:]):.1f} in batches of at most {most} tokens, padding {fraction:.3f}: "
                    f"{np.median(ratios):.2f} times as many ({ratios.min():.2f} to {ratios.max():.2f})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
