"""Small made objects, and what an object holds as something that can be compared."""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm import IsoFormerConfig, MOJOConfig, OmicsMLMConfig, ScMBERTConfig, TxFMConfig
from omicsmlm._draws import Draws
from omicsmlm._types import MASK_BIT, Batch, Grid, Sequences, View
from omicsmlm.data import OmicsManager

_sizes = {"n_latent": 8, "n_nonlinear": 3, "n_linear": 5, "width": 16}
SMALL = OmicsMLMConfig(**{k: v for k, v in _sizes.items() if k in OmicsMLMConfig.__dataclass_fields__})
"""A config of :class:`omicsmlm.OmicsMLM` that trains at once."""
SMALL_SCMBERT = ScMBERTConfig(
    width=16, n_layers=1, n_heads=2, feed_forward=16, n_bins=4, n_nonlinear=3, n_linear=5, learning_rate=3e-3
)
"""A config of :class:`omicsmlm.ScMBERT` that trains at once."""
SMALL_MOJO = MOJOConfig(
    n_bins=16,
    token_width=16,
    gene_width=16,
    width=16,
    row_width=12,
    genes_per_position=2,
    n_levels=1,
    n_blocks=1,
    n_heads=2,
    feed_width=16,
    learning_rate=3e-3,
)
"""A config of :class:`omicsmlm.MOJO` that trains at once."""
SMALL_TXFM = TxFMConfig(
    width=16, n_layers=2, n_heads=2, feed_forward=2, n_visible=12, most_visible=0.5, layer_scale=1.0, learning_rate=1e-2
)
"""A config of :class:`omicsmlm.TxFM` that trains at once."""
SMALL_ISOFORMER = IsoFormerConfig(
    width=16, n_heads=2, n_windows=4, kernel=5, pool=2, n_components=8, n_landmarks=30, learning_rate=1e-2
)
"""A config of :class:`omicsmlm.IsoFormer` that trains at once."""
QUIET = {"progress_bar": False, "batch_size": 24, "accelerator": "cpu"}
"""How the small models are trained."""
N_TYPES, N_BATCHES = 3, 2


def cells(n: int, first: int = 0) -> pd.DataFrame:
    """Names, types and batches of cells; cell i is the same in every modality."""
    number = np.arange(first, first + n)
    columns = {
        "type": pd.Categorical([f"t{i % N_TYPES}" for i in number]),
        "batch": pd.Categorical([f"b{(i // N_TYPES) % N_BATCHES}" for i in number]),
    }
    return pd.DataFrame(columns, index=[f"cell{i:03d}" for i in number])


def modality(kind: str, n: int = 72, g: int = 30, seed: int = 0, first: int = 0) -> AnnData:
    """One modality of some cells, whose types differ; counts as CSR, fractions and real values dense, some NaN."""
    rng = np.random.default_rng([seed, len(kind)])
    obs = cells(n, first)
    profile_kg = rng.normal(0, 1, (N_TYPES, g))
    shift_bg = rng.normal(0, 0.3, (N_BATCHES, g))
    own = np.random.default_rng([seed, len(kind), first])
    log_ng = profile_kg[obs["type"].cat.codes] + shift_bg[obs["batch"].cat.codes]
    log_ng = log_ng + own.normal(0, 0.2, (n, 1))
    if kind == "counts":
        values, names = own.poisson(np.exp(log_ng)), [f"gene{j}" for j in range(g)]
    elif kind == "protein":
        values, names = own.poisson(5 * np.exp(log_ng)), [f"cd{j}" for j in range(g)]
    elif kind == "accessibility":
        values, names = own.poisson(np.exp(log_ng - 1)), [f"chr1:{100 * j}-{100 * j + 50}" for j in range(g)]
    elif kind == "fraction":
        values, names = 1 / (1 + np.exp(-log_ng + own.normal(0, 0.5, (n, g)))), [f"cpg{j}" for j in range(g)]
    else:
        values, names = log_ng + own.normal(0, 0.5, (n, g)), [f"feature{j}" for j in range(g)]
    values = values.astype(np.float32)
    if kind in ("fraction", "real"):
        values[own.random((n, g)) < 0.1] = np.nan
    x = values if kind in ("fraction", "real") else sparse.csr_matrix(values)
    return AnnData(x, obs=obs, var=pd.DataFrame(index=names))


