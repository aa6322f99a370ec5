"""The paper's setting of IsoFormer, counted: parameters, positions, and the memory of a training step.

    python benchmarks/isoformer_paper.py [--rna 50M 250M 500M] [--batch 1] [--float-bytes 4]

Nothing is computed: networks of the published sizes are made without storage (PyTorch's "meta" device), a forward pass tells the
shapes of all that it keeps for the backward pass, and that is summed: each storage once, parameters left out, attention as the
matrix that a device without a fused kernel would keep. Weights, gradients and the two moments of AdamW are 4 numbers a parameter.
The Nucleotide Transformer (version 2) is stood in for by an ESM of its layers, width and number of parameters: its own code comes
with its weights, and which size the paper took is not known here.
"""

import argparse
from collections.abc import Callable

import pandas as pd
import torch
from enformer_pytorch import Enformer
from enformer_pytorch.config_enformer import EnformerConfig
from torch import Tensor, nn
from transformers import EsmConfig, EsmModel

from omicsmlm import IsoFormerConfig
from omicsmlm.nn import Fusion, PackedStates

N_TARGETS = 30
NUCLEOTIDE_SIZES = {"50M": (12, 512, 16, 2048), "250M": (24, 768, 16, 3072), "500M": (29, 1024, 16, 4096)}
"""Layers, width, heads and width of the gated feed-forward layer of the Nucleotide Transformer, version 2."""
WORDS = 4107
"""Tokens of its vocabulary."""


def esm(n_layers: int, width: int, n_heads: int, feed_forward: int, n_tokens: int) -> nn.Module:
    sizes = {"hidden_size": width, "num_hidden_layers": n_layers, "num_attention_heads": n_heads}
    config = EsmConfig(
        vocab_size=n_tokens,
        intermediate_size=feed_forward,
        position_embedding_type="rotary",
        pad_token_id=1,
        mask_token_id=2,
        attn_implementation="eager",
        **sizes,
    )
    return EsmModel(config, add_pooling_layer=False)


class Kept:
    """Sums the storages that a forward pass keeps for the backward pass."""

    def __init__(self, network: nn.Module) -> None:
        self.of_weights = {weight.untyped_storage()._cdata for weight in network.parameters()}
        self.sizes: dict[int, int] = {}
        self.alive: list[Tensor] = []  # else a storage's address might be that of a later one

    def pack(self, kept: Tensor) -> Tensor:
        place = kept.untyped_storage()._cdata
        if place not in self.of_weights and place not in self.sizes:
            self.sizes[place] = kept.untyped_storage().nbytes()
            self.alive.append(kept)
        return kept


def measured(network: nn.Module, run: Callable[[nn.Module], Tensor]) -> tuple[int, int, Tensor]:
    """Parameters, bytes that are kept for the backward pass, and the states."""
    kept = Kept(network)
    with torch.autograd.graph.saved_tensors_hooks(kept.pack, lambda tensor: tensor):
        states = run(network)
    return sum(weight.numel() for weight in network.parameters()), sum(kept.sizes.values()), states


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rna", nargs="+", default=list(NUCLEOTIDE_SIZES), choices=list(NUCLEOTIDE_SIZES))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--float-bytes", type=int, default=4, help="4 for float32, 2 for what a mixed precision keeps")
    arguments = parser.parse_args()
    config = IsoFormerConfig.paper("enformer", "nucleotide_transformer", "esm2")
    n = arguments.batch
    lengths = {name: config.encoder(name).truncation(name).length for name in config.encoders}
    rows = []
    with torch.device("meta"):
        enformer_config = EnformerConfig()
        makers = {"dna: Enformer": lambda: Enformer(enformer_config)}
        makers |= {
            f"rna: Nucleotide Transformer {size}": lambda sizes=NUCLEOTIDE_SIZES[size]: esm(
                *sizes[:3], sizes[3] * 3 // 2, WORDS
            )
            for size in arguments.rna
        }
        makers["protein: ESM-2 150M"] = lambda: esm(30, 640, 20, 2560, 33)
        tokens = {"dna": lengths["dna"], "rna": lengths["rna"] // 6 + 1, "protein": lengths["protein"] + 2}
        positions = {}
        for name, make in makers.items():
            modality, network = name.split(":")[0], make().train()
            ids = torch.zeros(n, tokens[modality], dtype=torch.int64)
            if modality == "dna":
                found = measured(
                    network, lambda net: net(torch.zeros(n, lengths["dna"], 4), return_only_embeddings=True)
                )
            else:
                found = measured(
                    network, lambda net, ids=ids: net(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
                )
            n_special = {"dna": 0, "rna": 1, "protein": 2}[modality]
            positions[modality] = found[2].shape[1] - n_special
            rows.append([name, tokens[modality], positions[modality], found[2].shape[2], *found[:2]])
        fusion = Fusion(list(config.encoders), config.fusion, config.width, config.n_heads)
        widths = {row[0].split(":")[0]: row[3] for row in rows}
        n_head = sum(w * config.width + config.width for w in widths.values())
        n_head += 2 * fusion.n_fused + fusion.n_fused * N_TARGETS + N_TARGETS
    with torch.device("cpu"):  # offsets are values that it needs; states are small beside those of the encoders
        cross = Fusion(list(config.encoders), config.fusion, config.width, config.n_heads)
        streams = {
            name: PackedStates(torch.zeros(n * p, config.width, requires_grad=True), torch.arange(n + 1) * p, [p] * n)
            for name, p in positions.items()
        }
        n_fusion, kept_fusion, _ = measured(cross, lambda net: net(streams))
    rows.append(
        ["fusion, projections, head", None, sum(positions.values()), config.width, n_fusion + n_head, kept_fusion]
    )
    columns = ["part", "tokens", "positions", "width", "parameters", "kept"]
    table = pd.DataFrame(rows, columns=columns)
    table["weights, gradients, AdamW (GiB)"] = (table["parameters"] * 16 / 2**30).round(2)
    table["kept for backward (GiB)"] = (table["kept"] * arguments.float_bytes / 4 / 2**30).round(2)
    table["parameters"] = table["parameters"].map("{:,}".format)
    print(table.drop(columns="kept").to_string(index=False))
    for size in arguments.rna:
        used = ~table["part"].str.startswith("rna") | table["part"].str.endswith(f" {size}")
        sums = table.loc[used, ["weights, gradients, AdamW (GiB)", "kept for backward (GiB)"]].sum()
        n_all = sum(int(text.replace(",", "")) for text in table.loc[used, "parameters"])
        print(f"with {size} for RNA: {n_all:,} parameters, {sums.sum():.1f} GiB for a step of {n} observation(s)")


if __name__ == "__main__":
    main()
