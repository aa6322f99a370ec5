"""What could be above the start of MOJO's state: linear readouts of the features, and objectives without labels, in plain PyTorch.

    export OMICSMLM_DATA=/path/to/data
    python benchmarks/state_objectives.py [--parts linear objectives] [--sets ccle pam50 rosmap] [--folds 0 1 2 3 4]

The state alone: h, the sum of the visible values times a vector each, at half-whitened components, and h + MLP(h). 150 steps of
128 rows, AdamW 1e-3 in one cycle; 30 to 90 % masked, a modality left out of 30 % of the rows. Scores as in benchmarks/bulk.py,
zero-shot; no test row is trained on. Embeddings of "objectives" are read half whitened.

linear      components half or wholly whitened, more or fewer of them, shrunk as of probabilistic PCA, of ranks, of clipped values,
            each score through tanh, each modality for itself; components that the modalities share (MAXVAR canonical
            correlation); the mean with the 10 nearest training rows
objectives  "start": no training. "values": squared error of all values, as MOJO's. "no modality left out", "always one left out":
            of the values likewise. "full view": cosine with the start's embedding of the unmasked row. "InfoNCE": the row by RNA
            against the rows by methylation. "8 views": the mean of the states of 8 half-masked views. "start | …": both embeddings
"""

import argparse
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from bulk import SETS, Bulk, clustering, loaded
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional as F

N_COMPONENTS, N_STEPS, N_ROWS, N_VIEWS = 64, 150, 128, 8
OBJECTIVES = (
    "start",
    "values",
    "no modality left out",
    "always one left out",
    "full view",
    "InfoNCE",
    "values + InfoNCE",
)


def blocks(of: Bulk, *, ranked: bool = False, largest: float = 10.0) -> list[np.ndarray]:
    """Standardised features of each modality over the root of their number; 0 where a row lacks them."""
    found, trained_n = [], ~of.held_n
    for view in ("RNA", "methylation"):
        x_ng = of.features(view)
        if ranked:
            x_ng = normal_ranks(x_ng, x_ng[trained_n & ~np.isnan(x_ng).all(1)])
        mean_g, deviation_g = np.nanmean(x_ng[trained_n], 0), np.nanstd(x_ng[trained_n], 0)
        z_ng = np.nan_to_num((x_ng - mean_g) / np.where(deviation_g > 1e-8, deviation_g, np.inf))
        found.append(z_ng.clip(-largest, largest) / np.sqrt(x_ng.shape[1]))
    return found


def normal_ranks(x_ng: np.ndarray, reference_ng: np.ndarray) -> np.ndarray:
    found_ng, n = np.full_like(x_ng, np.nan), len(reference_ng)
    for g, known_n in enumerate(np.sort(reference_ng, 0).T):
        below_n, up_to_n = (np.searchsorted(known_n, x_ng[:, g], side) for side in ("left", "right"))
        score_n = norm.ppf(np.clip((below_n + up_to_n) / 2 / n, 0.5 / n, 1 - 0.5 / n))
        found_ng[:, g] = np.where(np.isnan(x_ng[:, g]), np.nan, score_n)
    return found_ng


def unit(z_nd: np.ndarray) -> np.ndarray:
    return z_nd / np.maximum(np.linalg.norm(z_nd, axis=1, keepdims=True), 1e-12)


def pca(x_ng: np.ndarray, trained_n: np.ndarray, k: int = N_COMPONENTS, whitening: float = 0.5) -> np.ndarray:
    mean_g = x_ng[trained_n].mean(0)
    _, singular, vt_kg = np.linalg.svd(x_ng[trained_n] - mean_g, full_matrices=False)
    return (x_ng - mean_g) @ vt_kg[:k].T * (singular[:k] / np.sqrt(trained_n.sum())) ** -whitening


def shrunk(x_ng: np.ndarray, trained_n: np.ndarray) -> np.ndarray:
    """Half-whitened components times the root of the fraction of their variance that is not noise."""
    singular = np.linalg.svd(x_ng[trained_n] - x_ng[trained_n].mean(0), compute_uv=False)
    variance_k, noise = singular[:N_COMPONENTS] ** 2, (singular[N_COMPONENTS:] ** 2).mean()
    return pca(x_ng, trained_n) * np.sqrt(np.maximum(1 - noise / variance_k, 0))


