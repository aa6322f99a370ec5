"""ScMBERT: how well masked tokens are predicted, attention, queries, and wrong input."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from omicsmlm import Classifier, ClassifierConfig, ScMBERT
from omicsmlm._draws import Draws
from omicsmlm._types import Batch, obs_of
from omicsmlm.nn import LatentTransformer, PackedTransformer
from omicsmlm.training import sensible_epochs
from tests.objects import QUIET, SMALL_SCMBERT, cells, modality, multiome, rna, state_of
from tests.test_bad_input import refused


@pytest.fixture(scope="module")
def model():
    """A model of RNA, ATAC and protein; tests must not change it."""
    model = ScMBERT(multiome(96), SMALL_SCMBERT, batch_key="batch")
    model.train(3, **QUIET)
    return model


@pytest.fixture(scope="module")
def reference():
    """A model of the RNA of two batches, most of whose rows have more tokens than it looks at; tests must not change it."""
    model = ScMBERT(rna(120), replace(SMALL_SCMBERT, max_tokens=12, n_bins=3), batch_key="batch")
    model.train(4, **QUIET)
    return model


def weights(model: ScMBERT) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


# ---- wrong input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["real", "fraction"])
def test_values_that_are_no_counts_are_refused(kind):
    mdata = MuData({"rna": rna(), "other": modality(kind)})
    match = (
        rf"^other: expected counts \('accessibility', 'counts', 'protein'\), got values of kind '{kind}'; leave it out"
    )
    with pytest.raises(ValueError, match=match):
        ScMBERT(mdata, SMALL_SCMBERT)


def test_heads_that_do_not_divide_the_width():
    with pytest.raises(ValueError, match=r"^width: expected a multiple of n_heads=3, got 16; "):
        ScMBERT(rna(), replace(SMALL_SCMBERT, n_heads=3))


def test_questions_about_a_modality_that_is_not_there(model):
    with refused(r"modality: expected .*'rna', 'atac', 'prot'.*, got 'gex'; ", model.adata):
        model.get_feature_embedding("gex")
    with refused(r"modality: expected ", model.adata):
        model.get_feature_embedding()


# ---- masked tokens ----------------------------------------------------------------------------------------


def auroc(is_right: list[bool], score: list[float]) -> float:
    """Share of pairs that are in order, ties half."""
    pairs = [
        (a, b) for a, x in zip(score, is_right, strict=True) if x for b, y in zip(score, is_right, strict=True) if not y
    ]
    return sum((a > b) + 0.5 * (a == b) for a, b in pairs) / len(pairs)


@torch.no_grad()
def by_loop(model: ScMBERT) -> pd.DataFrame:
    """The table, token by token."""
    batch = model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]
    masked = model.parts.masking(model.parts.tokenizer(batch), Draws(model.config.seed, batch.indices))
    outputs = model.module.eval()(masked.inputs, batch)
    rows, asked, cells_asked = {}, [], []
    seen = {name: [0] * model.adata.n_obs for name in masked.inputs}
    for name, part in masked.inputs.items():
        for i, feature, value in zip(obs_of(part).tolist(), part.ids.tolist(), part.values.tolist(), strict=True):
            seen[name][i] += feature >= 0 and not math.isnan(value)
    for m, (name, part) in enumerate(masked.inputs.items()):
        truth, obs_t, bins = masked.evaluated[name], obs_of(part), model.module.bins
        shown = bins(name, part, obs_t)
        popular = {}
        for feature in masked.targets[name].ids.tolist():
            popular[feature] = popular.get(feature, 0) + 1
        right, answers, is_open, score, popularity, s = [], [], [], [], [], 0
        for t in range(len(part.ids)):
            if truth.identity_masked[t]:
                asked.append((m, int(outputs.modality_logits[name][t].argmax()), int(shown[t])))
                cells_asked.append((m, int(obs_t[t])))
            if not part.values[t].isnan() or part.ids[t] < 0:
                continue
            answer = int(bins.digitize(name, truth.values[t : t + 1], truth.total[obs_t[t : t + 1]]))
            logits = outputs.value_logits[name][s].double()
            s += 1
            answers.append(answer)
            right.append(int(logits.argmax()) == answer)
            is_open.append(answer > 0)
            score.append(float(logits[1:].exp().sum() / logits[0].exp()))
            popularity.append(popular.get(int(part.ids[t]), 0))
        rows[f"values: {name}"] = {
            "n": s,
            "accuracy": sum(right) / s,
            "majority": max(map(answers.count, answers)) / s,
            "AUROC": auroc(is_open, score) if name == "atac" else math.nan,
            "AUROC of popularity": auroc(is_open, popularity) if name == "atac" else math.nan,
        }
    truths = [m for m, _, _ in asked]
    by_bin = {b: [m for m, _, other in asked if other == b] for _, _, b in asked}
    rows["modality"] = {
        "n": len(asked),
        "accuracy": sum(m == guess for m, guess, _ in asked) / len(asked),
        "majority": max(map(truths.count, truths)) / len(asked),
        "by bin": sum(max(map(found.count, found)) for found in by_bin.values()) / len(asked),
        "by cell": sum(m == np.argmax([of[i] for of in seen.values()]) for m, i in cells_asked) / len(asked),
    }
    return pd.DataFrame(rows.values(), index=pd.Index(rows, name="hidden"))


def test_tokens_are_evaluated_as_by_a_loop_over_them(model):
    before = state_of(model.adata)
    found = model.evaluate_tokens()
    expected = by_loop(model)
    assert list(found.index) == ["values: rna", "values: atac", "values: prot", "modality"]
    pd.testing.assert_frame_equal(found, expected[found.columns], check_dtype=False, rtol=1e-5)
    assert (found["n"] > 20).all()
    pd.testing.assert_frame_equal(model.evaluate_tokens(), found)
    assert state_of(model.adata) == before


def test_some_cells_or_another_object_are_evaluated(model):
    rows = model.evaluate_tokens(indices=np.arange(30), batch_size=8)
    assert (rows["n"] < model.evaluate_tokens()["n"]).all()
    query = MuData({"atac": modality("accessibility", 40, 40, first=200)})
    assert list(model.evaluate_tokens(query).index) == ["values: atac", "modality"]


def telling(n: int = 72) -> MuData:
    """RNA of many counts in a few genes, so that most of its value bins are none that an open region has."""
    obs, rng = cells(n), np.random.default_rng(0)
    genes = rng.poisson(np.exp(rng.normal(1, 1, (n, 30))))
    regions = (rng.random((n, 30)) < 0.4).astype(np.float32)
    parts = {"rna": genes, "atac": regions}
    return MuData(
        {
            name: AnnData(
                sparse.csr_matrix(x.astype(np.float32)),
                obs=obs,
                var=pd.DataFrame(
                    index=[f"gene{j}" if name == "rna" else f"chr1:{100 * j}-{100 * j + 50}" for j in range(30)]
                ),
            )
            for name, x in parts.items()
        }
    )


@pytest.fixture(scope="module")
def evaluated():
    """Tables of models to which feature and value of the tokens with masked modality are visible, the value alone, and neither."""
    tables = {}
    for visible in ("feature and value", "value", "nothing"):
        asks = {"identity_rate": 0.4, "modality_weight": 30.0, "cell_weight": 0.0, "layer_scale": 1.0}
        shown = {"identity_visible": "feature" in visible, "identity_value_visible": "value" in visible}
        model = ScMBERT(telling(), replace(SMALL_SCMBERT, learning_rate=1e-2, **asks, **shown))
        model.train(12, train_size=1.0, **QUIET)
        tables[visible] = model.evaluate_tokens(telling())
    return tables


def test_a_modality_whose_features_are_visible_is_known(evaluated):
    assert evaluated["feature and value"].loc["modality", "accuracy"] > 0.99


def test_a_masked_modality_is_predicted_from_its_value_and_not_wholly(evaluated):
    found = evaluated["value"].loc["modality"]
    assert found["majority"] + 0.1 < found["accuracy"] < 0.99
    assert found["accuracy"] > found["by bin"] - 0.03


def test_of_a_token_of_which_nothing_is_visible_the_cell_alone_tells_the_modality(evaluated):
    """Such tokens of a cell are alike, and all get the same answer."""
    found = evaluated["nothing"].loc["modality"]
    assert found["by bin"] == found["majority"]
    assert found["accuracy"] == pytest.approx(found["by cell"], abs=0.06)
    assert found["accuracy"] < evaluated["value"].loc["modality", "accuracy"] - 0.05


def test_open_regions_are_distinguished_from_closed_ones():
    """Two kinds of cells that share no region: what is open in a cell is told by what else is."""
    rng, n = np.random.default_rng(0), 96
    kind_n = np.arange(n) % 2
    open_ng = (rng.random((n, 40)) < 0.5) & (np.arange(40) % 2 == kind_n[:, None])
    names = pd.DataFrame(index=[f"chr1:{100 * j}-{100 * j + 50}" for j in range(40)])
    adata = AnnData(sparse.csr_matrix(open_ng.astype(np.float32)), obs=cells(n), var=names)
    ScMBERT.setup_anndata(adata, kind="accessibility")
    easy = {"cell_weight": 0.0, "drop_rates": (0.0, 0.2), "value_rate": 0.3, "layer_scale": 1.0, "learning_rate": 2e-2}
    model = ScMBERT(adata, replace(SMALL_SCMBERT, **easy))
    model.train(20, train_size=0.7, early_stopping=False, **QUIET)
    found = model.evaluate_tokens(indices=model.validation_indices).iloc[0]
    assert found["AUROC"] > 0.8
    assert found["AUROC of popularity"] < 0.65
    assert found["accuracy"] > found["majority"] + 0.2


# ---- attention and tokens -------------------------------------------------------------------------------------------


def test_long_cells_go_through_latents():
    data = multiome(60)
    model = ScMBERT(data, replace(SMALL_SCMBERT, exact_tokens=20, n_latents=3), batch_key="batch")
    assert isinstance(model.module.transformer, LatentTransformer)
    assert isinstance(ScMBERT(multiome(60), SMALL_SCMBERT).module.transformer, PackedTransformer)
    before = weights(model)
    model.train(3, **QUIET)
    after = weights(model)
    assert not torch.equal(after["transformer.latents"], before["transformer.latents"])
    losses = model.history["train_loss"]["train_loss"]
    assert np.isfinite(losses).all()
    whole = model.get_latent_representation()
    for batch_size in (1, 7):
        np.testing.assert_allclose(model.get_latent_representation(batch_size=batch_size), whole, atol=1e-5)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(model.get_latent_representation(indices=order), whole[order], atol=1e-5)


def test_of_long_cells_always_the_same_tokens_are_kept(reference, tmp_path):
    whole = reference.get_latent_representation()
    lengths = reference.adata.X.getnnz(1)
    assert (lengths > 12).mean() > 0.5
    for batch_size in (1, 7):
        np.testing.assert_allclose(reference.get_latent_representation(batch_size=batch_size), whole, atol=1e-5)
    reference.save(tmp_path / "model")
    loaded = ScMBERT.load(tmp_path / "model", rna(120))
    np.testing.assert_array_equal(loaded.get_latent_representation(), whole)
    assert loaded.config == reference.config
    order_g = reference.parts.tokenizer.get_buffer("order_0").numpy()
    changed = rna(120)
    x = changed.X.toarray()
    for row in np.flatnonzero(lengths > 12):
        found = np.flatnonzero(x[row])
        x[row, found[np.argsort(order_g[found])[12:]]] *= 3
    changed.X = sparse.csr_matrix(x)
    np.testing.assert_array_equal(reference.get_latent_representation(changed), whole)


@pytest.mark.parametrize(
    ("n", "n_epochs"), [(500, 56), (2000, 14), (7060, 6), (1_000_000, 1)], ids=["small", "2,000", "SNARE-seq", "large"]
)
def test_a_training_without_a_number_of_epochs_sees_as_many_cells_as_the_figures_are_of(model, n, n_epochs):
    """Of 500 and 2,000 cells 28,000 are seen; of SNARE-seq half of the usual 12 epochs."""
    assert model._sensible_epochs(n, 128) == n_epochs


def test_a_query_is_trained_as_long_as_by_other_families(reference):
    query = ScMBERT.load_query_data(shifted(), reference)
    assert query._sensible_epochs(500, 128) == sensible_epochs(500, 128) == 175


# ---- switches -------------------------------------------------------------------------------------------------------


def test_without_the_cell_term_the_loss_is_of_tokens_alone():
    model = ScMBERT(multiome(60), replace(SMALL_SCMBERT, cell_weight=0.0), batch_key="batch")
    assert model.module.adversary is None
    assert model.parts.memory is None
    before = weights(model)
    model.train(2, train_size=1.0, **QUIET)
    assert set(model.history) == {"train_loss", "train_values", "train_modality"}
    after = weights(model)
    moved = {name.split(".")[0] for name in after if not torch.equal(after[name], before[name])}
    assert "decoder" not in moved
    assert {"summary", "transformer", "values", "modality_read"} <= moved
    assert np.isfinite(model.get_latent_representation()).all()


def test_each_term_is_in_the_history(model):
    terms = {"loss", "values", "modality", "rna", "atac", "prot", "kl", "adversary", "alignment"}
    assert terms == {name.removeprefix("train_") for name in model.history if name.startswith("train_")}


def test_in_the_adversary_batches_count_alike_within_each_cluster():
    rng = np.random.default_rng(0)
    type_n, code_n = np.repeat([0, 1, 0, 1], [90, 30, 30, 90]), torch.arange(240) >= 120
    mean_ng = np.where((np.arange(20) < 10) == (type_n == 0)[:, None], 8.0, 1.0)
    obs = pd.DataFrame({"batch": np.repeat(["a", "b"], 120)}, index=np.arange(240).astype(str))
    model = ScMBERT(AnnData(rng.poisson(mean_ng).astype(np.float32), obs), SMALL_SCMBERT, batch_key="batch")
    alignment, _ = model.parts.memory.alignment_losses["alignment"]
    batch_n1, rows = code_n.long()[:, None], torch.arange(240)
    alignment.refresh(torch.from_numpy(model.get_latent_representation()), batch_n1, rows)
    weight_n = alignment.adversary_weights(Batch({}, {}, {}, batch_n1, rows)).numpy()
    for of_type in (0, 1):
        sums = [weight_n[(type_n == of_type) & (code_n.numpy() == b)].sum() for b in (False, True)]
        assert sums[0] == pytest.approx(sums[1], rel=0.15)
    assert weight_n.max() > 1.5


def test_bins_of_each_modality():
    config = replace(SMALL_SCMBERT, n_open_bins=3)
    model = ScMBERT(multiome(60), config, batch_key="batch")
    assert model.module.bins.n_bins == {"rna": 4, "atac": 3, "prot": 4}
    assert [head.out_features for head in model.module.values] == [5, 4, 5]
    batch = model.adata_manager.create_torch_dataset()[list(range(60))]
    parts = model.parts.tokenizer(batch)
    shown = model.module.visible_bins(parts)
    values = parts["atac"].values
    assert values.max() > 3
    assert torch.equal(shown["atac"], values.clamp(max=3).long())
    model.train(1, **QUIET)
    table = model.evaluate_tokens()
    assert np.isfinite(table["accuracy"]).all()


def test_bins_of_a_repeated_cell_are_the_same_on_every_call(model):
    dataset = model.adata_manager.create_torch_dataset()

    def bins(rows):
        parts = model.parts.tokenizer(dataset[rows])
        found = model.module.visible_bins(parts)
        return [
            {name: found[name][obs_of(part) == i].tolist() for name, part in parts.items()} for i in range(len(rows))
        ]

    alone = bins([17])[0]
    assert len(set(alone["rna"])) > 1
    assert bins([17]) == [alone]
    among = bins([3, 17, 40, 17])
    assert among[1] == among[3] == alone


@pytest.fixture(scope="module")
def per_cell():
    """A model that bins each cell by its own values; tests must not change it."""
    model = ScMBERT(multiome(72), replace(SMALL_SCMBERT, bins_per_cell=True), batch_key="batch")
    model.train(2, **QUIET)
    return model


def test_bins_by_the_values_of_each_cell_are_saved_and_depend_on_no_other_cell(per_cell, tmp_path):
    whole = per_cell.get_latent_representation()
    for batch_size in (1, 7):
        np.testing.assert_allclose(per_cell.get_latent_representation(batch_size=batch_size), whole, atol=1e-5)
    per_cell.save(tmp_path / "model")
    loaded = ScMBERT.load(tmp_path / "model", multiome(72))
    assert loaded.config.bins_per_cell
    np.testing.assert_array_equal(loaded.get_latent_representation(), whole)
    table = per_cell.evaluate_tokens()
    assert np.isfinite(table["accuracy"]).all()


def test_a_cell_measured_deeper_has_the_same_bins_by_its_own_values_and_a_query_its_own(per_cell):
    dataset = per_cell.adata_manager.create_torch_dataset()
    parts = per_cell.parts.tokenizer(dataset[list(range(72))])
    shown = per_cell.module.visible_bins(parts)
    deeper = {name: part._replace(values=4 * part.values) for name, part in parts.items()}
    assert torch.equal(per_cell.module.visible_bins(deeper)["rna"], shown["rna"])
    assert len(set(shown["rna"].tolist())) == SMALL_SCMBERT.n_bins
    before, query = weights(per_cell), multiome(40)
    model = ScMBERT.load_query_data(query, per_cell)
    np.testing.assert_array_equal(model.get_latent_representation(), per_cell.get_latent_representation(query))
    assert all(torch.equal(before[name], value) for name, value in weights(per_cell).items())


def test_shrunken_estimates_leave_cells_that_lack_a_modality_nearer_the_mean():
    alone, whole = [], []
    for shrinks in (False, True):
        config = replace(SMALL_SCMBERT, shrunken_estimates=shrinks, layer_scale=0.0)
        model = ScMBERT(multiome(160), config, batch_key="batch")
        atac = MuData({"atac": model.adata["atac"].copy()})
        alone.append(model.get_latent_representation(atac).std(0).sum())
        whole.append(model.get_latent_representation().std(0).sum())
    assert alone[1] < 0.9 * alone[0]
    assert alone[1] / alone[0] < whole[1] / whole[0]


def test_values_of_masked_features_are_masked_in_training_too():
    model = ScMBERT(multiome(72), replace(SMALL_SCMBERT, identity_value_visible=False), batch_key="batch")
    model.train(3, **QUIET)
    assert np.isfinite(model.history["train_modality"]["train_modality"]).all()
    found = model.evaluate_tokens()
    pd.testing.assert_frame_equal(found, by_loop(model)[found.columns], check_dtype=False, rtol=1e-5)


# ---- results ------------------------------------------------------------------------------------------------


def test_each_feature_has_an_embedding(model):
    for name, part in model.adata.mod.items():
        found = model.get_feature_embedding(name)
        assert found.index.equals(part.var_names)
        assert found.shape == (part.n_vars, 16)
        assert (found.dtypes == np.float32).all()
        assert found.drop_duplicates().shape == found.shape
    alone = ScMBERT(rna(), SMALL_SCMBERT)
    assert alone.get_feature_embedding().index.equals(alone.adata.var_names)


def test_it_imputes_counts_and_probabilities(model):
    found = {name: model.impute(modality=name) for name in ("rna", "atac", "prot")}
    for name, frame in found.items():
        assert frame.index.equals(model.adata.obs_names)
        assert frame.columns.equals(model.adata[name].var_names)
        assert np.isfinite(frame.to_numpy()).all()
        assert (frame.to_numpy() >= 0).all()
    assert found["atac"].to_numpy().max() <= 1
    truth = model.adata["rna"].to_df()
    depth = found["rna"].loc[truth.index].sum(axis=1) / truth.sum(axis=1)
    np.testing.assert_allclose(depth, 1, rtol=1e-3)
    few = model.impute(modality="atac", indices=[5, 3], batch="b0", batch_size=1)
    np.testing.assert_allclose(few, model.impute(modality="atac", batch="b0").iloc[[5, 3]], atol=1e-5)


def test_it_reconstructs_the_common_regions_and_encodes_all(monkeypatch):
    monkeypatch.setattr("omicsmlm.models.scmbert._module.N_SAMPLED", 5)
    model = ScMBERT(multiome(60), replace(SMALL_SCMBERT, n_common=12), batch_key="batch")
    model.train(2, **QUIET)
    regions = model.impute(modality="atac")
    assert regions.shape == (60, 12)
    open_g = pd.Series((model.adata["atac"].X > 0).sum(0).A1, model.adata["atac"].var_names)
    assert open_g[regions.columns].min() >= open_g.drop(regions.columns).max()
    assert model.get_feature_embedding("atac").shape == (40, 16)
    before, changed = model.get_latent_representation(), multiome(60)
    x = changed["atac"].X.toarray()
    other = ~changed["atac"].var_names.isin(regions.columns)
    x[:, other] = np.roll(x[:, other], 1, 1)
    changed["atac"].X = sparse.csr_matrix(x)
    assert not np.allclose(model.get_latent_representation(changed), before, atol=1e-4)


# ---- queries --------------------------------------------------------------------------------------------------------


def shifted(n: int = 60) -> AnnData:
    """Cells of a batch that the reference lacks, with a factor for each gene."""
    query = rna(n, first=300)
    query.X = query.X.multiply(1 + np.random.default_rng(5).poisson(2, 30)[None, :]).tocsr().astype(np.float32)
    query.obs["batch"] = "new"
    return query


def with_unknown_genes(n: int = 60, batch: str = "new") -> AnnData:
    """Cells of which the reference knows the first 20 genes of 50 alone."""
    adata = rna(n, 50, first=300)
    adata.var_names = [*adata.var_names[:20], *(f"other{i}" for i in range(30))]
    adata.obs["batch"] = batch
    return adata


def test_a_query_is_mapped_and_moves_nothing_of_the_reference(reference):
    before, query = weights(reference), shifted()
    start = reference.get_latent_representation()
    model = ScMBERT.load_query_data(query, reference)
    np.testing.assert_array_equal(model.get_latent_representation(), reference.get_latent_representation(query))
    model.train(2, **QUIET)
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata), start)
    assert not np.allclose(model.get_latent_representation(query), reference.get_latent_representation(query))
    after = weights(model)
    for name in set(before) & set(after):
        if before[name].shape == after[name].shape:
            assert torch.equal(before[name], after[name]), name
    assert all(torch.equal(before[name], value) for name, value in weights(reference).items())


@pytest.mark.parametrize("batch", ["new", "b0"])
def test_a_growing_vocabulary_keeps_what_is_known_to_the_last_bit(reference, batch, tmp_path):
    """Rows of the reference are longer than ``max_tokens``, and its bins are of its own: neither may change."""
    start, known = reference.get_latent_representation(), reference.get_feature_embedding()
    model = ScMBERT.load_query_data(with_unknown_genes(batch=batch), reference, extend_vocabulary=True)
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata), start)
    added = model.get_feature_embedding("rna+")
    assert list(added.index) == [f"other{i}" for i in range(30)]
    model.train(3, **QUIET)
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata), start)
    pd.testing.assert_frame_equal(model.get_feature_embedding("rna"), known, check_exact=True)
    assert not np.allclose(model.get_feature_embedding("rna+"), added)
    assert model.impute(modality="rna+").shape == (60, 30)
    model.save(tmp_path / "model")
    loaded = ScMBERT.load(tmp_path / "model", with_unknown_genes(batch=batch))
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    third = with_unknown_genes(48, "newer")
    third.var_names = [*third.var_names[:40], *(f"third{i}" for i in range(10))]
    again = ScMBERT.load_query_data(third, loaded, extend_vocabulary=True)
    again.train(1, **QUIET)
    np.testing.assert_array_equal(again.get_latent_representation(reference.adata), start)
    np.testing.assert_array_equal(
        again.get_latent_representation(with_unknown_genes(batch=batch)), model.get_latent_representation()
    )


def test_added_features_alone_place_a_cell_near_where_all_do():
    reference = ScMBERT(rna(120), SMALL_SCMBERT, batch_key="batch")
    reference.train(4, **QUIET)
    query = with_unknown_genes()
    model = ScMBERT.load_query_data(query, reference, extend_vocabulary=True)
    whole, part = model.get_latent_representation(), model.get_latent_representation(query[:, 15:].copy())
    distance = np.linalg.norm(whole[:, None] - part[None], axis=2)
    rank = (distance < np.diag(distance)[:, None]).mean()
    assert rank < 0.3, "a random place would have rank 0.5"


def test_a_model_without_a_decoder_has_nothing_that_a_query_adapts():
    reference = ScMBERT(rna(120), replace(SMALL_SCMBERT, cell_weight=0.0), batch_key="batch")
    reference.train(1, **QUIET)
    model = ScMBERT.load_query_data(shifted(), reference)
    with refused(
        r"^train: expected a reference that reconstructs cells \(cell_weight above 0\), got one that does not; call"
    ):
        model.train(1, **QUIET)
    start = model.get_latent_representation()
    model.align()
    assert not np.allclose(model.get_latent_representation(), start)
    extended = ScMBERT.load_query_data(with_unknown_genes(), reference, extend_vocabulary=True)
    before = extended.get_feature_embedding("rna+")
    extended.train(1, **QUIET)
    assert not np.allclose(extended.get_feature_embedding("rna+"), before)


# ---- labels ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tuning", ["frozen", "full"])
def test_it_learns_labels(model, tuning, tmp_path):
    before = weights(model)
    config = ClassifierConfig(tuning=tuning, freeze_initial=tuning == "full")
    classifier = Classifier.from_model(model, "type", config=config)
    classifier.train(3, progress_bar=False, accelerator="cpu")
    best = classifier.predict(soft=True).idxmax(axis=1)
    assert (best == model.adata.obs["type"].astype(str)).mean() > 0.9
    assert all(torch.equal(before[name], value) for name, value in weights(model).items())
    tuned = classifier.module.encoder.state_dict()
    moved = {name.split(".")[0] for name in before if not torch.equal(before[name], tuned[name])}
    if tuning == "full":
        assert "transformer" in moved
        first = {id(weight) for weight in classifier.module.encoder.initial_layer()}
        names = [name for name, weight in classifier.module.encoder.named_parameters() if id(weight) in first]
        assert {"mask_feature", "value_of_bin.weight"} <= set(names)
        assert all(torch.equal(before[name], tuned[name]) for name in names), "the initial layer is frozen"
    else:
        assert not moved
    alone = classifier.predict(MuData({"atac": model.adata["atac"].copy()}), soft=True)
    assert len(alone) == model.adata["atac"].n_obs
    classifier.save(tmp_path / "labels")
    loaded = Classifier.load(tmp_path / "labels", multiome(96))
    pd.testing.assert_frame_equal(loaded.predict(soft=True), classifier.predict(soft=True))
