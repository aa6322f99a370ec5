import numpy as np
import pytest

from omicsmlm import OmicsMLM, datasets
from tests.objects import QUIET, SMALL


def test_the_bundled_set_is_whole_and_raw():
    data = datasets.bmmc_cite()
    assert data.n_obs == 600
    assert data.obs["cell_type"].nunique() == 41
    assert data.obs["batch"].nunique() == 2
    for adata in data.mod.values():
        assert np.array_equal(adata.X.data, np.round(adata.X.data))
        assert adata.X.data.min() > 0


def test_each_call_gives_an_object_of_its_own():
    first, second = datasets.bmmc_cite(), datasets.bmmc_cite()
    first["rna"].X.data[:] = 0
    assert second["rna"].X.data.all()


def test_a_model_takes_it_as_it_is():
    model = OmicsMLM(datasets.bmmc_cite(), SMALL, batch_key="batch")
    assert "rna (1,000 features, counts), adt (134 features, protein)" in str(model)
    model.train(1, max_steps=2, **QUIET)
    assert np.isfinite(model.adata.obsm["X_omics"]).all()


def test_the_reference_embeds_its_cells_and_each_modality_alone():
    model, data = OmicsMLM.from_hub(datasets.bmmc_reference()), datasets.bmmc_cite()
    z = model.get_latent_representation(data)
    types = data.obs["cell_type"].astype(str).to_numpy()
    of_rna = model.get_latent_representation(data["rna"].copy())
    of_protein = model.get_latent_representation(data["adt"].copy())
    centred = [part - part.mean(axis=0) for part in (z, of_rna, of_protein)]
    for part in centred[1:]:  # a cell lies nearer to itself, seen whole, than to others
        similarity = (centred[0] * part).sum(axis=1)
        others = (centred[0] * np.roll(part, 7, axis=0)).sum(axis=1)
        assert (similarity > others).mean() > 0.9
    nearest = ((z[:, None] - z[None]) ** 2).sum(axis=2) + np.diag(np.full(len(z), np.inf))
    assert (types[nearest.argmin(axis=1)] == types).mean() > 0.45  # of 41 types, many of few cells


def test_a_query_is_mapped_onto_the_reference():
    data = datasets.bmmc_cite()
    reference, query = datasets.bmmc_reference(), data[data.obs["batch"] == "s1d2"][:60].copy()
    query.obs["batch"] = "new"
    model = OmicsMLM.load_query_data(query, reference)
    model.train(1, max_steps=2, **QUIET)
    assert query.obsm["X_omics"].shape == (60, model.module.n_latent)
    as_it_was = OmicsMLM.from_hub(reference).get_latent_representation(data)
    np.testing.assert_array_equal(model.get_latent_representation(data), as_it_was)


def test_the_reference_is_small_and_says_what_it_reaches():
    files = list(datasets.bmmc_reference().iterdir())
    assert sum(file.stat().st_size for file in files) < 4 * 2**20
    card = (datasets.bmmc_reference() / "README.md").read_text()
    assert "license: mit" in card
    for row in ("OmicsMLM untrained", "PCA of RNA", "shuffled proteins"):
        assert f"| {row}" in card or f"OmicsMLM, {row}" in card


@pytest.mark.data
def test_it_is_that_of_the_folder(data_folder):
    bundled, there = datasets.bmmc_cite(), datasets.load("sc/bmmc_cite_2donor.h5mu")
    assert (bundled.obs == there.obs).all(axis=None)
    assert all((bundled[name].X != there[name].X).nnz == 0 for name in there.mod)