def shared(parts: list[np.ndarray], trained_n: np.ndarray, has_nm: np.ndarray) -> np.ndarray:
    """Scores of MAXVAR generalised canonical correlation with a ridge, from the training rows that have both modalities."""
    both_n, whitened = trained_n & has_nm.all(1), []
    for x_ng in parts:
        mean_g = x_ng[both_n].mean(0)
        _, singular, vt_kg = np.linalg.svd(x_ng[both_n] - mean_g, full_matrices=False)
        k = min(100, len(singular) - 1)
        variance_k = singular[:k] ** 2 / both_n.sum()
        whitened.append((x_ng - mean_g) @ vt_kg[:k].T / np.sqrt(variance_k + 0.1 * variance_k.mean()))
    z_nd = np.hstack(whitened)
    _, singular, vt_kd = np.linalg.svd(z_nd[both_n], full_matrices=False)
    return z_nd @ vt_kd[:N_COMPONENTS].T * (singular[:N_COMPONENTS] / singular[0])


def neighbours_too(z_nd: np.ndarray, trained_n: np.ndarray, k: int = 10) -> np.ndarray:
    z_nd = unit(z_nd)
    similarity_nm, own = z_nd @ z_nd[trained_n].T, np.flatnonzero(trained_n)
    similarity_nm[own, np.arange(len(own))] = -2
    nearest_nk = np.argsort(-similarity_nm, 1)[:, :k]
    return unit(0.5 * z_nd + 0.5 * unit(z_nd[trained_n][nearest_nk].mean(1)))


def linear(of: Bulk) -> dict[str, np.ndarray]:
    trained_n, parts = ~of.held_n, blocks(of)
    x_ng = np.hstack(parts)
    half_nd, common_nd = pca(x_ng, trained_n), shared(parts, trained_n, of.has_nm)
    deviation_d = half_nd[trained_n].std(0)
    return {
        "half whitened, 64": unit(half_nd),
        "half whitened, shrunk": unit(shrunk(x_ng, trained_n)),
        "wholly whitened": unit(pca(x_ng, trained_n, whitening=1.0)),
        "half whitened, 32": unit(pca(x_ng, trained_n, 32)),
        "half whitened, 128": unit(pca(x_ng, trained_n, 128)),
        "of ranks": unit(pca(np.hstack(blocks(of, ranked=True)), trained_n)),
        "of values up to 3": unit(pca(np.hstack(blocks(of, largest=3.0)), trained_n)),
        "through tanh": unit(np.tanh(half_nd / deviation_d / 1.5) * deviation_d),
        "each modality, one length": np.hstack([unit(pca(part, trained_n)) for part in parts]),
        "shared by the modalities": unit(common_nd),
        "half whitened | shared": np.hstack([unit(half_nd), unit(common_nd)]),
        "with 10 neighbours": neighbours_too(half_nd, trained_n),
    }


class Start(NamedTuple):
    """Values, and the weights that the state starts with."""

    scaled: list[Tensor]
    """Per modality, (n, g), as the state reads them."""
    values: list[Tensor]
    """Per modality, (n, g), as they are predicted."""
    has_nm: Tensor
    trained_n: Tensor
    weights: list[Tensor]
    embedding_nd: Tensor
    """Half-whitened components, of length 1."""


def start(of: Bulk) -> Start:
    trained_n, parts = ~of.held_n, blocks(of)
    x_ng = np.hstack(parts)
    _, singular, vt_kg = np.linalg.svd(x_ng[trained_n] - x_ng[trained_n].mean(0), full_matrices=False)
    size_k = singular[:N_COMPONENTS] / np.sqrt(trained_n.sum())
    weight_gk = vt_kg[:N_COMPONENTS].T * size_k**-0.5 * np.sqrt(N_COMPONENTS / size_k.sum())
    n_features = [part.shape[1] for part in parts]
    return Start(
        [torch.from_numpy(part).float() for part in parts],
        [torch.from_numpy(part).float() * n**0.5 for part, n in zip(parts, n_features, strict=True)],
        torch.from_numpy(of.has_nm),
        torch.from_numpy(trained_n),
        [torch.from_numpy(part.copy()).float() for part in np.split(weight_gk, [n_features[0]])],
        torch.from_numpy(unit(pca(x_ng, trained_n))).float(),
    )


