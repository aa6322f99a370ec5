"""What is derived from the data by families whose latent is initialised at principal components."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from mudata import MuData
from pandas import DataFrame
from scipy import sparse
from sklearn.neighbors import KNeighborsClassifier

from omicsmlm import Classifier, OmicsMLM, OmicsMLMConfig, ScMBERT
from omicsmlm.data._names import digests_of
from omicsmlm.models.base import ComponentDerived, _component_model
from omicsmlm.models.base._component_model import _profile
from omicsmlm.nn import FoldSizes, _linear_initialization
from tests.objects import QUIET, SMALL, SMALL_SCMBERT, linked_halves, modality, multiome, rna

CONFIG = replace(SMALL, n_variable=12, n_common=15)
WIDTH_16 = {OmicsMLM: OmicsMLMConfig(width=16), ScMBERT: replace(SMALL_SCMBERT, n_nonlinear=0)}


@pytest.fixture(scope="module")
def model():
    return OmicsMLM(multiome(), CONFIG, batch_key="batch")


def dense(model, name):
    return np.asarray(model.adata[name].X.todense())


def test_selected_features_and_their_statistics(model):
    derived = model.derived
    assert isinstance(derived, ComponentDerived)
    assert {name: len(own) for name, own in derived.selected.items()} == {"rna": 12, "atac": 15, "prot": 8}
    for name in ("rna", "atac", "prot"):
        x_ng = dense(model, name)
        fraction_g = x_ng.sum(0) / x_ng.sum()
        np.testing.assert_allclose(derived.profiles[name], fraction_g, rtol=1e-5)
        at_ng = x_ng[:, derived.selected[name]]
        depth_n = (at_ng > 0).sum(1) if name == "atac" else at_ng.sum(1)
        assert derived.depths[name] == np.median(depth_n), "of the observations that have the modality"
    assert set(derived.selected["atac"]) == set(np.argsort(-(dense(model, "atac") > 0).sum(0), kind="stable")[:15])


def test_few_embeddings_of_the_reference_are_kept(model, monkeypatch):
    assert model.derived.n_reference == 72
    assert model.module.reference_md.shape == (72, 8)
    monkeypatch.setattr("omicsmlm.models.base._component_model.MOST_REFERENCE_EMBEDDINGS", 20)
    few = OmicsMLM(rna(), SMALL)
    assert few.derived.n_reference == 20
    few.train(1, **QUIET)
    embedding = few.get_latent_representation()
    held = few.module.reference_md.numpy()
    distance_mn = np.abs(held[:, None] - embedding[None]).max(2)
    assert (distance_mn.min(1) < 1e-6).all(), "each is that of an observation"
    assert len(set(distance_mn.argmin(1))) == 20, "of another one each time"


def test_profiles_of_kinds_without_a_depth_are_flat():
    values = sparse.csr_matrix([[1.0, 0.0, 4.0, 0.0]])
    assert _profile("counts", values) == [0.2, 0.0, 0.8, 0.0]
    assert _profile("fraction", values) == _profile("real", values) == [0.25] * 4
    assert _profile("counts", sparse.csr_matrix((2, 2))) == [0.0, 0.0], "of nothing"
    assert _profile("counts", sparse.csr_matrix([[1.0, 2.0]])) == [0.333333, 0.666667], "six digits"


@pytest.mark.parametrize("family", [OmicsMLM, ScMBERT])
def test_a_query_is_trained_without_weight_decay(family):
    config = {OmicsMLM: SMALL, ScMBERT: SMALL_SCMBERT}[family]
    reference = family(rna(), replace(config, learning_rate=4e-3), batch_key="batch")
    reference.is_trained = True
    assert (reference.optimisation.weight_decay, reference.optimisation.learning_rate) == (1e-4, 4e-3)
    query = rna(30, first=300)
    query.obs["batch"] = "new"
    model = family.load_query_data(query, reference)
    assert (model.optimisation.weight_decay, model.optimisation.learning_rate) == (0.0, 4e-3)


def test_added_features_have_statistics_of_their_own(model):
    reference = OmicsMLM(rna(72, 20), CONFIG, batch_key="batch")
    reference.is_trained = True
    query = rna(40, 30, first=300)
    query.obs["batch"] = "new"
    extended = OmicsMLM.load_query_data(query, reference, extend_vocabulary=True).derived
    assert extended.added == ["rna+"]
    assert (extended.n_fixed_batches, extended.n_known_batches) == (2, 2)
    for part in ("selected", "profiles", "depths"):
        own = getattr(extended, part)
        assert own["rna"] == getattr(reference.derived, part)["rna"], "what is known stays"
        assert list(own) == ["rna", "rna+"]
    x_ng = np.asarray(query.X.todense())[:, 20:]
    np.testing.assert_allclose(extended.profiles["rna+"], x_ng.sum(0) / x_ng.sum(), rtol=1e-5)
    assert extended.depths["rna+"] == np.median(x_ng[:, extended.selected["rna+"]].sum(1))
    assert reference.derived.added == [], "the reference is left as it was"
    assert reference.derived.n_known_batches is None


def test_statistics_are_of_the_sample(monkeypatch):
    monkeypatch.setattr("omicsmlm.models.base._model.SAMPLE_SIZE", 24)
    adata = modality("counts", 72)
    model = OmicsMLM(adata, SMALL)
    sample = model._sample()
    indices = np.concatenate([batch.indices.numpy() for batch in sample])
    assert len(indices) == 24
    x_ng = np.asarray(adata.X.todense())[indices]
    np.testing.assert_allclose(model.derived.profiles["rna"], x_ng.sum(0) / x_ng.sum(), rtol=1e-5)


@pytest.mark.parametrize(("data", "expected"), [(rna, 2 + 4), (multiome, 2 + 12 + 6)])
def test_stages_are_counted(data, expected):
    assert OmicsMLM(data(), SMALL)._n_stages() == expected


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _component_model.ACCESSIBILITY_WEIGHT == 0.1
    assert _component_model.KL_WARMUP == 0.3
    assert _component_model.N_FOLDS == 10
    assert _component_model.ADVERSARY_WEIGHT == 2.5
    assert _component_model.MOST_ADVERSARY == 30.0
    assert _component_model.MOST_BALANCE == 4.0
    assert _component_model.WEIGHT_DECAY == 0.0001


# ---- observations that the network was initialised with --------------------------------------------------------------


@pytest.fixture(scope="module")
def paired():
    """Cells with RNA and ATAC, more than a regression of one modality on the other needs."""
    return multiome(160)


@pytest.fixture(scope="module", params=[OmicsMLM, ScMBERT])
def folded(request, paired):
    config = {OmicsMLM: CONFIG, ScMBERT: SMALL_SCMBERT}[request.param]
    model = request.param(paired, config, batch_key="batch")
    model.train(1, **QUIET)
    return model


def renamed(mdata):
    """The same cells by other names."""
    parts = {}
    for name, part in mdata.mod.items():
        parts[name] = part.copy()
        parts[name].obs_names = "new " + part.obs_names
    return MuData(parts)


def test_observations_are_known_again_by_their_names(folded, paired):
    assert folded.derived.folds == FoldSizes(10, 160)
    whole = folded.get_latent_representation()
    order = np.random.default_rng(0).permutation(160)[:90]
    for data in (paired.copy(), MuData({name: part.copy() for name, part in paired.mod.items()})):
        found = folded.get_latent_representation(data)
        np.testing.assert_allclose(found, whole[paired.obs_names.get_indexer(data.obs_names)], atol=1e-5)
    np.testing.assert_allclose(folded.get_latent_representation(paired[order].copy()), whole[order], atol=1e-5)
    np.testing.assert_allclose(folded.get_latent_representation(batch_size=7), whole, atol=1e-5)
    np.testing.assert_allclose(folded.get_latent_representation(indices=order), whole[order], atol=1e-5)


def test_others_are_embedded_by_the_map_of_all(folded, paired):
    data = renamed(paired)
    by_all = folded.get_latent_representation(data)[data.obs_names.get_indexer("new " + paired.obs_names)]
    assert np.abs(by_all - folded.get_latent_representation()).max() > 0.01
    with torch.inference_mode():
        (batch,) = folded.minibatches(None, None, 160)
        expected = folded.module.encode(folded.parts.tokenizer(batch)).mean.numpy()
        digest_n = digests_of(paired.obs_names)
        own = folded.module.encode(folded.parts.tokenizer(batch), fold_n=torch.from_numpy(digest_n % 10)).mean.numpy()
    np.testing.assert_allclose(by_all, expected, atol=1e-5)
    np.testing.assert_allclose(folded.get_latent_representation(), own, atol=1e-5)


def test_folds_are_saved_and_go_with_a_query(folded, paired, tmp_path):
    whole = folded.get_latent_representation()
    folded.save(tmp_path / "model")
    loaded = type(folded).load(tmp_path / "model")
    np.testing.assert_allclose(loaded.get_latent_representation(paired), whole, atol=1e-5)
    query = rna(30, first=500)
    query.obs["batch"] = "new"
    model = type(folded).load_query_data(query, folded)
    np.testing.assert_allclose(model.get_latent_representation(paired), whole, atol=1e-5)


def test_without_enough_pairs_there_are_no_folds(model):
    assert model.derived.folds == FoldSizes()
    assert model.module.cross_fitting is None


def test_of_noise_one_modality_says_nothing_of_the_other_in_the_cells_it_was_fitted_to():
    """What regression on as many features as cells fits of them would let it seem to know all of the other modality."""
    rng = np.random.default_rng(0)
    parts = {name: AnnData(rng.normal(size=(150, 200)).astype(np.float32)) for name in ("a", "b")}
    for part in parts.values():
        part.obs_names = [f"cell {n}" for n in range(150)]
    config = OmicsMLMConfig(n_nonlinear=0, n_linear=8, residual_scale=0.0, linear_power=0.0)
    model = OmicsMLM(MuData(parts), config)

    def agreement(by_names):
        alone = {name: by_names(MuData({name: parts[name].copy()})) for name in parts}
        embedding = {name: model.get_latent_representation(data) for name, data in alone.items()}
        pairs = zip(embedding["a"].T[:4], embedding["b"].T[:4], strict=True)
        return np.mean([np.corrcoef(one, other)[0, 1] for one, other in pairs])

    assert agreement(renamed) > 0.8
    assert abs(agreement(lambda data: data)) < 0.3


def across(embedding: np.ndarray, mdata: MuData) -> tuple[float, float]:
    """Accuracy of the types of 5 neighbours: of cells with RNA from those with ATAC, and the other way."""
    has_rna = mdata.obs_names.isin(mdata["rna"].obs_names)
    types = mdata.obs["type"].astype(str).to_numpy()
    found = []
    for known in (~has_rna, has_rna):
        fitted = KNeighborsClassifier(5).fit(embedding[known], types[known])
        found.append(fitted.score(embedding[~known], types[~known]))
    return found[0], found[1]


@pytest.mark.parametrize("family", [OmicsMLM, ScMBERT])
def test_halves_that_share_no_cell_meet_through_links(family, tmp_path):
    mdata, links = linked_halves()
    config = {OmicsMLM: SMALL, ScMBERT: SMALL_SCMBERT}[family]
    model = family(mdata, config, batch_key="batch", links=links)
    assert str(model.derived.links) == "96 links of 24 genes and 96 peaks"
    assert min(across(model.get_latent_representation(), mdata)) > 0.85
    shuffled = links.assign(gene=np.random.default_rng(1).permutation(links["gene"]))
    control = family(mdata.copy(), config, batch_key="batch", links=shuffled)
    assert max(across(control.get_latent_representation(), mdata)) < 0.8
    model.train(2, **QUIET)
    trained = model.get_latent_representation()
    assert min(across(trained, mdata)) > 0.85
    model.save(tmp_path / "model")
    loaded = family.load(tmp_path / "model", mdata)
    assert loaded.derived.links == model.derived.links
    np.testing.assert_allclose(loaded.get_latent_representation(), trained, atol=1e-5)
    loaded.train(1, **QUIET)
    query = MuData({"atac": mdata["atac"][:30].copy()})
    query.obs["batch"] = "new"
    mapped = family.load_query_data(query, loaded)
    mapped.train(1, **QUIET)
    assert mapped.get_latent_representation().shape == (30, mapped.module.n_latent)


@pytest.mark.parametrize(
    ("family", "tie"),
    [
        (OmicsMLM, "links"),
        (OmicsMLM, "links and pairs"),
        (OmicsMLM, "nothing"),
        (ScMBERT, "links"),
        (ScMBERT, "nothing"),
    ],
)
def test_what_links_alone_initialised_is_not_trained(family, tie, monkeypatch, tmp_path):
    mdata, links = linked_halves(60)
    if tie == "links and pairs":
        monkeypatch.setattr("omicsmlm.nn._linked_estimates.FEWEST_CALIBRATING", 60)
        mdata["atac"].obs_names = mdata["rna"].obs_names
        batch = mdata.obs["batch"].to_numpy()[:60]
        mdata = MuData(dict(mdata.mod))
        mdata.obs["batch"] = batch
    model = family(mdata, WIDTH_16[family], batch_key="batch", links=None if tie == "nothing" else links)
    alone = tie == "links"
    if family is OmicsMLM:
        assert (model.config.n_nonlinear, model.config.n_linear) == ((0, 80) if alone else (32, 48))
    before = [weight.detach().clone() for weight in model.module.linear_path()]
    residual = model.module.readout.mean.weight.detach().clone()
    model.train(2, **QUIET)
    after = model.module.linear_path()
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True)) == alone
    assert not torch.equal(residual, model.module.readout.mean.weight)
    assert all(weight.requires_grad for weight in after), "heads and other trainings may move it"
    model.save(tmp_path / "model")
    assert family.load(tmp_path / "model", mdata).derived.by_links_alone == alone


@pytest.mark.parametrize("family", [OmicsMLM, ScMBERT])
def test_trainings_do_not_move_modalities_that_links_alone_tie_against_one_another(family):
    mdata, links = linked_halves(60)
    model = family(mdata, WIDTH_16[family], links=links)
    assert model.derived.matched == ("rna", "atac")
    has_rna = mdata.obs_names.isin(mdata["rna"].obs_names)
    before = model.get_latent_representation()

    def gaps(embedding):
        parts = embedding[has_rna], embedding[~has_rna]
        within = np.sqrt(sum(part.var(0) for part in parts) / 2)
        return (parts[0].mean(0) - parts[1].mean(0)) / within, parts[0].std(0) / parts[1].std(0)

    for _ in range(2):  # the second goes on from the maps of the first
        model.train(3, train_size=1.0, **QUIET)
        after = model.get_latent_representation()
        assert np.abs(after - before).max() > 0.01
        for found, wanted in zip(gaps(after), gaps(before), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-3, rtol=1e-3)
    assert (model.module.moments.scale_md != 1).any()
    saved = model.to_saved()
    loaded = family.from_saved(saved, mdata)
    np.testing.assert_allclose(loaded.get_latent_representation(), after, atol=1e-5)
    del saved.config["choice"]["matched"]  # as in models of 0.2
    former = {name: weight for name, weight in saved.weights.items() if not name.startswith("moments.")}
    assert family.from_saved(saved._replace(weights=former), mdata).module.moments is None


def partly_paired(n_more: int) -> tuple[MuData, DataFrame]:
    """Forty cells with RNA and ATAC, ten with ATAC alone, and more with RNA alone."""
    mdata, links = linked_halves(50 + n_more)
    rna, atac = mdata["rna"][: 40 + n_more].copy(), mdata["atac"][:50].copy()
    atac.obs_names = [*rna.obs_names[:40], *atac.obs_names[40:]]
    return MuData({"rna": rna, "atac": atac}), links


@pytest.mark.parametrize("family", [OmicsMLM, ScMBERT])
@pytest.mark.parametrize("n_more", [0, 60])
def test_what_pairs_tell_in_one_direction_is_trained(family, n_more, monkeypatch):
    """However many cells have RNA alone, from which links alone tell of ATAC; what they alone tell in both is not trained."""
    fitted, fit = [], _linear_initialization.with_pairs
    monkeypatch.setattr(_linear_initialization, "with_pairs", lambda *args: fitted.append(args) or fit(*args))
    mdata, links = partly_paired(n_more)
    config = {OmicsMLM: SMALL, ScMBERT: SMALL_SCMBERT}[family]
    assert family(mdata.copy(), config, links=links).derived.by_links_alone
    assert fitted == [], "of forty pairs the links say more"
    monkeypatch.setattr("omicsmlm.nn._linked_estimates.FEWEST_CALIBRATING", 40)
    assert not family(mdata, config, links=links).derived.by_links_alone
    from_rna = [] if n_more else [40]
    assert [args[1].shape[0] for args in fitted] == [50, *from_rna], "from all cells with ATAC, of which most have RNA"


def test_pairs_are_counted_among_the_observations_that_a_model_is_initialised_with(monkeypatch):
    monkeypatch.setattr("omicsmlm.nn._linked_estimates.FEWEST_CALIBRATING", 40)
    mdata, links = partly_paired(0)
    assert not OmicsMLM(mdata, SMALL, links=links).derived.by_links_alone
    monkeypatch.setattr("omicsmlm.models.base._model.SAMPLE_SIZE", 45)
    config = OmicsMLMConfig(width=16)
    model = OmicsMLM(mdata, config, links=links)
    assert model.derived.by_links_alone, "fewer than forty of these have both"
    assert model.config.n_linear == 80, "by the same count"


class Interruption(Callback):
    """Ctrl-C at the first step, or a later one."""

    def __init__(self, step=1):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


def test_an_interrupted_training_leaves_all_weights_to_heads():
    mdata, links = linked_halves(40)
    model = OmicsMLM(mdata, SMALL, batch_key="batch", links=links)
    assert model.derived.by_links_alone
    trainable = [name for name, weight in model.module.named_parameters() if weight.requires_grad]
    with pytest.raises(KeyboardInterrupt):
        model.train(1, callbacks=[Interruption()], **QUIET)
    assert [name for name, weight in model.module.named_parameters() if weight.requires_grad] == trainable


@pytest.mark.parametrize("family", [OmicsMLM, ScMBERT])
def test_a_model_resumes_its_own_training_of_linked_modalities(family, tmp_path):
    """Targets are of the embedding before the training, not of that at which it was interrupted."""
    mdata, links = linked_halves(40)
    config = {OmicsMLM: SMALL, ScMBERT: SMALL_SCMBERT}[family]
    whole, broken = (family(mdata.copy(), config, links=links) for _ in range(2))
    whole.train(3, **QUIET)
    with pytest.raises(KeyboardInterrupt):
        broken.train(3, checkpoint_dir=tmp_path, callbacks=[Interruption(5)], **QUIET)
    broken.train(3, resume_from=tmp_path, **QUIET)
    np.testing.assert_allclose(broken.get_latent_representation(), whole.get_latent_representation(), atol=1e-5)


def test_the_model_of_a_head_can_be_trained_where_links_tie_modalities():
    mdata, links = linked_halves(40)
    classifier = Classifier.from_model(OmicsMLM(mdata, SMALL, links=links), "type")
    before = classifier.model.get_latent_representation()
    classifier.model.train(1, **QUIET)
    assert np.abs(classifier.model.get_latent_representation() - before).max() > 1e-3


def test_without_links_or_pairs_a_warning_says_that_nothing_ties_modalities(caplog):
    mdata, links = linked_halves(40)
    OmicsMLM(mdata, SMALL)
    (said,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    first = {name: part.obs_names[0] for name, part in mdata.mod.items()}
    assert said == (
        "OmicsMLM: no observation has two of 'rna', 'atac': if some are the same cells or samples, give them the same names "
        f"(rna: {first['rna']!r}, atac: {first['atac']!r}); otherwise nothing brings these together: pass links=, a table of "
        "genes and the peaks near them (omicsmlm.pp.link_peaks)."
    )
    caplog.clear()
    OmicsMLM(mdata.copy(), SMALL, links=links)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
