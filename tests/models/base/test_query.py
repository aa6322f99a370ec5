"""New rows mapped onto a reference: by name, at once, and adapted without moving the reference."""

import logging

import numpy as np
import pytest
import torch
from anndata import AnnData
from mudata import MuData

from omicsmlm import OmicsMLM
from omicsmlm.models.base import _query
from tests.objects import QUIET, SMALL, modality, multiome, rna, state_of


@pytest.fixture(scope="module")
def reference():
    """A model of two batches, trained once; tests must not change it."""
    model = OmicsMLM(rna(120), SMALL, batch_key="batch")
    model.train(4, **QUIET)
    return model


def new_rows(n: int = 60, batch: str = "new", g: int = 30) -> AnnData:
    """Cells of a batch that the reference lacks, with a shift of its own."""
    adata = rna(n, g, first=300)
    rng = np.random.default_rng(5)
    adata.X = adata.X.multiply(rng.poisson(2, g)[None, :]).tocsr().astype(np.float32)
    adata.obs["batch"] = batch
    return adata


@pytest.fixture(scope="module")
def adapted(reference):
    model = OmicsMLM.load_query_data(new_rows(), reference)
    model.train(40, **QUIET, early_stopping=False)
    return model


def weights(model: OmicsMLM) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def test_a_query_like_the_reference_embeds_at_once_as_that_would(reference):
    query = rna(120)
    query.obs["batch"] = "new " + query.obs["batch"].astype(str)
    model = OmicsMLM.load_query_data(query, reference)
    np.testing.assert_array_equal(model.get_latent_representation(), reference.get_latent_representation())


def test_features_that_a_query_has_shifted_count_less_at_once(reference, caplog):
    query = rna(90, 30, first=300)
    counts = query.X.toarray()
    counts[:, 3] += 50
    query.X = counts
    query.obs["batch"] = ["b0", "new", "new"] * 30
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        model = OmicsMLM.load_query_data(query, reference)
    weight_g = model.module.shifts.weight_bg[0]
    assert weight_g.argmin() == 3
    assert weight_g[3] < 0.4
    assert any("shifted in a new batch, and count less than half there" in message for message in caplog.messages)
    found, plain = model.get_latent_representation(), reference.get_latent_representation(query)
    assert (found != plain).any(1).tolist() == [False, True, True] * 30


def test_training_moves_the_query_and_never_the_reference(reference, adapted):
    before = reference.get_latent_representation()
    np.testing.assert_array_equal(adapted.get_latent_representation(reference.adata), before)
    query = new_rows()
    assert not np.allclose(adapted.get_latent_representation(query), reference.get_latent_representation(query))
    np.testing.assert_array_equal(adapted.adata.obsm["X_omics"], adapted.get_latent_representation())


def test_training_a_query_leaves_the_reference_model_as_it_was(reference):
    before, object_before = weights(reference), state_of(reference.adata)
    OmicsMLM.load_query_data(new_rows(), reference).train(2, **QUIET)
    after = weights(reference)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert state_of(reference.adata) == object_before


def test_only_what_speaks_of_the_new_batch_is_trained(reference, adapted):
    before, after = weights(reference), weights(adapted)
    assert set(after) - set(before) == {"alignment.centre_brkd", "alignment.shift_brkd"}
    for name in set(before) & set(after):
        if before[name].shape == after[name].shape:
            assert torch.equal(before[name], after[name]), name
    for name in ("decoder.heads.0.bias", "decoder.heads.0.log_dispersion"):
        assert torch.equal(after[name][:2], before[name])
        assert not torch.equal(after[name][2], before[name].mean(0))
    n = reference.module.n_latent
    assert torch.equal(after["decoder.trunk.0.weight"][:, : n + 2], before["decoder.trunk.0.weight"])
    assert not torch.equal(after["decoder.trunk.0.weight"][:, -1], before["decoder.trunk.0.weight"][:, n:].mean(1))


