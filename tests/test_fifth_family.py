"""A new family is one room: that of ``docs/add_a_family.md``, and nothing in ``src`` knows of it.

The contract test asks of it what it asks of every family; here stand its room, its page, and what only some families can do.
"""

import importlib.util
import re
from typing import ClassVar

import numpy as np
import pytest

import omicsmlm
from omicsmlm import Classifier, ClassifierConfig, Survival, SurvivalConfig
from omicsmlm.models import OmicsModel
from tests.objects import QUIET, bulk, multiome, rna
from tests.test_contract import FAMILIES
from tests.test_floors import broken_rules, private_uses
from tests.toy_family import Toy, ToyConfig, blocks, files, imported, run


@pytest.fixture(scope="module")
def trained():
    """A model of several modalities, trained once."""
    model = Toy(multiome(), batch_key="batch")
    model.train(30, **QUIET)
    return model


def test_the_page_has_a_whole_room_and_a_use_of_it():
    assert list(files()) == [
        f"models/toy/{name}.py" for name in ("_config", "_tokenizer", "_module", "_objective", "_model", "__init__")
    ]
    assert [block.title for block in blocks()][-1] == "try it"
    assert len(blocks()) == len(files()) + 1, "no block of code on the page is left out"


def test_src_does_not_know_it():
    assert importlib.util.find_spec("omicsmlm.models").submodule_search_locations
    assert not hasattr(omicsmlm, "Toy")
    assert not hasattr(omicsmlm.models, "Toy")
    assert {Toy} <= {family.model for family in FAMILIES.values()}, "the contract test asks it, too"


def test_its_room_keeps_the_floors(tmp_path):
    for place, text in files().items():
        file = tmp_path / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert list(broken_rules(tmp_path)) == []
    assert list(private_uses(tmp_path)) == []


def test_the_page_uses_public_names_only():
    uses = [
        line for text in files().values() for line in re.findall(r"^(?:from|import) omicsmlm\S*.*", text, re.MULTILINE)
    ]
    assert any(line.startswith("from omicsmlm.types import") for line in uses)
    assert [line for line in uses if "._" in line or re.search(r"import .*\b_", line)] == []


def test_it_works_in_a_package_of_somebody_else(tmp_path):
    theirs = imported("their_package")
    assert theirs.Toy is not Toy
    model = theirs.Toy(rna(), theirs.ToyConfig(n_latent=5))
    model.train(1, **QUIET)
    model.save(tmp_path / "model")
    loaded = theirs.Toy.load(tmp_path / "model", rna())
    np.testing.assert_allclose(loaded.get_latent_representation(), model.adata.obsm["X_toy"], atol=1e-6)


def test_what_the_page_tries_works():
    names: dict[str, object] = {"Toy": Toy}
    run(blocks()[-1], names)
    model, classifier, query_model = (names[name] for name in ("model", "classifier", "query_model"))
    query = query_model.adata
    assert (model.adata.n_obs, query.n_obs) == (150, 50)
    assert model.adata.obsm["X_toy"].shape == (150, 16)
    assert query_model.impute(modality="atac").shape == (50, 80)
    labels = classifier.predict(query)
    assert list(labels.index) == list(query.obs_names)
    assert set(labels) <= {*model.adata.obs["cell_type"], "Unknown"}
    assert labels.nunique() > 2


def test_it_has_a_config_of_its_own():
    assert Toy(rna(), ToyConfig(n_latent=7)).get_latent_representation().shape == (72, 7)
    assert Toy(rna()).config == ToyConfig()
    with pytest.raises(ValueError, match=r"mask_rates: expected two fractions from 0 to below 1, the lower first, got"):
        ToyConfig(mask_rates=(0.5, 0.2))


def test_imputed_values_are_nearer_to_the_truth_than_the_mean_is(trained):
    """Counts of cells whose RNA was taken away, from their other modalities."""
    data = multiome()
    whole = data["rna"].to_df()
    kept = data["rna"].obs_names[::2]
    data.mod["rna"] = data["rna"][kept].copy()
    data.update()
    found = trained.impute(data, "rna")
    assert list(found.columns) == list(whole.columns)
    assert list(found.index) == list(data.obs_names)
    lacking = whole.index.difference(kept)
    truth, expected = np.log1p(whole.loc[lacking]), np.log1p(found.loc[lacking])
    error = float(((expected - truth) ** 2).to_numpy().mean())
    assert error < 0.8 * float(((np.log1p(whole).mean() - truth) ** 2).to_numpy().mean())


def test_it_takes_fractions_and_real_values_as_they_are():
    data = bulk()
    model = Toy(data)
    model.train(20, **QUIET)
    imputed = model.impute(modality="methylation")
    truth = data["methylation"].to_df(None).loc[:, imputed.columns]
    measured = np.isfinite(truth.to_numpy())
    found = imputed.loc[truth.index].to_numpy()[measured]
    assert np.corrcoef(found, truth.to_numpy()[measured])[0, 1] > 0.5
    first = data["rna"].obs_names[0]
    assert np.isnan(data["rna"].X.data).any(), "some are not measured"
    assert np.isfinite(model.get_latent_representation(data["rna"][[first]].copy())).all()


@pytest.mark.parametrize("tuning", ["frozen", "full", "lora"])
def test_it_carries_a_classifier(tuning, tmp_path, trained):
    classifier = Classifier.from_model(trained, "type", config=ClassifierConfig(tuning=tuning))
    classifier.train(2, **QUIET)
    data = multiome()
    predicted = classifier.predict(data, soft=True)
    assert (predicted.idxmax(axis=1) == data.obs["type"].astype(str)).mean() > 0.9
    classifier.save(tmp_path / "classifier")
    loaded = Classifier.load(tmp_path / "classifier", multiome())
    np.testing.assert_allclose(loaded.predict(soft=True), predicted, atol=1e-6)


def test_it_carries_a_survival_model():
    data = multiome()
    rng, is_first = np.random.default_rng(0), (data.obs["type"] == "t0").to_numpy()
    data.obs["time"] = rng.exponential(np.where(is_first, 1.0, 10.0))
    data.obs["event"] = 1
    config = SurvivalConfig(n_networks=2)
    survival = Survival.from_model(Toy(data), "time", "event", config=config)
    survival.train(2, **QUIET)
    risk = survival.predict().to_numpy()
    assert risk[is_first].mean() > risk[~is_first].mean()


def test_a_family_that_leaves_something_out_cannot_be_made():
    class Half(OmicsModel):
        embedding_key: ClassVar[str] = "X_half"
        config_class: ClassVar[type] = ToyConfig

    with pytest.raises(TypeError, match="abstract"):
        Half(rna())