class State(nn.Module):
    """h + MLP(h), its predicted values, and its prediction of the start's embedding."""

    def __init__(self, given: Start) -> None:
        super().__init__()
        k, self.given = N_COMPONENTS, given
        self.weights = nn.ParameterList([weight.clone() for weight in given.weights])
        self.mlp = nn.Sequential(nn.LayerNorm(k), nn.Linear(k, 4 * k), nn.GELU(), nn.Linear(4 * k, k))
        self.absent = nn.Parameter(torch.zeros(len(given.weights), k))
        self.decoders = nn.ModuleList([nn.Linear(k, values.shape[1]) for values in given.values])
        self.target = nn.Linear(k, k)
        own_nk = sum(x_ng @ w_gk for x_ng, w_gk in zip(given.scaled, given.weights, strict=True))
        with torch.no_grad():
            self.mlp[-1].weight.mul_(0.1)
            self.mlp[-1].bias.zero_()
            for m, (layer, values) in enumerate(zip(self.decoders, given.values, strict=True)):
                has_n = given.trained_n & given.has_nm[:, m]
                layer.weight.copy_(torch.linalg.lstsq(own_nk[has_n], values[has_n]).solution.T)
                layer.bias.zero_()
            of_n = given.trained_n
            self.target.weight.copy_(torch.linalg.lstsq(own_nk[of_n], given.embedding_nd[of_n]).solution.T)

    def forward(self, visible: list[Tensor], rows_n: Tensor) -> Tensor:
        h_nk = torch.zeros(len(rows_n), N_COMPONENTS)
        for m, visible_ng in enumerate(visible):
            fraction_n1 = visible_ng.float().mean(1, keepdim=True).clamp(1e-3, 1)
            sum_nk = (self.given.scaled[m][rows_n] * visible_ng) @ self.weights[m] / fraction_n1.sqrt()
            h_nk = h_nk + torch.where(visible_ng.any(1, keepdim=True), sum_nk, self.absent[m])
        return h_nk + self.mlp(h_nk)

    def value_error(self, state_nk: Tensor, rows_n: Tensor) -> Tensor:
        error = torch.zeros(())
        for m, decoder in enumerate(self.decoders):
            has_n = self.given.has_nm[rows_n, m]
            error = error + (decoder(state_nk[has_n]) - self.given.values[m][rows_n][has_n]).square().mean()
        return error

    def contrast(self, rows_n: Tensor, generator: torch.Generator) -> Tensor:
        """InfoNCE of the views by one modality each, of which 80 % are visible; a row that was drawn twice is no negative."""
        n, sizes = len(rows_n), [values.shape[1] for values in self.given.values]
        visible = [torch.rand(n, g, generator=generator) > 0.2 for g in sizes]
        none = [torch.zeros(n, g, dtype=torch.bool) for g in sizes]
        views = [[visible[0], none[1]], [none[0], visible[1]]]
        first, second = (F.normalize(self.target(self(view, rows_n)), dim=1) for view in views)
        logits_nn = first @ second.T / 0.2
        twice_nn = (rows_n[:, None] == rows_n) & ~torch.eye(n, dtype=torch.bool)
        logits_nn = logits_nn.masked_fill(twice_nn, -1e9)
        return 0.5 * (F.cross_entropy(logits_nn, torch.arange(n)) + F.cross_entropy(logits_nn.T, torch.arange(n)))


def masked(given: Start, rows_n: Tensor, modality_rate: float, generator: torch.Generator) -> list[Tensor]:
    n, has_nm = len(rows_n), given.has_nm[rows_n]
    rate_n1 = 0.3 + 0.6 * torch.rand(n, 1, generator=generator)
    sizes = [values.shape[1] for values in given.values]
    visible = [has_nm[:, m : m + 1] & (torch.rand(n, g, generator=generator) > rate_n1) for m, g in enumerate(sizes)]
    loses_n, first_n = torch.rand(n, generator=generator) < modality_rate, torch.rand(n, generator=generator) < 0.5
    loses_n &= has_nm.all(1)
    return [visible[0] & ~(loses_n & first_n)[:, None], visible[1] & ~(loses_n & ~first_n)[:, None]]