def test_the_decoder_learns_the_new_batch(reference, adapted):
    query = new_rows()
    truth = query.X.toarray()
    errors = [np.square(model.impute(query).to_numpy() - truth).mean() for model in (adapted, reference)]
    assert errors[0] < 0.9 * errors[1]


def test_an_adapted_model_is_saved_and_loaded_whole(adapted, tmp_path):
    adapted.save(tmp_path / "model")
    loaded = OmicsMLM.load(tmp_path / "model", new_rows())
    np.testing.assert_array_equal(loaded.get_latent_representation(), adapted.get_latent_representation())
    before = loaded.get_latent_representation(rna(120))
    loaded.train(1, **QUIET)
    np.testing.assert_array_equal(loaded.get_latent_representation(rna(120)), before)


def test_a_reference_can_be_a_directory(reference, tmp_path):
    reference.save(tmp_path / "model")
    query = new_rows()
    model, same = (OmicsMLM.load_query_data(query, source) for source in (tmp_path / "model", reference))
    np.testing.assert_array_equal(model.get_latent_representation(), same.get_latent_representation())


def test_a_query_can_be_the_reference_of_the_next(reference, adapted):
    third = OmicsMLM.load_query_data(new_rows(48, "newer"), adapted)
    third.train(2, **QUIET)
    np.testing.assert_array_equal(third.get_latent_representation(rna(120)), reference.get_latent_representation())
    np.testing.assert_array_equal(third.get_latent_representation(new_rows()), adapted.get_latent_representation())


def test_a_query_of_known_and_of_new_batches_moves_the_new_ones_alone(reference):
    query = new_rows()
    query.obs["batch"] = ["b0", "new"] * 30
    model = OmicsMLM.load_query_data(query, reference)
    start = model.get_latent_representation()
    model.train(2, **QUIET)
    moved = (model.get_latent_representation() != start).any(1)
    assert moved.tolist() == [False, True] * 30


def test_a_query_without_new_batches_embeds_and_has_nothing_to_train(reference):
    query = rna(40, first=300)
    before = state_of(query)
    model = OmicsMLM.load_query_data(query, reference)
    assert model.get_latent_representation().shape == (40, reference.module.n_latent)
    with pytest.raises(ValueError, match="train: expected a query with batches that the reference does not know, got "):
        model.train(1, **QUIET)
    assert {k: v for k, v in state_of(query).items() if k != "uns"} == {k: v for k, v in before.items() if k != "uns"}


def test_features_are_matched_by_name_and_reported(reference, caplog):
    query = new_rows()
    part = query[:, 5:].copy()
    part.var_names = [*part.var_names[:-2], "other1", "other2"]
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        model = OmicsMLM.load_query_data(part, reference)
    line = "OmicsMLM: 60 observations with 23 of 30 features of rna, 2 unknown ones ignored; new batches 'new'."
    assert line in caplog.messages
    model.train(1, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()


def test_modalities_may_be_absent_and_rows_unpaired():
    reference = OmicsMLM(multiome(), SMALL, batch_key="batch")
    reference.train(2, **QUIET)
    query = MuData({"atac": modality("accessibility", 40, 40, first=300), "rna": modality("counts", 30, 30, first=320)})
    query.obs["batch"] = "new"
    model = OmicsMLM.load_query_data(query, reference)
    start = reference.get_latent_representation()
    model.train(2, **QUIET)
    assert model.get_latent_representation().shape[0] == 50
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata), start)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.obs.pop("batch"), "column 'batch': expected a column of .obs"),
        (
            lambda q: q.var_names.__class__ and setattr(q, "var_names", [f"x{i}" for i in range(30)]),
            "rna: expected fea",
        ),
    ],
)
def test_a_query_that_does_not_fit_is_refused(reference, change, message):
    query = new_rows()
    change(query)
    before = state_of(query)
    with pytest.raises(ValueError, match=message):
        OmicsMLM.load_query_data(query, reference)
    assert state_of(query) == before


