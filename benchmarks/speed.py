"""How many times faster are we? CPU time of training steps, ours beside that of others, in one process.

    OMP_NUM_THREADS=1 python benchmarks/speed.py [--only bert encoder performer txfm] [--repeats 5] [--bf16]

A step is forward, backward and an AdamW step of equal width, depth, heads, feed-forward, real tokens and type, without
dropout. Ours and theirs take turns. Printed are the median over the repeats of the ratio theirs / ours, its range, the
median seconds, and the share of padding that theirs computes.

bert       packed against Hugging Face's BertModel (sdpa, padded), rows of 100 to 2,000 tokens
encoder    packed against nn.TransformerEncoder with a padding mask, as scGPT builds it, same rows
performer  packed, exact, against FAVOR+ (Choromanski et al. 2021), as scBERT uses it: same rows, and 1,000 tokens each
txfm (or 5)  TxFM at 90 % hidden, rebuilding all genes from the row's token, against a BertModel of equal width and depth that
           sees all genes and rebuilds each at its own token, at 4,096 and 8,192 genes; both with the loss of TxFM
"""

import argparse
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from omicsmlm import TxFMConfig
from omicsmlm._types import Batch, Grid, Masked
from omicsmlm.masking import MaskAllBut
from omicsmlm.models.txfm._module import TxFMModule
from omicsmlm.nn import ConcatenatedTokens, PackedTransformer
from omicsmlm.objectives import CountReconstruction

WIDTH, N_LAYERS, N_HEADS, FEED_FORWARD = 256, 4, 4, 1024
LENGTHS = np.linspace(100, 2000, 8).astype(int)
"""Evenly spread lengths: 1,050 tokens on average, 47.5 % padding."""
EQUAL = np.full(8, 1000)
"""The Performer's best case: nothing is padded."""

Step = Callable[[], None]
Encoder = Callable[[Tensor, Tensor], Tensor]


class Contest(NamedTuple):
    """Two steps of equal work, ours and theirs."""

    name: str
    goal: float
    ours: Step
    theirs: Step
    padding: float


def step(model: nn.Module, states: Callable[[], Tensor], target: Tensor, bf16: bool) -> Step:
    """Make a training step that pulls the states of the real tokens towards a target."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            loss = F.mse_loss(states().float(), target)
        loss.backward()
        optimizer.step()

    return run


def contest(name: str, goal: float, lengths_n: np.ndarray, model: nn.Module, states: Encoder, bf16: bool) -> Contest:
    """Set the packed transformer against a padded one that gives (n, l, d) states of (n, l, d) tokens."""
    lengths = torch.from_numpy(lengths_n)
    seen_nl = torch.arange(int(lengths.max())) < lengths[:, None]
    offsets = F.pad(lengths.cumsum(0), (1, 0))
    x_nld = torch.randn(*seen_nl.shape, WIDTH)
    x_td, target_td = x_nld[seen_nl], torch.randn(int(lengths.sum()), WIDTH)
    packed = PackedTransformer(WIDTH, N_LAYERS, N_HEADS, FEED_FORWARD)
    ours = step(packed, lambda: packed(x_td, offsets), target_td, bf16)
    theirs = step(model, lambda: states(x_nld, seen_nl)[seen_nl], target_td, bf16)
    return Contest(name, goal, ours, theirs, 1 - float(seen_nl.float().mean()))


def bert(bf16: bool) -> list[Contest]:
    """Hugging Face's BertModel with scaled_dot_product_attention."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=1,
        hidden_size=WIDTH,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=N_HEADS,
        intermediate_size=FEED_FORWARD,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        max_position_embeddings=int(LENGTHS.max()),
        attn_implementation="sdpa",
    )
    model = BertModel(config, add_pooling_layer=False).train()
    states = lambda x_nld, seen_nl: model(inputs_embeds=x_nld, attention_mask=seen_nl.long()).last_hidden_state
    return [contest("BertModel, sdpa, padded", 2.0, LENGTHS, model, states, bf16)]


def encoder(bf16: bool) -> list[Contest]:
    """nn.TransformerEncoder with a padding mask."""
    layer = nn.TransformerEncoderLayer(WIDTH, N_HEADS, FEED_FORWARD, 0.0, "gelu", batch_first=True)
    model = nn.TransformerEncoder(layer, N_LAYERS, enable_nested_tensor=False).train()
    states = lambda x_nld, seen_nl: model(x_nld, src_key_padding_mask=~seen_nl)
    return [contest("nn.TransformerEncoder, padding mask", 2.0, LENGTHS, model, states, bf16)]