def trained(given: Start, objective: str, seed: int, generator: torch.Generator) -> State:
    torch.manual_seed(seed)
    model = State(given)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=N_STEPS)
    rows = given.trained_n.nonzero()[:, 0]
    paired = rows[given.has_nm[rows].all(1)]
    modality_rate = {"always one left out": 1.0, "no modality left out": 0.0}.get(objective, 0.3)
    for _ in range(0 if objective == "start" else N_STEPS):
        drawn = rows[torch.randint(len(rows), (N_ROWS,), generator=generator)]
        visible, loss = masked(given, drawn, modality_rate, generator), torch.zeros(())
        if objective == "full view":
            predicted_nd = model.target(model(visible, drawn))
            loss = loss + (1 - F.cosine_similarity(predicted_nd, given.embedding_nd[drawn])).mean()
        elif objective != "InfoNCE":
            loss = loss + model.value_error(model(visible, drawn), drawn)
        if "InfoNCE" in objective:
            pairs = paired[torch.randint(len(paired), (N_ROWS,), generator=generator)]
            loss = loss + (1.0 if objective == "InfoNCE" else 0.3) * model.contrast(pairs, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def read_out(state_nk: np.ndarray, trained_n: np.ndarray) -> np.ndarray:
    """Half whitened, of length 1, as MOJO's."""
    centred_nk = state_nk - state_nk[trained_n].mean(0)
    variance_k, turned_kk = np.linalg.eigh(centred_nk[trained_n].T @ centred_nk[trained_n] / trained_n.sum())
    variance_k = np.where(variance_k > 1e-3 * variance_k[-1], variance_k, variance_k[-1])
    return unit(centred_nk @ turned_kk * variance_k**-0.25)


@torch.no_grad()
def embeddings(given: Start, model: State, objective: str, generator: torch.Generator) -> dict[str, np.ndarray]:
    trained_n, everything = given.trained_n.numpy(), torch.arange(len(given.trained_n))
    full = [given.has_nm[:, m : m + 1].expand(-1, values.shape[1]) for m, values in enumerate(given.values)]
    found = {objective: read_out(model(full, everything).numpy(), trained_n)}
    if objective in ("values", "full view"):
        halves = [[part & (torch.rand(part.shape, generator=generator) > 0.5) for part in full] for _ in range(N_VIEWS)]
        mean_nk = torch.stack([model(view, everything) for view in halves]).mean(0).numpy()
        found[f"{objective}, 8 views"] = read_out(mean_nk, trained_n)
        found[f"start | {objective}"] = np.hstack([given.embedding_nd.numpy(), found[objective]])
    return found


def objectives(of: Bulk, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    given = start(of)
    for objective in OBJECTIVES:
        generator = torch.Generator().manual_seed(seed)
        yield from embeddings(given, trained(given, objective, seed, generator), objective, generator).items()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=["linear", "objectives"], default=["linear", "objectives"])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["ccle", "pam50", "rosmap"])
    parser.add_argument("--folds", nargs="+", type=int, default=[0, 1, 2, 3, 4], help="ROSMAP has one split")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for part in arguments.parts:
        scores = []
        for name in arguments.sets:
            for fold in arguments.folds[: 1 if name == "rosmap" else None]:
                of = loaded(name, fold)
                evaluated_n = of.learned_n("both") | of.test_n
                made = linear(of).items() if part == "linear" else objectives(of, fold)
                for method, z_nd in made:
                    found = clustering(z_nd[evaluated_n], of.label_n[evaluated_n], of.test_n[evaluated_n], fold)
                    scores.append({"method": method, "set": name, "fold": fold, **found})
        table = pd.DataFrame(scores).pivot_table(["k-NN", "ARI"], "method", "set", sort=False)
        print(f"\n== {part}\n{table.round(3).to_string()}", flush=True)


if __name__ == "__main__":
    main()