def test_an_untrained_reference_is_refused():
    with pytest.raises(ValueError, match="reference: expected a trained model, got one that is not; call train"):
        OmicsMLM.load_query_data(new_rows(), OmicsMLM(rna(), SMALL, batch_key="batch"))


def with_unknown_genes(n: int = 60, batch: str = "new") -> AnnData:
    """Cells of which the reference knows the first 20 genes of 50 alone."""
    adata = rna(n, 50, first=300)
    adata.var_names = [*adata.var_names[:20], *(f"other{i}" for i in range(30))]
    adata.obs["batch"] = batch
    return adata


def test_unknown_features_join_the_vocabulary(reference, caplog):
    query = with_unknown_genes()
    before = reference.get_latent_representation()
    with caplog.at_level(logging.INFO, logger="omicsmlm"):
        model = OmicsMLM.load_query_data(query, reference, extend_vocabulary=True)
    assert "OmicsMLM: 60 observations with 20 of 30 features of rna, 30 added; new batches 'new'." in caplog.messages
    assert model.adata_manager.modalities["rna+"]["vocabulary"] == [f"other{i}" for i in range(30)]
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata), before)
    model.train(20, **QUIET, early_stopping=False)
    np.testing.assert_array_equal(model.get_latent_representation(reference.adata), before)
    found = model.impute(modality="rna+")
    assert found.columns.tolist() == [f"other{i}" for i in range(30)]
    truth = query.X.toarray()[:, 20:]
    error, guess = np.square(found - truth).to_numpy().mean(), np.square(truth.mean(0) - truth).mean()
    assert error < guess, "better than the mean of each gene"
    assert np.isfinite(model.impute(reference.adata, "rna+").to_numpy()).all()


def test_added_features_without_a_new_batch_leave_the_known_decoder_as_it_is(reference):
    before = weights(reference)
    model = OmicsMLM.load_query_data(with_unknown_genes(batch="b0"), reference, extend_vocabulary=True)
    model.train(2, **QUIET)
    after = weights(model)
    assert all(torch.equal(before[k], after[k]) for k in before if k in after and before[k].shape == after[k].shape)


def test_added_features_alone_place_a_row_near_where_all_do(reference):
    query = with_unknown_genes()
    model = OmicsMLM.load_query_data(query, reference, extend_vocabulary=True)
    whole, part = model.get_latent_representation(), model.get_latent_representation(query[:, 15:].copy())
    distance = np.linalg.norm(whole[:, None] - part[None], axis=2)
    rank = (distance < np.diag(distance)[:, None]).mean()
    assert rank < 0.3, "a random place would have rank 0.5"


def test_an_extended_model_is_saved_extended_again_and_takes_any_object(reference, tmp_path):
    model = OmicsMLM.load_query_data(with_unknown_genes(), reference, extend_vocabulary=True)
    model.train(2, **QUIET)
    model.save(tmp_path / "model")
    loaded = OmicsMLM.load(tmp_path / "model", with_unknown_genes())
    np.testing.assert_array_equal(loaded.get_latent_representation(), model.get_latent_representation())
    third = with_unknown_genes(48, "newer")
    third.var_names = [*third.var_names[:40], *(f"third{i}" for i in range(10))]
    again = OmicsMLM.load_query_data(third, loaded, extend_vocabulary=True)
    again.train(2, **QUIET)
    assert list(again.adata_manager.modalities) == ["rna", "rna+", "rna++"]
    np.testing.assert_array_equal(
        again.get_latent_representation(reference.adata), reference.get_latent_representation()
    )
    np.testing.assert_array_equal(
        again.get_latent_representation(with_unknown_genes()), model.get_latent_representation()
    )


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _query.MOST_REFERENCE_EMBEDDINGS == 5000
