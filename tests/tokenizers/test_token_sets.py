"""Rows as tokens, and the choice of a few of them, against a loop over rows."""

import numpy as np
import pytest
import torch
from mudata import MuData

from omicsmlm._types import Batch, Tokens, TokenSet, obs_of
from omicsmlm.tokenizers import FeatureGrids, TokenSets
from tests.objects import manager_of, multiome


@pytest.fixture(scope="module")
def mdata():
    """RNA, ATAC and protein of cells that each lack some."""
    return multiome()


def tokenizer_of(manager, max_tokens=10_000, seed=0):
    sizes = {name: len(state["vocabulary"]) for name, state in manager.modalities.items()}
    profiles = {name: torch.arange(1.0, size + 1) / sum(range(1, size + 1)) for name, size in sizes.items()}
    kinds = {name: state["kind"] for name, state in manager.modalities.items()}
    grids = FeatureGrids(kinds, {name: torch.arange(size) for name, size in sizes.items()}, profiles)
    return TokenSets(profiles, max_tokens, seed, grids)


def batch_of(manager, rows=None):
    return manager.create_torch_dataset()[list(range(manager.adata.n_obs)) if rows is None else list(rows)]


def of_obs(packed: Tokens | TokenSet, i: int) -> dict[int, float]:
    """The features and values of a row."""
    place = slice(int(packed.offsets[i]), int(packed.offsets[i + 1]))
    return dict(zip(packed.ids[place].tolist(), packed.values[place].tolist(), strict=True))


def test_the_tokens_are_the_values_that_are_not_zero(mdata):
    manager = manager_of(mdata)
    rows = np.random.default_rng(0).permutation(mdata.n_obs)[:30]
    sets = tokenizer_of(manager)(batch_of(manager, rows))
    assert list(sets) == ["rna", "atac", "prot"]
    for name, part in mdata.mod.items():
        frame, found = part.to_df(), sets[name]
        assert found.ids.dtype == torch.int64
        assert found.measured.all()
        assert found.fraction.tolist() == [1.0] * 30
        np.testing.assert_allclose(found.covered, 1, rtol=1e-6)
        for i, cell in enumerate(mdata.obs_names[rows]):
            values = frame.loc[cell].to_numpy() if cell in frame.index else np.zeros(part.n_vars)
            assert of_obs(found, i) == {j: values[j] for j in np.flatnonzero(values)}
            assert bool(found.present[i]) == (cell in frame.index)


def by_loop(tokenizer: TokenSets, batch: Batch, i: int) -> dict[str, dict[int, float]]:
    """The first tokens of a row in the order of all features."""
    found = []
    for m, name in enumerate(tokenizer.names):
        for feature, value in of_obs(batch.tokens[name], i).items():
            found.append((int(tokenizer.get_buffer(f"order_{m}")[feature]), name, feature, value))
    kept: dict[str, dict[int, float]] = {name: {} for name in tokenizer.names}
    for _, name, feature, value in sorted(found)[: tokenizer.max_tokens]:
        kept[name][feature] = value
    return kept


@pytest.mark.parametrize("max_tokens", [1, 7, 25])
def test_of_a_longer_row_the_first_in_the_order_are_kept(mdata, max_tokens):
    manager = manager_of(mdata)
    tokenizer, batch = tokenizer_of(manager, max_tokens), batch_of(manager)
    sets = tokenizer(batch)
    lengths = [sum(len(of_obs(tokens, i)) for tokens in batch.tokens.values()) for i in range(mdata.n_obs)]
    assert min(lengths) < 25 < max(lengths), "some rows are longer, some are not"
    for i, length in enumerate(lengths):
        assert {name: of_obs(part, i) for name, part in sets.items()} == by_loop(tokenizer, batch, i)
        for part in sets.values():
            assert float(part.fraction[i]) == pytest.approx(min(1, max_tokens / length))
            assert float(part.covered[i]) == pytest.approx(min(1, max_tokens / length), rel=1e-5)
    for part in sets.values():
        assert part.offsets[-1] == len(part.ids) == len(part.values)
        for i in range(mdata.n_obs):
            assert sorted(of_obs(part, i)) == list(of_obs(part, i)), "in the order in which they were stored"