def transcripts(n: int = 72, seed: int = 0) -> AnnData:
    """Sequences of transcripts, some of which lack some, and expression in three tissues that follows from them."""
    rng = np.random.default_rng(seed)
    dna = [written(rng, "ACGT", 30, 90) for _ in range(n)]
    protein = [written(rng, "ACDEFGHIKLMNPQRSTVWY", 10, 40) for _ in range(n)]
    fraction = np.array(
        [
            [d.count("A") / len(d), d.count("C") / len(d), p.count("K") / len(p)]
            for d, p in zip(dna, protein, strict=True)
        ]
    )
    x = (10 * fraction + 0.1 * rng.normal(size=fraction.shape)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    number = np.arange(n)
    obs = cells(n).drop(columns="type")
    obs["gene"] = [f"g{i // 2}" for i in number]
    obs["dna"] = np.where(number % 5 == 0, None, np.array(dna, dtype=object))
    obs["protein"] = np.where(number % 5 == 1, None, np.array(protein, dtype=object))
    return AnnData(x, obs=obs, var=pd.DataFrame(index=["liver", "brain", "heart"]))


def written(rng: np.random.Generator, alphabet: str, least: int, most: int) -> str:
    """A sequence of random letters, with shares of its own."""
    shares = rng.dirichlet(np.full(len(alphabet), 2.0))
    return "".join(rng.choice(list(alphabet), int(rng.integers(least, most)), p=shares))


def rna(n: int = 72, g: int = 30, seed: int = 0, first: int = 0) -> AnnData:
    """Counts of RNA."""
    return modality("counts", n, g, seed, first)


def multiome(n: int = 72, seed: int = 0) -> MuData:
    """RNA, ATAC and protein of cells that each lack some; the rows of each modality in an order of their own."""
    rng = np.random.default_rng(seed)
    parts = {
        "rna": modality("counts", n, 30, seed),
        "atac": modality("accessibility", n, 40, seed),
        "prot": modality("protein", n, 8, seed),
    }
    rows = {"rna": np.arange(n - 12), "atac": np.arange(9, n), "prot": np.arange(0, n - 6)}
    for part in parts.values():
        del part.obs["batch"], part.obs["type"]
    mdata = MuData({name: part[rng.permutation(rows[name])].copy() for name, part in parts.items()})
    mdata.obs[["type", "batch"]] = cells(n).loc[mdata.obs_names]
    return mdata


def bulk(n: int = 72, g: int = 30, seed: int = 0) -> MuData:
    """RNA as z-scores and methylation as fractions, as CSR with NaN stored; genes and rows partly the same."""
    rng = np.random.default_rng(seed)
    parts = {"rna": modality("real", n, g, seed), "methylation": modality("fraction", n, g, seed)}
    rows = {"rna": np.arange(n - 12), "methylation": np.arange(9, n)}
    kept = {"rna": np.arange(g), "methylation": rng.permutation(g)[: g - 4]}
    for name, part in parts.items():
        part.var_names = [f"gene{j}" for j in range(g)]
        part.X = sparse.csr_matrix(part.X)
        del part.obs["batch"], part.obs["type"]
        parts[name] = part[rng.permutation(rows[name]), kept[name]].copy()
    mdata = MuData(parts)
    mdata.obs[["type", "batch"]] = cells(n).loc[mdata.obs_names]
    return mdata


def factor_profiles(n: int = 300, g: int = 96) -> tuple[AnnData, np.ndarray]:
    """Real values of ``g`` genes that follow three factors, and the (n, 3) factors."""
    rng = np.random.default_rng(0)
    factors_nk = rng.normal(size=(n, 3))
    x = factors_nk @ rng.normal(size=(3, g)) + 0.3 * rng.normal(size=(n, g))
    return AnnData(x.astype(np.float32), var=pd.DataFrame(index=[f"g{j}" for j in range(g)])), factors_nk


def manager_of(data: AnnData | MuData, covariate_keys: Sequence[str | None] = (), **setup: object) -> OmicsManager:
    """A manager with the object registered; the modality of an AnnData is called ``rna``."""
    names = list(data.mod) if isinstance(data, MuData) else ["rna"]
    setup = {"modalities": names, "layers": None, "kinds": None, "covariate_keys": list(covariate_keys), **setup}
    manager = OmicsManager.define(setup, "Model", "setup")
    manager.register_fields(data)
    return manager


def letters_of(*sequences: str, of_obs: Sequence[int] | None = None) -> Sequences:
    """Packed sequences, "?" a masked A; of as many rows, unless it is said which row has which."""
    packed = torch.tensor(
        list("".join(sequences).encode().replace(b"?", bytes([ord("A") | MASK_BIT]))), dtype=torch.uint8
    )
    offsets = torch.tensor([0, *map(len, sequences)]).cumsum(0)
    digests = [hashlib.blake2b(s.encode(), digest_size=16).digest() for s in sequences]
    digest_u2 = np.frombuffer(b"".join(digests), np.int64).reshape(-1, 2).copy()
    rows = range(len(sequences)) if of_obs is None else of_obs
    return Sequences(packed, offsets, torch.tensor(list(rows), dtype=torch.int64), torch.from_numpy(digest_u2))


def state_of(data: AnnData | MuData, *, without_registry: bool = True) -> dict[str, object]:
    """All that an object holds, by place, so that two states can be compared with ``==``.

    The identifiers that scvi-tools keeps in ``.uns`` are left out if the object may have been registered meanwhile.
    """
    places = dict(_places("", data))
    if without_registry:
        places = {place: held for place, held in places.items() if "_scvi_" not in place}
    return places


def _places(prefix: str, data: AnnData | MuData) -> Iterator[tuple[str, object]]:
    if isinstance(data, MuData):
        yield f"{prefix}order of modalities", list(data.mod)
        for name, part in data.mod.items():
            yield from _places(f"{prefix}{name}/", part)
        yield from ((f"{prefix}obsmap/{key}", _held(value)) for key, value in data.obsmap.items())
        yield from ((f"{prefix}varmap/{key}", _held(value)) for key, value in data.varmap.items())
    else:
        yield f"{prefix}X", _held(data.X)
        yield from ((f"{prefix}layers/{key}", _held(value)) for key, value in data.layers.items())
    for name in ("obs", "var"):
        yield f"{prefix}{name}", _held(getattr(data, name))
    for name in ("uns", "obsm", "varm", "obsp"):
        yield from ((f"{prefix}{name}/{key}", _held(value)) for key, value in getattr(data, name).items())


def _held(value: object) -> object:
    if isinstance(value, pd.DataFrame):
        return value.to_csv(), [str(kind) for kind in value.dtypes]
    if sparse.issparse(value):
        return type(value).__name__, *(_held(part) for part in (value.data, value.indices, value.indptr))
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return repr(value)


def draws_for(views: dict[str, View], seed: int = 0) -> Draws:
    """Random numbers for the observations of some views, known by their places."""
    view = next(iter(views.values()))
    n = (
        len(view.of_obs)
        if isinstance(view, Sequences)
        else len(view.visible if isinstance(view, Grid) else view.present)
    )
    return Draws(seed, torch.arange(n))


NO_BATCH = Batch({}, {}, {}, torch.zeros(0, 0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
"""For objectives that only ask a batch how many ranks share it."""


def linked_halves(n: int = 150, seed: int = 0) -> tuple[MuData, pd.DataFrame]:
    """RNA of some cells and ATAC of others, of three types, and links: four peaks a gene, accessible where it is expressed."""
    rng = np.random.default_rng(seed)
    log_kg = rng.normal(0, 1, (3, 24))
    obs = cells(2 * n)
    type_n = obs["type"].cat.codes.to_numpy()
    rna_ng = rng.poisson(np.exp(log_kg[type_n[:n]]))
    rate_np = np.exp(np.repeat(log_kg[type_n[n:]], 4, axis=1) - 1.5)
    atac_np = rng.random(rate_np.shape) < 1 - np.exp(-rate_np)
    names = {"rna": [f"g{j}" for j in range(24)], "atac": [f"chr1:{100 * j}-{100 * j + 50}" for j in range(96)]}
    parts = {
        name: AnnData(sparse.csr_matrix(x.astype(np.float32)), obs.iloc[at], pd.DataFrame(index=names[name]))
        for name, x, at in (("rna", rna_ng, slice(0, n)), ("atac", atac_np, slice(n, 2 * n)))
    }
    for part in parts.values():
        del part.obs["type"], part.obs["batch"]
    mdata = MuData(parts)
    mdata.obs[["type", "batch"]] = obs.loc[mdata.obs_names]
    return mdata, pd.DataFrame({"gene": np.repeat(names["rna"], 4), "peak": names["atac"]})
