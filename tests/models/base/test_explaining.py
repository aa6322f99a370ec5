"""What a model makes of features: where they lie in the latent, and which of them carry a label."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from mudata import MuData
from scipy import sparse
from sklearn.linear_model import LinearRegression

from omicsmlm import OmicsMLM
from omicsmlm._stages import Stages
from omicsmlm.data import observation_loader
from omicsmlm.models.base import _explaining
from omicsmlm.models.base._explaining import _directions, _whitened
from tests.objects import QUIET, SMALL, modality, multiome, rna, state_of

NO_BAR = Stages("", 0, enabled=False)


@pytest.fixture(scope="module")
def model():
    model = OmicsMLM(multiome(), SMALL, batch_key="batch")
    model.train(10, **QUIET, early_stopping=False)
    return model


@pytest.fixture(scope="module")
def table(model):
    return model.attribute(labels="type")


def batch_of(model, rows):
    (batch,) = observation_loader(model.adata_manager, rows, len(rows))
    return batch, model.parts.tokenizer(batch)


def scaled_frame(model, name):
    _, grids = batch_of(model, np.arange(model.adata.n_obs))
    return np.where(grids[name].visible, model.module.scalings(grids)[name], np.nan)


# ---- feature embeddings -------------------------------------------------------------------------------------------


def test_features_lie_where_they_correlate_with_the_whitened_latent(model):
    found = model.get_feature_embedding("atac")
    assert list(found.index) == [f"chr1:{100 * j}-{100 * j + 50}" for j in range(40)]
    assert (found.dtypes == np.float32).all()
    x_ng, z_nd = scaled_frame(model, "atac"), model.get_latent_representation().astype(float)
    u_nd, _, turned_dd = np.linalg.svd(z_nd - z_nd.mean(0), full_matrices=False)
    q_nd = np.sqrt(len(z_nd)) * u_nd @ turned_dd
    for g in range(0, 40, 7):
        has_n = ~np.isnan(x_ng[:, g])
        assert 0 < (~has_n).sum() < 20
        wanted = [
            np.corrcoef(x_ng[has_n, g], q_nd[has_n, d])[0, 1] * q_nd[has_n, d].std() for d in range(q_nd.shape[1])
        ]
        np.testing.assert_allclose(found.iloc[g], wanted, atol=1e-4)


def test_squared_length_is_the_share_of_variance_that_the_latent_explains():
    model = OmicsMLM(rna(), SMALL)
    x_ng, z_nd = scaled_frame(model, "rna"), model.get_latent_representation()
    found = model.get_feature_embedding()
    shares = [LinearRegression().fit(z_nd, x_ng[:, g]).score(z_nd, x_ng[:, g]) for g in range(30)]
    np.testing.assert_allclose(np.square(found).sum(axis=1), shares, atol=1e-3)
    assert max(shares) - min(shares) > 0.1


def test_weights_of_the_decoder_are_those_that_make_the_logits(model):
    found = model.get_feature_embedding("rna", which="decoder")
    assert list(found.index) == list(model.get_feature_embedding("rna").index)
    assert (found.dtypes == np.float32).all()
    head = model.module.decoder.head("rna")
    h_nw = torch.randn(3, found.shape[1])
    batch = torch.zeros(3, dtype=torch.int64)
    logits = h_nw.numpy() @ found.to_numpy().T + (head.linear.bias + head.bias[0]).detach().numpy()
    with torch.no_grad():
        np.testing.assert_allclose(head.eval()(h_nw, batch).logits, logits, atol=1e-5)
    found.iloc[:] = 0
    assert (model.get_feature_embedding("rna", which="decoder") != 0).any(axis=None), "a copy"


def test_features_of_one_type_lie_together(model):
    rna_part, z = model.adata["rna"], model.get_feature_embedding("rna")
    types = model.adata.obs["type"].reindex(rna_part.obs_names)
    means = pd.DataFrame(np.log1p(rna_part.X.toarray()), columns=rna_part.var_names).groupby(types.to_numpy()).mean()
    top = (means - means.mean()).div(np.sqrt(means + 0.1)).T
    same, other = [], []
    for label in top:
        a, *b = (top[name].nlargest(4).index for name in [label, *top.columns.drop(label)])
        unit = z.div(np.linalg.norm(z, axis=1), axis=0)
        same.append(((unit.loc[a] @ unit.loc[a].T).to_numpy().sum() - 4) / 12)
        other += [(unit.loc[a] @ unit.loc[c].T).to_numpy().mean() for c in b]
    assert min(same) > max(other)


def test_whitened_dimensions_do_not_correlate_and_stay_close_to_themselves(rng):
    z_nd = rng.normal(size=(200, 3)) @ np.diag([1, 5, 0.1]) + 3
    q_nd = _whitened(np.c_[z_nd, z_nd[:, 0]])
    np.testing.assert_allclose(np.cov(q_nd[:, 1:3].T, bias=True), np.eye(2), atol=1e-6)
    np.testing.assert_allclose(q_nd[:, 0], q_nd[:, 3], err_msg="twice the same stays twice the same")
    assert np.corrcoef(q_nd[:, 1], z_nd[:, 1])[0, 1] > 0.99


def test_rows_and_batch_sizes(model):
    rows = np.arange(30, 60)
    one, other = (model.get_feature_embedding("rna", indices=rows, batch_size=size) for size in (7, None))
    np.testing.assert_allclose(one, other, atol=1e-4)
    part = model.get_feature_embedding("rna", data=model.adata[rows].copy())
    np.testing.assert_allclose(one, part, atol=1e-4)


def test_features_that_are_not_measured_lie_at_zero(model):
    query = MuData({"rna": rna()[:, 5:].copy()})
    found = model.get_feature_embedding("rna", data=query)
    assert (found.iloc[:5] == 0).all(axis=None)
    assert (found.iloc[5:] != 0).any(axis=1).all()


# ---- attributions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_attention_layers", [0, 1])
def test_attributions_are_the_integral_of_the_gradient(n_attention_layers):
    config = replace(SMALL, n_attention_layers=n_attention_layers)
    model = OmicsMLM(multiome(), config, batch_key="batch")
    model.train(2, **QUIET)
    batch, grids = batch_of(model, np.array([3, 70]))
    direction_nd = torch.randn(2, model.module.n_latent, generator=torch.Generator().manual_seed(0))
    found, difference_n = model._integrated(grids, batch, direction_nd, 50, NO_BAR)
    scaled = model.module.scalings(grids)
    ends = np.concatenate([[0], np.geomspace(1e-4, 1, 161)])
    slow = {name: torch.zeros_like(x_ng) for name, x_ng in scaled.items()}
    for low, high in zip(ends[:-1], ends[1:], strict=True):
        path = {name: ((low + high) / 2 * x_ng).requires_grad_() for name, x_ng in scaled.items()}
        projection = (model.module.embed(grids, batch, path).mean * direction_nd).sum()
        gradients = torch.autograd.grad(projection, path.values())
        for (name, x_ng), gradient_ng in zip(scaled.items(), gradients, strict=True):
            slow[name] += (high - low) * gradient_ng * x_ng
    assert slow["rna"].abs().max() > 0.1
    for name, wanted_ng in slow.items():
        np.testing.assert_allclose(found[name], wanted_ng, atol=0.01 * float(wanted_ng.abs().max() + 1e-3))
    total_n = sum(a_ng.sum(1) for a_ng in found.values())
    np.testing.assert_allclose(total_n, difference_n, rtol=0.01, atol=0.01)
    zero = {name: torch.zeros_like(x_ng) for name, x_ng in scaled.items()}
    both = [(model.module.embed(grids, batch, x).mean * direction_nd).sum(1).detach() for x in (scaled, zero)]
    np.testing.assert_allclose(difference_n, both[0] - both[1], atol=1e-5)


def test_attributions_add_up(model, table):
    assert table.attrs["difference"] > 1
    assert table.attrs["completeness_error"] < 1e-4 * table.attrs["difference"], "a path of even steps misses 3e-4"
    coarse = model.attribute(labels="type", n_steps=2)
    assert coarse.attrs["completeness_error"] > 10 * table.attrs["completeness_error"], "the error is measured"


def test_each_label_and_feature_is_named_once_and_the_strongest_come_first(table):
    features = [f"gene{j}" for j in range(30)] + [f"cd{j}" for j in range(8)]
    features += [f"chr1:{100 * j}-{100 * j + 50}" for j in range(40)]
    for label in ("t0", "t1", "t2"):
        part = table[table["label"] == label]
        assert sorted(part["feature"]) == sorted(features)
        assert part["attribution"].is_monotonic_decreasing
    assert table["label"].is_monotonic_increasing
    assert table["positive"].between(0, 1).all()
    assert table.groupby("modality").size().to_dict() == {"rna": 90, "prot": 24, "atac": 120}


def test_means_are_those_of_the_rows_that_have_the_modality(model, table):
    part = model.adata["prot"]
    types = model.adata.obs["type"].reindex(part.obs_names).to_numpy()
    counts = part.to_df()
    for label in ("t0", "t2"):
        rows = table[(table["label"] == label) & (table["modality"] == "prot")].set_index("feature")
        inside = counts[types == label].mean()
        np.testing.assert_allclose(rows["mean_inside"], inside[rows.index], rtol=1e-5)
        np.testing.assert_allclose(rows["mean_outside"], counts[types != label].mean()[rows.index], rtol=1e-5)


def test_means_of_attributions_are_those_of_single_rows(model, table):
    manager_rows = np.flatnonzero(model.adata.obs["type"] == "t1")
    batch, grids = batch_of(model, manager_rows)
    codes = model.adata.obs["type"].cat.codes.to_numpy().astype(int)
    direction_d = _directions(model.get_latent_representation(), codes, 3)[1]
    found, _ = model._integrated(grids, batch, direction_d.expand(len(manager_rows), -1), 50, NO_BAR)
    has_n = grids["rna"].visible.any(1)
    assert 0 < int((~has_n).sum())
    rows = table[(table["label"] == "t1") & (table["modality"] == "rna")].set_index("feature")
    wanted_g = found["rna"][has_n].detach()
    names = [f"gene{j}" for j in range(30)]
    np.testing.assert_allclose(rows.loc[names, "attribution"], wanted_g.mean(0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(rows.loc[names, "positive"], (wanted_g > 0).float().mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", ["counts", "protein", "fraction", "real"])
def test_planted_markers_are_found(kind):
    data = modality(kind)
    values = np.random.default_rng(1).permuted(data.X.toarray() if sparse.issparse(data.X) else data.X, axis=0)
    marked = data.obs["type"] == "t1"
    high, low = (0.95, 0.05) if kind == "fraction" else (30, 0)
    values[:, [4, 9]] = np.where(marked, high, low)[:, None]
    data.X = sparse.csr_matrix(values) if kind in ("counts", "protein") else values
    OmicsMLM.setup_anndata(data, modalities="m", kind=kind)
    found = OmicsMLM(data, SMALL).attribute(labels=np.where(marked, "marked", "other"))
    top = found[found["label"] == "marked"].head(2)
    assert set(top["feature"]) == {data.var_names[4], data.var_names[9]}
    assert (top["mean_inside"] > top["mean_outside"]).all()


def test_labels_come_as_a_column_or_as_values_and_may_be_missing(model, table):
    types = model.adata.obs["type"]
    pd.testing.assert_frame_equal(model.attribute(labels=types.tolist()), table)
    some = types.astype(object).where(types != "t0", None)
    rows = np.flatnonzero(types != "t0")
    left = model.attribute(labels=some)
    assert set(left["label"]) == {"t1", "t2"}
    pd.testing.assert_frame_equal(left, model.attribute(labels="type", indices=rows))
    pd.testing.assert_frame_equal(model.attribute(model.adata[rows].copy(), "type", batch_size=30), left, rtol=1e-2)


def test_an_object_without_a_modality_and_with_fewer_features(model):
    query = rna()[:, 3:].copy()
    found = model.attribute(query, "type")
    assert set(found["modality"]) == {"rna"}
    assert set(found["feature"]) == {f"gene{j}" for j in range(3, 30)}
    assert np.isfinite(found["attribution"]).all()
    assert found.attrs["completeness_error"] < 0.01 * found.attrs["difference"]


@pytest.mark.parametrize("n_labels", [2, 4])
def test_directions_give_the_log_odds(rng, n_labels):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    code_n = rng.integers(0, n_labels, 120)
    z_nd = (rng.normal(size=(120, 5)) + code_n[:, None] * [1, 0, -1, 0.5, 0]).astype(np.float32) * [1, 3, 0.1, 1, 1]
    direction_kd = _directions(z_nd, code_n, n_labels).numpy()
    scaler = StandardScaler().fit(z_nd)
    model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000).fit(scaler.transform(z_nd), code_n)
    log_nk = model.predict_log_proba(scaler.transform(z_nd))
    wanted_nk = log_nk - log_nk.mean(1, keepdims=True)
    found_nk = z_nd @ direction_kd.T
    np.testing.assert_allclose(found_nk - found_nk.mean(0), wanted_nk - wanted_nk.mean(0), atol=1e-3)
    np.testing.assert_allclose(direction_kd.sum(0), 0, atol=1e-2)


def test_a_loaded_model_explains_alike_and_objects_stay_as_they_were(model, table, tmp_path):
    model.save(tmp_path / "model")
    loaded, data = OmicsMLM.load(tmp_path / "model"), multiome()
    before = state_of(data)
    pd.testing.assert_frame_equal(loaded.attribute(data, "type"), table)
    pd.testing.assert_frame_equal(loaded.get_feature_embedding("rna", data=data), model.get_feature_embedding("rna"))
    assert state_of(data) == before
    assert not any(weight.grad is not None for weight in loaded.module.parameters())
    with pytest.raises(ValueError, match="data: expected an object, got none"):
        loaded.attribute(labels="type")


def test_wrong_input_gets_a_sentence(model):
    with pytest.raises(
        ValueError, match=r"which: expected one of \['latent', 'decoder'\], got 'encoder'; pass one of these"
    ):
        model.get_feature_embedding("rna", which="encoder")
    with pytest.raises(ValueError, match=r"modality: expected one of \['rna', 'atac', 'prot'\], got None; name one"):
        model.get_feature_embedding()
    with pytest.raises(
        ValueError, match="data: expected at least 3 observations that were measured in 'rna', got 2; pass more"
    ):
        model.get_feature_embedding("rna", indices=[0, 1])
    with pytest.raises(
        ValueError, match="data: expected at least 3 observations that were measured in 'rna', got 0; pass more"
    ):
        model.get_feature_embedding("rna", indices=[])
    with pytest.raises(
        ValueError, match="labels: expected a column of obs, or one label per observation, got none; pass labels"
    ):
        model.attribute()
    with pytest.raises(
        ValueError, match="labels: expected one for each of 72 observations, got 2 of them; pass a column"
    ):
        model.attribute(labels=["a", "b"])
    with pytest.raises(
        ValueError, match="labels: expected at least two different ones, got 1; pass observations of several"
    ):
        model.attribute(labels=["a"] * 72)
    with pytest.raises(ValueError, match="n_steps: expected at least 1, got 0; leave it out for 50"):
        model.attribute(labels="type", n_steps=0)
    with pytest.raises(ValueError, match="column 'typ': expected a column"):
        model.attribute(labels="typ")


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _explaining.PATH_POWER == 4
    assert _explaining.LEAST_OBSERVATIONS == 3
    assert _explaining.INVERSE_PENALTY == 0.1
    assert _explaining.LEAST_VARIANCE == 1e-09
    assert _explaining.TINY == 1e-30