def test_the_choice_does_not_know_the_other_rows(mdata):
    manager = manager_of(mdata)
    tokenizer = tokenizer_of(manager, 12)
    together = tokenizer(batch_of(manager))
    order = np.random.default_rng(1).permutation(mdata.n_obs)
    shuffled = tokenizer(batch_of(manager, order))
    for place, row in enumerate(order.tolist()):
        alone = tokenizer(batch_of(manager, [row])) if place < 12 else None
        for name, part in together.items():
            assert of_obs(shuffled[name], place) == of_obs(part, row)
            assert shuffled[name].covered[place] == part.covered[row]
            if alone is not None:
                assert of_obs(alone[name], 0) == of_obs(part, row)
                assert alone[name].fraction[0] == part.fraction[row]


def test_the_choice_is_a_random_sample_that_a_seed_has_drawn(mdata):
    manager = manager_of(mdata)
    batch = batch_of(manager)
    first, again, other = (tokenizer_of(manager, 12, seed)(batch) for seed in (0, 0, 1))
    assert all(torch.equal(first[name].ids, again[name].ids) for name in first)
    assert not all(torch.equal(first[name].ids, other[name].ids) for name in first)
    kept = dict.fromkeys(first, 0.0)  # of 8 proteins, at 80 seeds, known to some 6 %
    for seed in range(80):
        for name, part in tokenizer_of(manager, 12, seed)(batch).items():
            kept[name] += len(part.ids) / 80
    whole = tokenizer_of(manager)(batch)
    for name, part in whole.items():
        expected = float(first[name].fraction[obs_of(part)].sum())
        assert kept[name] == pytest.approx(expected, rel=0.18), "each token as likely as another, in every modality"


def test_a_feature_keeps_its_place_when_others_join(mdata):
    manager = manager_of(mdata)
    alone = manager_of(MuData({"rna": mdata["rna"].copy()}))
    one, several = tokenizer_of(alone, 5), tokenizer_of(manager, 5)
    assert torch.equal(one.get_buffer("order_0"), several.get_buffer("order_0"))


def test_what_a_row_sums_to_is_told_by_the_features_that_an_object_has():
    """The rows are multiples of the profile, so that a part of them tells the whole exactly."""
    profile = torch.tensor([0.1, 0.2, 0.3, 0.4])
    values = torch.tensor([[1.0, 2, 3, 4], [10, 20, 30, 40]])
    kept = torch.tensor([False, True, False, True])
    kind, chosen = {"rna": "counts"}, {"rna": torch.arange(4)}
    tokenizer = TokenSets({"rna": profile}, 100, 0, FeatureGrids(kind, chosen, {"rna": profile}))
    ids = torch.tensor([1, 3, 1, 3], dtype=torch.int32)
    tokens = Tokens(ids, values[:, kept].flatten(), torch.tensor([0, 2, 4]))
    present = {"rna": torch.ones(2, dtype=torch.bool)}
    part = tokenizer(
        Batch({"rna": tokens}, present, {"rna": kept}, torch.zeros(2, 0, dtype=torch.int64), torch.arange(2))
    )["rna"]
    total_n = torch.zeros(2).index_add_(0, obs_of(part), part.values) / part.covered
    torch.testing.assert_close(total_n, values.sum(1))
    assert part.measured.tolist() == kept.tolist()


def test_an_object_without_a_modality_has_no_tokens_of_it(mdata):
    manager = manager_of(mdata)
    query = MuData({"atac": mdata["atac"][:, 5:].copy()})
    sets = tokenizer_of(manager, 3)(batch_of(manager.transfer_fields(query)))
    for name in ("rna", "prot"):
        assert len(sets[name].ids) == 0
        assert sets[name].offsets.tolist() == [0] * (query.n_obs + 1)
        assert not sets[name].present.any()
        assert torch.isfinite(sets[name].covered).all()
        assert (sets[name].covered > 0).all(), "what is divided by it stays finite"
    assert sets["atac"].measured.tolist() == [False] * 5 + [True] * 35
    assert int(sets["atac"].offsets.diff().max()) == 3