class FavorAttention(nn.Module):
    """Attention by positive orthogonal random features: the softmax kernel, with as many features as scBERT has."""

    projection_md: Tensor

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads, d = n_heads, width // n_heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.register_buffer("projection_md", orthogonal_features(int(d * math.log(d)), d))

    def forward(self, x_nld: Tensor, seen_nl: Tensor) -> Tensor:
        """Give (n, l, d)."""
        heads = self.n_heads, -1
        query_nhld, key_nhld, value_nhld = (
            layer(x_nld).unflatten(2, heads).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        out_nhld = favor(query_nhld, key_nhld, value_nhld, seen_nl, self.projection_md)
        return self.out(out_nhld.transpose(1, 2).flatten(2))


def orthogonal_features(n_features: int, d: int) -> Tensor:
    """Draw Gaussian rows that are orthogonal in blocks of d, with the lengths of Gaussian vectors."""
    n_blocks = -(-n_features // d)
    orthogonal, triangular = torch.linalg.qr(torch.randn(n_blocks, d, d))
    orthogonal = orthogonal * triangular.diagonal(dim1=1, dim2=2).sign()[:, None]  # all rotations are now as likely
    return orthogonal.flatten(0, 1)[:n_features] * torch.randn(n_features, d).norm(dim=1, keepdim=True)


def favor(
    query_nhld: Tensor,
    key_nhld: Tensor,
    value_nhld: Tensor,
    seen_nl: Tensor,
    projection_md: Tensor,
    epsilon: float = 1e-4,
) -> Tensor:
    """Approximate softmax attention: exp(q·k / √d) = E[φ(q)·φ(k)] with φ(x) = exp(ω·x - |x|²/2) / √m."""
    scale = query_nhld.shape[-1] ** -0.25
    seen_nhlm = seen_nl[:, None, :, None]
    query_nhlm = features(query_nhld * scale, projection_md, (3,), epsilon)
    key_nhlm = features(key_nhld * scale, projection_md, (2, 3), epsilon) * seen_nhlm
    weight_nhl = query_nhlm @ key_nhlm.sum(2).unsqueeze(3)
    return query_nhlm @ (key_nhlm.transpose(2, 3) @ value_nhld) / weight_nhl


def features(x_nhld: Tensor, projection_md: Tensor, over: tuple[int, ...], epsilon: float) -> Tensor:
    """Give φ(x) up to a factor that a softmax does not see, kept from over- and underflow."""
    projected_nhlm = x_nhld @ projection_md.T
    half_nhl1 = x_nhld.square().sum(3, keepdim=True) / 2
    return (projected_nhlm - half_nhl1 - projected_nhlm.detach().amax(over, keepdim=True)).exp() + epsilon


class Performer(nn.Module):
    """Pre-norm blocks of :class:`FavorAttention` and a GELU feed-forward."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(N_LAYERS))
        self.attentions = nn.ModuleList(FavorAttention(WIDTH, N_HEADS) for _ in range(N_LAYERS))
        self.feed_forwards = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(WIDTH), nn.Linear(WIDTH, FEED_FORWARD), nn.GELU(), nn.Linear(FEED_FORWARD, WIDTH)
            )
            for _ in range(N_LAYERS)
        )

    def forward(self, x_nld: Tensor, seen_nl: Tensor) -> Tensor:
        """Give (n, l, d)."""
        for norm, attention, feed_forward in zip(self.norms, self.attentions, self.feed_forwards, strict=True):
            x_nld = x_nld + attention(norm(x_nld), seen_nl)
            x_nld = x_nld + feed_forward(x_nld)
        return x_nld


def favor_error() -> float:
    """Compare FAVOR+ of many features with exact attention: norm of the deviation over that of the output."""
    query, key, value = torch.randn(3, 1, 1, 50, 16) / 2
    seen_nl = torch.arange(50)[None] < 40
    exact = F.scaled_dot_product_attention(query, key, value, attn_mask=seen_nl[:, None, None])
    error = favor(query, key, value, seen_nl, orthogonal_features(100_000, 16), 0.0) - exact
    return float(error.norm() / exact.norm())


def performer(bf16: bool) -> list[Contest]:
    """FAVOR+ attention, on rows of different lengths and, its best case, of one length."""
    print(f"FAVOR+ with 100,000 features deviates from exact attention by {favor_error():.1%} (a check of it)")
    contests = []
    for name, lengths_n in (
        ("Performer, 100 to 2,000 tokens, padded", LENGTHS),
        ("Performer, 1,000 tokens each", EQUAL),
    ):
        model = Performer()
        contests.append(contest(name, 1.4, lengths_n, model, model, bf16))
    return contests


class FullLength(nn.Module):
    """All genes as the tokens that TxFM makes, a BertModel over them, and a logit at the token of each gene."""

    def __init__(self, n_genes: int) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        self.tokens = ConcatenatedTokens(n_genes, WIDTH)
        config = BertConfig(
            vocab_size=1,
            hidden_size=WIDTH,
            num_hidden_layers=N_LAYERS,
            num_attention_heads=N_HEADS,
            intermediate_size=FEED_FORWARD,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=n_genes + 1,
            attn_implementation="sdpa",
        )
        self.bert = BertModel(config, add_pooling_layer=False)
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, grid: Grid) -> Tensor:
        """Give (n, g) logits of a grid of which everything is shown; what is hidden is a zero in it."""
        x_td, _ = self.tokens(grid.values, torch.ones_like(grid.visible))
        states_nld = self.bert(inputs_embeds=x_td.unflatten(0, (len(grid.values), -1))).last_hidden_state
        return self.out(states_nld[:, 1:]).squeeze(2)


class Logits(NamedTuple):
    """What the objective of TxFM judges."""

    logits: Tensor
    log_dispersion: Tensor | None = None


def txfm(bf16: bool) -> list[Contest]:
    """A tenth of the genes as tokens, against all of them."""
    contests = []
    for n_genes, goal in ((4096, 18.0), (8192, 30.0)):
        config = TxFMConfig(
            width=WIDTH,
            n_layers=N_LAYERS,
            n_heads=N_HEADS,
            feed_forward=FEED_FORWARD // WIDTH,
            n_decoder_layers=4,
            n_visible=n_genes // 10,
            gene_start="random",
        )
        counts_ng = torch.poisson(torch.rand(2, n_genes) * 2)
        visible_ng = torch.ones(2, n_genes, dtype=torch.bool)
        views = {"rna": Grid(counts_ng.log1p(), visible_ng, counts_ng.sum(1))}
        masked = MaskAllBut(config.n_visible_of)(views, torch.Generator().manual_seed(0))
        batch = Batch({}, {}, {}, torch.zeros(2, 0, dtype=torch.int64), torch.arange(2))
        module, other = TxFMModule("rna", n_genes, config).train(), FullLength(n_genes).train()
        logits = lambda module=module, c=masked, b=batch: module(c.inputs, b).logits
        others = lambda other=other, c=masked: other(c.inputs["rna"])
        ours, theirs = (trained(m, f, masked, batch, bf16) for m, f in ((module, logits), (other, others)))
        contests.append(Contest(f"full-length BertModel, {n_genes:,} genes", goal, ours, theirs, 0.0))
    return contests


def trained(model: nn.Module, logits: Callable[[], Tensor], masked: Masked, batch: Batch, bf16: bool) -> Step:
    """Make a training step that rebuilds the counts of all genes."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    objective = CountReconstruction("rna")

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            outputs = Logits(logits())
        objective(outputs, masked, batch, 0.0)["counts"].backward()
        optimizer.step()

    return run


CONTESTS: dict[str, Callable[[bool], list[Contest]]] = {
    "bert": bert,
    "encoder": encoder,
    "performer": performer,
    "txfm": txfm,
}
NUMBERS = {"2": "bert", "3": "encoder", "4": "performer", "5": "txfm"}
"""The numbers of these ratios in the list of targets."""


def seconds(run: Step) -> float:
    """CPU-seconds of a step."""
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(contest: Contest, repeats: int) -> str:
    """Let the two take turns, after a step each that is not counted; give a line of the table."""
    contest.ours(), contest.theirs()
    times_rs = np.array([(seconds(contest.ours), seconds(contest.theirs)) for _ in range(repeats)])
    ratios = times_rs[:, 1] / times_rs[:, 0]
    ours, theirs = np.median(times_rs, axis=0)
    ratio = np.median(ratios)
    verdict = "reached" if ratio >= contest.goal else "MISSED"
    return (
        f"{contest.name:<38}{ratio:7.2f}x ({ratios.min():.2f}-{ratios.max():.2f})  goal {contest.goal:.1f} {verdict:<8}"
        f"ours {ours:6.2f} s, theirs {theirs:6.2f} s, padding {contest.padding:.1%}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*CONTESTS, *NUMBERS], default=list(CONTESTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16; otherwise float32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"width {WIDTH}, {N_LAYERS} layers, {N_HEADS} heads, feed-forward {FEED_FORWARD}, "
        f"{'bfloat16' if arguments.bf16 else 'float32'}, {torch.get_num_threads()} thread, PyTorch {torch.__version__}"
    )
    for name in arguments.only:
        torch.manual_seed(0)
        for entry in CONTESTS[NUMBERS.get(name, name)](arguments.bf16):
            print(measure(entry, arguments.repeats), flush=True)


if __name__ == "__main__":
    main()
