"""What OmicsMLM does beyond the contract: kinds, layers, covariates, unpaired observations, selection of features."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from mudata import MuData, read_h5mu
from scipy import sparse

from omicsmlm import OmicsMLM, OmicsMLMConfig, datasets
from omicsmlm._types import Batch
from omicsmlm.models.omicsmlm._model import _depth
from tests.objects import QUIET, SMALL, cells, modality, multiome, rna

KINDS = ["counts", "protein", "accessibility", "fraction", "real"]


def embedding(data, config=SMALL, **options):
    return OmicsMLM(data, config, **options).get_latent_representation()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_inferred_trains_and_embeds(kind):
    name = {"protein": "prot", "accessibility": "atac"}.get(kind, "x")
    mdata = MuData({name: modality(kind, g=12)})
    model = OmicsMLM(mdata, SMALL, batch_key="batch")
    assert model.adata_manager.modalities[name]["kind"] == kind
    model.train(2, **QUIET)
    assert np.isfinite(model.history["train_loss"]).all(axis=None)
    assert np.isfinite(mdata.obsm["X_omics"]).all()


def test_all_kinds_at_once_train_and_embed():
    mdata = MuData({kind: modality(kind, 50, 10, first=5 * i) for i, kind in enumerate(KINDS)})
    kinds = {kind: kind for kind in KINDS}
    OmicsMLM.setup_mudata(mdata, kinds=kinds, batch_key="batch")
    model = OmicsMLM(mdata, SMALL)
    model.train(2, **QUIET)
    assert mdata.obsm["X_omics"].shape == (70, model.module.n_latent)
    assert np.isfinite(mdata.obsm["X_omics"]).all()
    assert {f"train_{kind}" for kind in KINDS} < set(model.history)


def test_kinds_that_are_given_are_taken():
    mdata = multiome()
    OmicsMLM.setup_mudata(mdata, kinds={"rna": "real"}, modalities=["rna", "prot"])
    model = OmicsMLM(mdata, SMALL)
    assert {name: state["kind"] for name, state in model.adata_manager.modalities.items()} == {
        "rna": "real",
        "prot": "protein",
    }


def test_one_line_says_what_was_taken(caplog):
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        OmicsMLM(multiome(), SMALL, batch_key="batch")
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("OmicsMLM: ")]
    assert line == (
        "OmicsMLM: 72 observations; rna as counts, atac as accessibility, prot as protein; covariates 'batch' with 2 categories."
    )


def test_the_line_is_seen_where_nobody_has_set_up_logging(monkeypatch, capsys):
    package = logging.getLogger("omicsmlm")
    monkeypatch.setattr(package, "propagate", False)
    monkeypatch.setattr(package, "handlers", [])
    monkeypatch.setattr(package, "level", logging.NOTSET)
    for _ in range(2):
        OmicsMLM(rna(), SMALL)
    assert capsys.readouterr().err.count("OmicsMLM: 72 observations; rna as counts; covariates none.\n") == 2


# ---- layers and copies --------------------------------------------------------------------------------------------


def test_a_layer_is_as_good_as_x():
    adata, layered = rna(), rna()
    layered.layers["counts"] = layered.X
    layered.X = layered.X.log1p()
    OmicsMLM.setup_anndata(layered, layer="counts", batch_key="batch")
    model = OmicsMLM(layered, SMALL)
    expected = embedding(adata, batch_key="batch")
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    mdata = MuData({"rna": layered.copy()})
    mdata.obs["batch"] = layered.obs["batch"]
    OmicsMLM.setup_mudata(mdata, layers={"rna": "counts"}, batch_key="batch")
    np.testing.assert_allclose(embedding(mdata), expected, atol=1e-5)
    with pytest.raises(ValueError, match="rna: expected the layer 'counts', as in training"):
        model.get_latent_representation(rna())


def test_a_copy_of_an_object_that_was_set_up_is_registered_like_it():
    adata = rna()
    adata.layers["counts"] = adata.X
    adata.X = adata.X.log1p()
    OmicsMLM.setup_anndata(adata, layer="counts", batch_key="batch", modalities="gex")
    copy = adata[:60].copy()
    model = OmicsMLM(copy, SMALL)
    assert list(model.adata_manager.modalities) == ["gex"]
    assert model.adata_manager.modalities["gex"]["kind"] == "counts"
    assert list(model.adata_manager.covariates) == ["batch"]
    assert model.adata is copy
    assert list(OmicsMLM(adata, SMALL).adata_manager.modalities) == ["gex"], "and the original is not forgotten"


def test_the_last_setup_counts():
    mdata = multiome()
    OmicsMLM.setup_mudata(mdata, modalities=["rna"])
    OmicsMLM.setup_mudata(mdata, modalities=["prot", "atac"])
    assert list(OmicsMLM(mdata, SMALL).adata_manager.modalities) == ["prot", "atac"]


def test_two_models_of_one_object_do_not_disturb_each_other():
    mdata = multiome()
    first = OmicsMLM(mdata, SMALL)
    before = first.get_latent_representation()
    OmicsMLM.setup_mudata(mdata, modalities=["prot"], batch_key="batch")
    second = OmicsMLM(mdata, SMALL)
    np.testing.assert_array_equal(first.get_latent_representation(), before)
    first.train(1, key_added="X_first", **QUIET)
    second.train(1, key_added="X_second", **QUIET)
    assert not np.allclose(mdata.obsm["X_first"], mdata.obsm["X_second"])


def test_a_single_name_is_a_list_of_one():
    mdata = multiome()
    OmicsMLM.setup_mudata(mdata, modalities="rna", categorical_covariate_keys="type")
    manager = OmicsMLM(mdata, SMALL).adata_manager
    assert list(manager.modalities) == ["rna"]
    assert list(manager.covariates) == [None, "type"]


# ---- covariates ---------------------------------------------------------------------------------------------------


def test_the_batch_may_stand_on_either_level():
    above, below = multiome(), multiome()
    del below.obs["batch"]
    for part in below.mod.values():
        part.obs["batch"] = cells(72).loc[part.obs_names, "batch"]
    models = [OmicsMLM(mdata, SMALL, batch_key="batch") for mdata in (above, below)]
    for model in models:
        model.train(1, **QUIET)
    np.testing.assert_array_equal(above.obsm["X_omics"], below.obsm["X_omics"])


def decoded(model, batch):
    model.module.eval()
    with torch.no_grad():
        grids = model.parts.tokenizer(batch)
        return model.module(grids, batch).decoded["rna"].logits


def test_covariates_reach_the_decoder_and_not_the_embedding():
    adata = rna()
    OmicsMLM.setup_anndata(adata, batch_key="batch", categorical_covariate_keys=["type"])
    model = OmicsMLM(adata, SMALL)
    model.train(1, **QUIET)
    batch = model.adata_manager.create_torch_dataset()[[0, 1, 2]]
    assert batch.covariates.tolist() == [[0, 0], [0, 1], [0, 2]]
    other = batch._replace(covariates=torch.tensor([[0, 1]] * 3))
    assert not torch.allclose(decoded(model, batch)[0], decoded(model, other)[0], atol=1e-4)
    assert torch.equal(decoded(model, batch)[1], decoded(model, other)[1])


def test_a_covariate_alone_is_no_batch():
    adata = rna()
    OmicsMLM.setup_anndata(adata, categorical_covariate_keys=["type"])
    model = OmicsMLM(adata, SMALL)
    assert model.module.adversary is None
    assert model.module.decoder.heads[0].bias.shape[0] == 1
    model.train(1, **QUIET)
    assert "train_adversary" not in model.history


def test_a_batch_of_one_category_is_no_trouble():
    adata = rna()
    adata.obs["batch"] = "only"
    model = OmicsMLM(adata, SMALL, batch_key="batch")
    model.train(1, **QUIET)
    assert np.isfinite(adata.obsm["X_omics"]).all()


def test_a_batch_of_one_cell_is_no_trouble():
    adata = rna()
    adata.obs["batch"] = ["lonely"] + ["other"] * 71
    OmicsMLM(adata, SMALL, batch_key="batch").train(2, **QUIET)
    assert np.isfinite(adata.obsm["X_omics"]).all()


# ---- unpaired observations ------------------------------------------------------------------------------------------------


def test_halves_without_a_common_cell_train_and_embed():
    mdata = MuData({"rna": rna(40), "prot": modality("protein", 30, 8, first=40)})
    mdata.obs["batch"] = cells(70)["batch"]
    model = OmicsMLM(mdata, SMALL, batch_key="batch")
    model.train(2, **QUIET)
    assert np.isfinite(mdata.obsm["X_omics"]).all()
    alone = model.get_latent_representation(modality("protein", 30, 8, first=40))
    rows = mdata.obs_names.get_indexer([f"cell{i:03d}" for i in range(40, 70)])
    np.testing.assert_allclose(mdata.obsm["X_omics"][rows], alone, atol=1e-5)


def test_the_order_of_modalities_in_a_query_does_not_matter():
    mdata = multiome()
    model = OmicsMLM(mdata, SMALL)
    turned = MuData({name: mdata.mod[name].copy() for name in reversed(mdata.mod)})
    expected = pd.DataFrame(model.get_latent_representation(), index=mdata.obs_names).loc[turned.obs_names]
    np.testing.assert_allclose(model.get_latent_representation(turned), expected, atol=1e-5)


@pytest.mark.parametrize(
    "sizes", [{"rna": (72, 30), "atac": (72, 1)}, {"rna": (72, 30), "atac": (1, 9)}, {"rna": (3, 2)}]
)
def test_a_modality_may_be_tiny(sizes):
    kinds = {"rna": "counts", "atac": "accessibility"}
    mdata = MuData({name: modality(kinds[name], n, g) for name, (n, g) in sizes.items()})
    for part in mdata.mod.values():
        part.X = sparse.csr_matrix(np.ones(part.shape, np.float32) + part.X.toarray())
    OmicsMLM(mdata, SMALL).train(1, **QUIET)
    assert np.isfinite(mdata.obsm["X_omics"]).all()


@pytest.mark.parametrize("train_size", [0.5, 1.0])
def test_two_cells_are_enough(train_size):
    adata = rna()[:2].copy()
    model = OmicsMLM(adata, SMALL)
    model.train(3, train_size=train_size, **QUIET)
    assert np.isfinite(adata.obsm["X_omics"]).all()
    assert np.isfinite(model.history["train_loss"]).all(axis=None)


def test_the_default_config_takes_three_modalities():
    mdata = multiome()
    model = OmicsMLM(mdata, batch_key="batch")
    model.train(1, **QUIET)
    assert np.isfinite(mdata.obsm["X_omics"]).all()


@pytest.mark.parametrize("name", ["type", "keys", "train", "values", "0", "a b", "ATAC-seq"])
def test_modalities_may_have_any_name(name):
    adata = rna()
    OmicsMLM.setup_anndata(adata, modalities=name, kind="counts")
    OmicsMLM(adata, SMALL).train(1, **QUIET)
    assert np.isfinite(adata.obsm["X_omics"]).all()


# ---- choices by the number of observations --------------------------------------------------------------------------------


def test_a_model_keeps_what_was_chosen(tmp_path):
    model = OmicsMLM(rna(), batch_key="batch")
    assert model.config == OmicsMLMConfig().for_n_obs(72)
    model.save(tmp_path / "model")
    assert OmicsMLM.load(tmp_path / "model").config == model.config


# ---- selected features --------------------------------------------------------------------------------------------


def test_as_many_features_are_selected_as_the_config_allows(monkeypatch):
    monkeypatch.setattr("omicsmlm.models.omicsmlm._module.N_SAMPLED", 5)
    mdata = multiome()
    model = OmicsMLM(mdata, replace(SMALL, n_variable=10, n_common=12))
    model.train(1, **QUIET)
    grids = model.parts.tokenizer(model.adata_manager.create_torch_dataset()[[0]])
    assert {name: grid.visible.shape[1] for name, grid in grids.items()} == {"rna": 10, "atac": 12, "prot": 8}


def test_features_that_are_not_selected_may_be_missing():
    """Cells in which pairs of genes share a constant sum: their depth is known from these pairs alone."""
    adata = rna(60, 60)
    rng = np.random.default_rng(0)
    profile = np.full(60, 50.0)
    counts = np.tile(profile, (60, 1))
    sign = rng.choice([-40.0, 0, 40], (60, 8))
    counts[:, 0:16:2] += sign
    counts[:, 1:16:2] -= sign
    adata.X = sparse.csr_matrix((counts * rng.integers(1, 6, (60, 1))).astype(np.float32))
    model = OmicsMLM(adata, replace(SMALL, n_variable=16))
    assert model.derived.selected["rna"] == list(range(16))
    part = model.get_latent_representation(adata[:, :16].copy())
    np.testing.assert_allclose(part, model.get_latent_representation(), atol=1e-4)


# ---- real data ----------------------------------------------------------------------------------------------------


@pytest.mark.data
def test_a_real_mudata_trains_and_embeds(data_folder):
    mdata = read_h5mu(data_folder / "sc" / "teaseq_pbmc_rna_adt.h5mu")[:300].copy()
    names = list(mdata.mod)
    model = OmicsMLM(mdata, replace(SMALL, n_variable=200))
    kinds = {name: state["kind"] for name, state in model.adata_manager.modalities.items()}
    assert [kinds[name] for name in names] == ["counts", "protein"]
    model.train(2, progress_bar=False, accelerator="cpu")
    assert list(mdata.mod) == names
    assert np.isfinite(mdata.obsm["X_omics"]).all()


@pytest.mark.data
def test_real_unpaired_bulk_data_trains_and_embeds(data_folder):
    mdata = read_h5mu(data_folder / "bulk" / "ccle_pancancer.h5mu")
    model = OmicsMLM(mdata, SMALL)
    kinds = [state["kind"] for state in model.adata_manager.modalities.values()]
    assert "fraction" in kinds
    assert "real" in kinds
    model.train(1, progress_bar=False, accelerator="cpu")
    assert np.isfinite(mdata.obsm["X_omics"]).all()


def test_several_batch_keys_make_one_batch_of_each_combination():
    data = rna()
    data.obs["donor"] = ["d0", "d1", "d2"] * 24
    model = OmicsMLM(data, SMALL, batch_key=["batch", "donor"])
    assert list(model.adata_manager.covariates) == ["batch & donor"]
    assert model.adata_manager.covariates["batch & donor"][0] == "b0 & d0"
    assert len(model.adata_manager.covariates["batch & donor"]) == 6
    model.train(1, **QUIET)


def test_of_counts_of_one_batch_neighbours_are_in_its_other_half():
    losses = OmicsMLM(rna(), SMALL).parts.objective.alignment_losses
    assert list(losses) == ["alignment", "neighbours"]
    assert (losses["neighbours"][0].halves, losses["neighbours"][1]) == (True, 10.0)
    between = OmicsMLM(rna(), SMALL, batch_key="batch").parts.objective.alignment_losses["neighbours"]
    assert (between[0].halves, between[1]) == (False, 10.0)
    scores = AnnData(np.random.default_rng(0).normal(size=(60, 20)).astype(np.float32))
    assert list(OmicsMLM(scores, SMALL).parts.objective.alignment_losses) == ["alignment"], "no counts"
    mdata = datasets.simulate_multiome(120, 20, 30)
    links = pd.DataFrame({"gene": mdata["rna"].var_names[:10], "peak": mdata["atac"].var_names[:10]})
    assert list(OmicsMLM(mdata, SMALL, links=links).parts.objective.alignment_losses) == ["alignment"], "links"


def test_without_batch_strength_nothing_takes_the_batch_out():
    model = OmicsMLM(rna(), replace(SMALL, batch_strength=0.0), batch_key="batch")
    assert model.module.adversary is None
    assert list(model.parts.objective.alignment_losses) == ["alignment"]
    assert model.parts.objective.alignment_losses["alignment"][0].strength == 0
    double = OmicsMLM(rna(), replace(SMALL, batch_strength=2.0), batch_key="batch")
    usual = OmicsMLM(rna(), SMALL, batch_key="batch")
    assert double.parts.objective.adversary_weight == 2 * usual.parts.objective.adversary_weight


def test_in_the_adversary_batches_count_alike_within_each_cluster():
    rng = np.random.default_rng(0)
    type_n = np.repeat([0, 1, 0, 1], [90, 30, 30, 90])
    mean_ng = np.where((np.arange(20) < 10) == (type_n == 0)[:, None], 8.0, 1.0)
    adata = AnnData(
        rng.poisson(mean_ng).astype(np.float32),
        obs=pd.DataFrame({"batch": np.repeat(["a", "b"], 120)}, index=np.arange(240).astype(str)),
    )
    model = OmicsMLM(adata, SMALL, batch_key="batch")
    model.train(2, **QUIET)
    alignment, _ = model.parts.objective.alignment_losses["alignment"]
    rows, code_n = torch.arange(240), (torch.arange(240) >= 120).long()
    alignment.refresh(torch.from_numpy(model.get_latent_representation()), code_n[:, None], rows)
    weight_n = alignment.adversary_weights(Batch({}, {}, {}, code_n[:, None], rows)).numpy()
    for of_type in (0, 1):
        sums = [weight_n[(type_n == of_type) & (code_n.numpy() == b)].sum() for b in (0, 1)]
        assert sums[0] == pytest.approx(sums[1], rel=0.15)
    assert weight_n.max() > 1.5


def test_the_median_depth_is_that_of_the_selected_features():
    mdata = datasets.simulate_multiome(1100, 60, 80, missing=0.3)
    model = OmicsMLM(mdata, OmicsMLMConfig(n_variable=20, n_common=30))
    for name, deep in (("rna", mdata["rna"].X), ("atac", mdata["atac"].X > 0)):
        selected = model.derived.selected[name]
        assert len(selected) == {"rna": 20, "atac": 30}[name]
        assert model.derived.depths[name] == np.median(np.asarray(deep[:, selected].sum(1)).ravel())


# ---- depth and weights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("counts", [7.0, 0.0, 3.0]), ("protein", [7.0, 0.0, 3.0]), ("accessibility", [2, 0, 1]), ("real", [2, 0, 1])],
)
def test_depth_counts_what_is_stored_of_the_selected_features(kind, expected):
    values = sparse.csr_matrix(np.array([[5, 1, 2, 0], [0, 9, 0, 0], [0, 0, 3, 4]], dtype=np.float32))
    assert _depth(kind, values, np.array([0, 2])).tolist() == expected
    assert _depth(kind, values[:0], np.array([0, 2])).tolist() == []


def test_depth_is_counted_block_by_block(monkeypatch):
    monkeypatch.setattr("omicsmlm.models.omicsmlm._model.EMBEDDING_BATCH_SIZE", 7)
    x = sparse.random(30, 12, 0.4, "csr", np.float32, np.random.default_rng(0))
    selected = np.array([1, 4, 5, 11])
    np.testing.assert_array_equal(_depth("accessibility", x, selected), (x.toarray()[:, selected] != 0).sum(1))


def test_the_weight_of_the_divergence_grows_with_depth():
    mdata = multiome()
    model = OmicsMLM(mdata, replace(SMALL, kl_weight=2.0), batch_key="batch")
    depths = model.derived.depths
    assert model.derived.depth == pytest.approx(depths["rna"]), (
        "neither regions nor proteins are depth where there is RNA"
    )
    without = OmicsMLM(MuData({name: mdata[name] for name in ("atac", "prot")}), SMALL).derived
    assert without.depth == pytest.approx(0.1 * without.depths["atac"] + without.depths["prot"])
    for depth, factor in ((1000.0, 1.0), (2000.0, 2.0), (10.0, 0.1), (1e5, 25.0)):
        objective = model._assemble(replace(model.derived, depth=depth)).objective
        assert objective.kl_weight == pytest.approx(2 * factor)
    assert objective.weights == {"rna": 1.0, "atac": 0.1, "prot": 3.0}
    assert objective.adversary_weight == 2.5
    assert [weight for _, weight in objective.alignment_losses.values()] == [30.0, 10.0]
