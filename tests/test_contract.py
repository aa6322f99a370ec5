"""What every family promises, asked of each alike: a new family is a new line in ``FAMILIES``."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, TypeGuard

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData
from lightning.pytorch.callbacks import Callback
from mudata import MuData
from scipy import sparse

from omicsmlm import MOJO, IsoFormer, OmicsMLM, ScMBERT, TxFM
from omicsmlm._draws import Draws
from omicsmlm._types import Grid, View, obs_of
from omicsmlm.masking import keep_visible
from omicsmlm.models import OmicsModel
from tests.objects import (
    QUIET,
    SMALL,
    SMALL_ISOFORMER,
    SMALL_MOJO,
    SMALL_SCMBERT,
    SMALL_TXFM,
    bulk,
    draws_for,
    multiome,
    rna,
    state_of,
    transcripts,
)
from tests.toy_family import Toy, ToyConfig


class Family(NamedTuple):
    """A family with data that it takes."""

    model: type[OmicsModel]
    make: Callable[[], Any]
    """A small object with at most the features that the model uses and a column ``batch``."""
    config: Any


FAMILIES = {
    "OmicsMLM, several": Family(OmicsMLM, multiome, SMALL),
    "OmicsMLM, RNA": Family(OmicsMLM, rna, SMALL),
    "ScMBERT, several": Family(ScMBERT, multiome, SMALL_SCMBERT),
    "ScMBERT, RNA": Family(ScMBERT, rna, SMALL_SCMBERT),
    "MOJO": Family(MOJO, bulk, SMALL_MOJO),
    "TxFM": Family(TxFM, rna, SMALL_TXFM),
    "IsoFormer": Family(IsoFormer, transcripts, SMALL_ISOFORMER),
    "Toy, several": Family(Toy, multiome, ToyConfig()),
    "Toy, RNA": Family(Toy, rna, ToyConfig()),
}
FEATURES = {name: family for name, family in FAMILIES.items() if family.model is not IsoFormer}
"""Families that take values of named features; IsoFormer takes residues, and its own test asks the same of them."""
SEVERAL = {name: family for name, family in FAMILIES.items() if isinstance(family.make(), MuData)}

every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_family_trained = pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, id=name, marks=[pytest.mark.slow] if name.endswith(", RNA") else [])
        for name, family in FAMILIES.items()
    ],
)
"""For tests that train: of families that take several modalities, RNA alone is left to the slow tests."""
families_of_features = pytest.mark.parametrize("family", FEATURES.values(), ids=FEATURES)
families_of_several = pytest.mark.parametrize("family", SEVERAL.values(), ids=SEVERAL)


def new(family: Family, data: Any = None, **changes: Any) -> OmicsModel:
    return family.model(family.make() if data is None else data, replace(family.config, **changes), batch_key="batch")


@pytest.fixture(scope="module")
def trained():
    """A model of each family, trained once for three epochs; tests must not change it."""
    models: dict[tuple[int, int], OmicsModel] = {}

    def of(family: Family) -> OmicsModel:
        key = id(family.make), id(family.config)
        if key not in models:
            models[key] = new(family)
            models[key].train(3, **QUIET)
        return models[key]

    return of


@pytest.fixture(scope="module")
def embedded_untrained():
    """The embedding by an untrained model of each family, computed once."""
    found: dict[tuple[int, int], np.ndarray] = {}

    def of(family: Family) -> np.ndarray:
        key = id(family.make), id(family.config)
        if key not in found:
            found[key] = new(family).get_latent_representation()
        return found[key]

    return of


def weights(model: OmicsModel) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.module.state_dict().items()}


def same_weights(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor], tolerance: float = 0.0) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[k].float(), b[k].float(), 0, tolerance) for k in a)


def views_of(model: OmicsModel, data: Any = None) -> dict[str, View]:
    manager = model.manager_for(data)
    return model.parts.tokenizer(manager.create_torch_dataset()[list(range(manager.adata.n_obs))])


@torch.no_grad()
def encoded(model: OmicsModel, views: dict[str, View]) -> np.ndarray:
    return model.module.eval().encode(views).mean.numpy()


def masked(model: OmicsModel, views: dict[str, View]) -> dict[str, View]:
    """What is left of some views, always the same part."""
    return model.parts.masking(views, draws_for(views, 5)).inputs


def changed_where_masked(model: OmicsModel, views: dict[str, View]) -> dict[str, View]:
    """Other values wherever they are masked."""
    changed: dict[str, View] = {}
    tagged = {name: v._replace(values=1.0 + torch.arange(len(v.values))) for name, v in views.items() if not is_grid(v)}
    inputs = masked(model, views) if not tagged else masked(model, tagged)
    for name, view in views.items():
        if is_grid(view):
            is_masked = view.visible & ~inputs[name].visible
            values = torch.where(is_masked, view.values * 3 + 2, view.values)
            changed[name] = Grid(values, view.visible, view.total + (values - view.values).sum(1))
        else:
            is_masked = ~torch.isin(tagged[name].values, inputs[name].values)
            changed[name] = view._replace(values=torch.where(is_masked, view.values * 3 + 2, view.values))
        assert is_masked.any()
    return changed


def is_grid(view: View) -> TypeGuard[Grid]:
    return isinstance(view, Grid)


def with_features(model: OmicsModel, views: dict[str, View], kept_g: np.ndarray) -> dict[str, View]:
    """The first modality as if the object lacked some of its features."""
    name, view = next(iter(views.items()))
    if isinstance(model, MOJO):  # its genes stand in an order of their own
        vocabulary = list(model.adata_manager.modalities[name]["vocabulary"])
        kept_g = kept_g[[vocabulary.index(gene) for gene in model.derived.genes]]
    kept = torch.from_numpy(kept_g)
    if isinstance(
        model, TxFM
    ):  # its values are relative to what is measured of an observation, and to the fraction that this is
        counts = keep_visible(view, view.visible & kept).values.expm1()
        library = model.config.library_size * model.parts.tokenizer.get_buffer("fraction_g")[kept].sum()
        values = (counts * (library / counts.sum(1, keepdim=True))).log1p()
        return {**views, name: Grid(values, view.visible & kept, values.sum(1))}
    if is_grid(view):
        assert view.visible.shape[1] == len(kept), "the family looks at every feature of its small object"
        return {**views, name: keep_visible(view, view.visible & kept)}
    kept_t = kept[view.ids]
    length_n = torch.bincount(obs_of(view)[kept_t], minlength=len(view.present))
    fraction = model.parts.tokenizer.get_buffer("profile_0")[kept].sum()
    found = view._replace(
        ids=view.ids[kept_t],
        values=view.values[kept_t],
        offsets=torch.cat([torch.zeros(1, dtype=torch.int64), length_n.cumsum(0)]),
        covered=view.covered * fraction,
        measured=kept,
    )
    return {**views, name: found}


def without_modality(view: View) -> View:
    """A modality as if no observation had it."""
    if is_grid(view):
        return keep_visible(view, torch.zeros_like(view.visible))
    nothing = {"ids": view.ids[:0], "values": view.values[:0], "offsets": torch.zeros_like(view.offsets)}
    return view._replace(present=torch.zeros_like(view.present), **nothing)


def first_modality(data: Any) -> AnnData:
    return next(iter(data.mod.values())) if isinstance(data, MuData) else data


def with_modality(data: Any, part: AnnData) -> Any:
    """The same object with another first modality."""
    if isinstance(data, AnnData):
        return part
    name = next(iter(data.mod))
    out = MuData({m: part if m == name else other.copy() for m, other in data.mod.items()})
    out.obs["batch"] = data.obs["batch"].reindex(out.obs_names)
    return out


# ---- the embedding ------------------------------------------------------------------------------------------------


@every_family
def test_training_writes_an_embedding_row_for_row(family, trained):
    model = trained(family)
    written = model.adata.obsm[family.model.embedding_key]
    assert written.shape == (model.adata.n_obs, model.module.n_latent)
    assert written.dtype == np.float32
    assert np.isfinite(written).all()
    assert np.unique(written.round(5), axis=0).shape[0] == model.adata.n_obs, "observations differ"
    np.testing.assert_array_equal(written, model.get_latent_representation())


@every_family
def test_getters_only_return(family, trained):
    model = trained(family)
    before = state_of(model.adata)
    model.get_latent_representation()
    assert state_of(model.adata) == before


@every_family
def test_an_embedding_is_the_same_each_time(family, trained):
    model = trained(family)
    first = model.get_latent_representation()
    model.module.train()  # as a training of one's own would leave it
    np.testing.assert_array_equal(model.get_latent_representation(), first)


@every_family
@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_does_not_matter(family, trained, batch_size):
    model = trained(family)
    chosen = np.arange(0, model.adata.n_obs, 6 if batch_size == 1 else 1)
    found = model.get_latent_representation(indices=chosen, batch_size=batch_size)
    np.testing.assert_allclose(found, model.get_latent_representation()[chosen], atol=1e-5)


@every_family
def test_order_and_choice_of_observations_do_not_matter(family, trained):
    model = trained(family)
    whole = model.get_latent_representation()
    chosen = np.random.default_rng(0).permutation(len(whole))[:20]
    np.testing.assert_allclose(model.get_latent_representation(indices=chosen), whole[chosen], atol=1e-5)
    np.testing.assert_allclose(model.get_latent_representation(indices=chosen.tolist()), whole[chosen], atol=1e-5)
    np.testing.assert_allclose(model.get_latent_representation(model.adata[chosen].copy()), whole[chosen], atol=1e-5)
    mask = np.arange(len(whole)) % 3 == 0
    np.testing.assert_allclose(model.get_latent_representation(indices=mask), whole[mask], atol=1e-5)
    assert model.get_latent_representation(indices=[]).shape == (0, model.module.n_latent)


@every_family
def test_an_untrained_model_embeds_too(family):
    model = new(family)
    assert np.isfinite(model.get_latent_representation()).all()
    assert not model.is_trained


# ---- seeds --------------------------------------------------------------------------------------------------------


@every_family_trained
def test_the_same_seed_gives_the_same_numbers_and_another_one_others(family, trained):
    first = trained(family)
    torch.manual_seed(99)
    again, other = new(family), new(family, seed=7)
    again.train(3, **QUIET)
    other.train(1, **QUIET)
    assert same_weights(weights(first), weights(again))
    np.testing.assert_array_equal(first.get_latent_representation(), again.get_latent_representation())
    assert {name: h[name].tolist() for name, h in first.history.items()} == {
        name: h[name].tolist() for name, h in again.history.items()
    }
    assert not np.allclose(first.get_latent_representation(), other.get_latent_representation(), atol=1e-3)


@every_family_trained
def test_global_random_states_are_left_alone(family):
    def states() -> tuple[Any, ...]:
        legacy = np.random.get_state()  # noqa: NPY002
        return torch.get_rng_state().tolist(), legacy[1].tolist(), legacy[2], random.getstate()

    data = family.make()
    before = states()
    model = new(family, data)
    assert states() == before, "construction"
    model.train(1, **QUIET)
    assert states() == before, "training"
    model.get_latent_representation()
    assert states() == before, "embedding"


# ---- nothing leaks ------------------------------------------------------------------------------------------------


@families_of_features
def test_a_masked_value_cannot_leak(family, trained):
    model = trained(family)
    views = views_of(model)
    changed = changed_where_masked(model, views)
    inputs, others = masked(model, views), masked(model, changed)
    np.testing.assert_allclose(encoded(model, others), encoded(model, inputs), atol=1e-6)
    assert not np.allclose(encoded(model, changed), encoded(model, views), atol=1e-2), "visible values do matter"


@families_of_features
def test_the_values_reach_the_module_through_the_inputs_alone(family, trained):
    model = trained(family)
    batch = model.adata_manager.create_torch_dataset()[[0, 1, 2, 3]]
    inputs = model.parts.masking(model.parts.tokenizer(batch), Draws(5, batch.indices)).inputs
    tokens = {name: t._replace(values=t.values * 3 + 1) for name, t in batch.tokens.items()}
    with torch.no_grad():
        one, other = (model.module.eval()(inputs, b) for b in (batch, batch._replace(tokens=tokens)))
    leaves = [torch.utils._pytree.tree_leaves(outputs) for outputs in (one, other)]
    for a, b in zip(*leaves, strict=True):
        assert a is b is None or (a == b if isinstance(a, str) else torch.equal(a, b))


@every_family
def test_the_embedding_does_not_know_the_batch(family, trained):
    model = trained(family)
    query = family.make()
    query.obs["batch"] = query.obs["batch"].cat.rename_categories(lambda name: f"new {name}")
    np.testing.assert_array_equal(model.get_latent_representation(query), model.get_latent_representation())
    del query.obs["batch"]
    np.testing.assert_array_equal(model.get_latent_representation(query), model.get_latent_representation())


# ---- training -----------------------------------------------------------------------------------------------------


class Spy(Callback):
    """Notes in which mode the module trains, and stops a training at a given step."""

    def __init__(self, *, fails_at: tuple[int, int] | None = None) -> None:
        self.modes: list[bool] = []
        self.indices: list[list[int]] = []
        self.fails_at = fails_at

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.indices.append(batch.indices.tolist())
        self.modes.append(all(part.training for part in pl_module.module.modules()))
        if self.fails_at == (trainer.current_epoch, batch_idx):
            raise RuntimeError("the machine was switched off")


@every_family_trained
def test_a_second_training_really_trains_on_the_same_observations(family, trained):
    model = new(family)
    spies = [Spy(), Spy()]
    history = []
    before = [weights(model)]
    for spy in spies:
        model.train(2, callbacks=[spy], **QUIET)
        before.append(weights(model))
        history.append({name: frame[name].tolist() for name, frame in model.history.items()})
    assert not same_weights(before[0], before[1], 1e-4)
    assert not same_weights(before[1], before[2], 1e-4)
    for spy in spies:
        assert len(spy.modes) == 2 * 3
        assert all(spy.modes)
        assert spy.indices[:3] != spy.indices[3:], "each epoch has an order of its own"
    assert spies[0].indices != spies[1].indices, "and so has each training"
    assert not model.module.training
    for name, values in history[1].items():
        assert len(values) == 4
        assert values[:2] == history[0][name]
        assert np.isfinite(values).all()
    assert history[1]["train_loss"][2:] != history[1]["train_loss"][:2]
    np.testing.assert_array_equal(model.validation_indices, trained(family).validation_indices)


@every_family_trained
def test_the_loss_falls(family):
    model = new(family)
    batch = model.adata_manager.create_torch_dataset()[list(range(model.adata.n_obs))]

    @torch.no_grad()
    def terms() -> dict[str, float]:
        """The terms of the loss of all observations, always under the same masking."""
        masked = model.parts.masking(model.parts.tokenizer(batch), Draws(99, batch.indices))
        found = model.parts.objective(model.module.eval()(masked.inputs, batch), masked, batch, 1.0)
        return {name: float(value) for name, value in found.items()}

    before = {name: value for name, value in terms().items() if value}  # some terms begin later
    model.train(8, train_size=1.0, **QUIET)
    after = terms()
    fall = sum(before.values()) - sum(after[name] for name in before)
    assert fall > 0.005 * abs(sum(before.values()))


@every_family_trained
def test_a_resumed_training_is_as_if_never_interrupted(family, trained, tmp_path):
    """It is switched off between two epochs, goes on, and is switched off again, in the middle of one."""
    whole, resume_from = trained(family), None
    for fails_at, n_steps in (((1, 0), 3 + 1), ((2, 1), 3 + 2)):
        broken, spy = new(family), Spy(fails_at=fails_at)
        with pytest.raises(RuntimeError, match="switched off"):
            broken.train(3, checkpoint_dir=tmp_path, resume_from=resume_from, callbacks=[spy], **QUIET)
        assert len(spy.modes) == n_steps, "an epoch, and what there was of the next one"
        assert not broken.module.training, "an interrupted model still embeds"
        resume_from = tmp_path
    resumed, spy = new(family), Spy()
    resumed.train(3, checkpoint_dir=tmp_path, resume_from=tmp_path, callbacks=spy, **QUIET)
    assert len(spy.modes) == 3, "only the epoch that was left is trained"
    assert same_weights(weights(whole), weights(resumed), 1e-6)
    for name, frame in whole.history.items():
        np.testing.assert_allclose(resumed.history[name][name], frame[name], atol=1e-6)
    np.testing.assert_allclose(
        resumed.get_latent_representation(), whole.get_latent_representation(), atol=1e-5, rtol=1e-5
    )


@every_family_trained
def test_the_users_object_is_left_as_it_was(family):
    data = family.make()
    before = state_of(data)
    model = new(family, data)
    model.train(1, key_added=None, **QUIET)
    model.get_latent_representation()
    assert state_of(data) == before
    assert set(data.uns) == {"_scvi_uuid", "_scvi_manager_uuid"}
    model.train(1, key_added="X_mine", **QUIET)
    assert set(state_of(data)) - set(before) == {"obsm/X_mine"}
    assert {place: held for place, held in state_of(data).items() if place != "obsm/X_mine"} == before
    query = family.make()
    model.get_latent_representation(query)
    assert state_of(query) == before


@every_family
def test_a_tenth_of_the_observations_is_held_out(family, trained):
    model = trained(family)
    learned, held_out = model.train_indices, model.validation_indices
    assert len(held_out) == round(0.1 * model.adata.n_obs)
    assert sorted([*learned, *held_out]) == list(range(model.adata.n_obs))


@every_family_trained
def test_without_held_out_observations_it_trains_too(family):
    model = new(family)
    model.train(2, train_size=1.0, **QUIET)
    assert "validation_loss" not in model.history
    assert len(model.history["train_loss"]) == 2


# ---- saving and loading -------------------------------------------------------------------------------------------


@every_family
def test_a_saved_model_embeds_alike(family, trained, tmp_path):
    model = trained(family)
    model.save(tmp_path / "model")
    expected = model.get_latent_representation()
    alone = family.model.load(tmp_path / "model")
    assert alone.config == model.config
    assert alone.is_trained
    assert same_weights(weights(alone), weights(model))
    np.testing.assert_array_equal(alone.get_latent_representation(family.make()), expected)
    assert {name: frame.to_dict() for name, frame in alone.history.items()} == {
        name: frame.to_dict() for name, frame in model.history.items()
    }
    with_data = family.model.load(tmp_path / "model", family.make())
    np.testing.assert_array_equal(with_data.get_latent_representation(), expected)


@every_family_trained
def test_a_loaded_model_trains_on_as_the_original_would(family, tmp_path):
    model = new(family)
    model.train(1, **QUIET)
    model.save(tmp_path / "model")
    data = family.make()
    loaded = family.model.load(tmp_path / "model", data)
    for one in (model, loaded):
        one.train(1, **QUIET)
    assert same_weights(weights(loaded), weights(model), 1e-6)
    assert len(loaded.history["train_loss"]) == 2
    np.testing.assert_array_equal(data.obsm[family.model.embedding_key], loaded.get_latent_representation())


@every_family
def test_a_loaded_model_can_be_saved_again(family, trained, tmp_path):
    trained(family).save(tmp_path / "first")
    family.model.load(tmp_path / "first", family.make()).save(tmp_path / "second")
    family.model.load(tmp_path / "second").save(tmp_path / "third")
    third = family.model.load(tmp_path / "third", family.make())
    np.testing.assert_array_equal(third.get_latent_representation(), trained(family).get_latent_representation())


# ---- features of a query ------------------------------------------------------------------------------------------


@families_of_features
def test_features_are_matched_by_name(family, trained, rng):
    model = trained(family)
    data = family.make()
    part = first_modality(data)
    permuted = part[:, rng.permutation(part.n_vars)].copy()
    np.testing.assert_allclose(
        model.get_latent_representation(with_modality(data, permuted)), model.get_latent_representation(), atol=1e-5
    )
    unknown = AnnData(permuted.X[:, :6] * 50, obs=permuted.obs, var=pd.DataFrame(index=[f"new{j}" for j in range(6)]))
    wider = anndata.concat([unknown, permuted], axis=1, merge="first")
    assert wider.n_vars == part.n_vars + 6
    np.testing.assert_allclose(
        model.get_latent_representation(with_modality(data, wider)), model.get_latent_representation(), atol=1e-5
    )


@families_of_features
def test_missing_features_are_masked_features(family, trained):
    model = trained(family)
    data = family.make()
    part = first_modality(data)
    kept = np.arange(part.n_vars) % 4 != 1
    found = model.get_latent_representation(with_modality(data, part[:, kept].copy()))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, encoded(model, with_features(model, views_of(model), kept)), atol=1e-5)
    assert not np.allclose(found, model.get_latent_representation(), atol=1e-2), "they were of use"


@families_of_several
def test_an_absent_modality_is_a_masked_one(family, trained):
    model = trained(family)
    data = family.make()
    whole = views_of(model)
    for name, part in data.mod.items():
        views = {other: view if other == name else without_modality(view) for other, view in whole.items()}
        expected = pd.DataFrame(encoded(model, views), index=model.adata.obs_names).loc[part.obs_names]
        alone = model.get_latent_representation(MuData({name: part.copy()}))
        np.testing.assert_allclose(alone, expected, atol=1e-5)
        np.testing.assert_allclose(model.get_latent_representation(part.copy()), expected, atol=1e-5)


@families_of_several
def test_a_saved_model_takes_an_anndata_of_one_modality_and_trains_on_it(family, trained, tmp_path):
    trained(family).save(tmp_path / "model")
    part = first_modality(family.make()).copy()
    part.obs["batch"] = "b0"
    before = state_of(part)
    model = family.model.load(tmp_path / "model", part)
    model.train(1, **QUIET)
    assert part.obsm[family.model.embedding_key].shape == (part.n_obs, model.module.n_latent)
    assert set(state_of(part)) - set(before) == {f"obsm/{family.model.embedding_key}"}


@every_family_trained
def test_a_batch_that_training_did_not_see_can_be_trained_on(family, trained, tmp_path):
    trained(family).save(tmp_path / "model")
    query = family.make()
    query.obs["batch"] = "new"
    model = family.model.load(tmp_path / "model", query)
    model.train(1, **QUIET)
    assert np.isfinite(model.get_latent_representation()).all()
    assert all(np.isfinite(frame[name]).all() for name, frame in model.history.items())


@every_family
def test_a_query_embeds_as_its_reference_does_and_leaves_it_alone(family, trained):
    reference = trained(family)
    expected, before = reference.get_latent_representation(), weights(reference)
    query = family.make()
    query.obs["batch"] = query.obs["batch"].cat.rename_categories(lambda name: f"new {name}")
    model = family.model.load_query_data(query, reference)
    np.testing.assert_array_equal(model.get_latent_representation(), expected)
    model.train(1, **QUIET)
    assert query.obsm[family.model.embedding_key].shape == expected.shape
    assert same_weights(weights(reference), before)
    with pytest.raises(ValueError, match="reference: expected a trained"):
        family.model.load_query_data(family.make(), new(family))


# ---- observations of zeros and forms of matrices -----------------------------------------------------------------------------------


@families_of_features
def test_an_observation_of_zeros_gets_an_embedding_and_trains(family):
    data = family.make()
    for part in data.mod.values() if isinstance(data, MuData) else [data]:
        x = part.X.toarray()
        x[[0, 5]] = 0
        part.X = sparse.csr_matrix(x)
    model = new(family, data)
    model.train(1, **QUIET)
    assert np.isfinite(data.obsm[family.model.embedding_key]).all()
    assert np.isfinite(model.history["train_loss"]["train_loss"]).all()


FORMS = {
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": lambda x: x.toarray(),
    "dense by columns": lambda x: np.asfortranarray(x.toarray()),
    "int64": lambda x: x.astype(np.int64),
    "float64": lambda x: x.astype(np.float64),
}


def each_form_of_some_families() -> list[Any]:
    """Return all families with all forms; by turns, two thirds of those that are alike to the reader are slow tests."""
    return [
        pytest.param(family, form, id=f"{name}-{form}", marks=[pytest.mark.slow] if is_slow else [])
        for i, (name, family) in enumerate(FEATURES.items())
        for j, form in enumerate(FORMS)
        for is_slow in [name not in ("OmicsMLM, several", "MOJO") and (i + j) % 3 != 0]
    ]


@pytest.mark.parametrize(("family", "form"), each_form_of_some_families())
def test_the_form_of_a_matrix_does_not_matter(family, trained, embedded_untrained, form):
    model = trained(family)
    data = family.make()
    for part in data.mod.values() if isinstance(data, MuData) else [data]:
        if form == "int64" and not (part.X.data == part.X.data.round()).all():
            pytest.skip("values that are not whole numbers")
        part.X = FORMS[form](part.X)
    np.testing.assert_allclose(model.get_latent_representation(data), model.get_latent_representation(), atol=1e-5)
    fresh = new(family, data)
    np.testing.assert_allclose(fresh.get_latent_representation(), embedded_untrained(family), atol=1e-4, rtol=1e-4)


@families_of_features
@pytest.mark.parametrize("dense", [False, True])
def test_a_file_gives_the_same_embedding_as_memory(family, trained, embedded_untrained, tmp_path, dense):
    data = family.make()
    for part in data.mod.values() if isinstance(data, MuData) else [data]:
        part.X = part.X.toarray() if dense else part.X
    if isinstance(data, MuData):
        data.write(tmp_path / "data.h5mu")
        backed = mudata.read_h5mu(tmp_path / "data.h5mu", backed=True)
    else:
        data.write(tmp_path / "data.h5ad")
        backed = anndata.read_h5ad(tmp_path / "data.h5ad", backed="r")
    assert backed.isbacked
    model = trained(family)
    np.testing.assert_allclose(model.get_latent_representation(backed), model.get_latent_representation(), atol=1e-5)
    fresh = new(family, backed)
    np.testing.assert_allclose(fresh.get_latent_representation(), embedded_untrained(family), atol=1e-4, rtol=1e-4)
    if dense:
        return  # once it is read, it is trained on alike
    fresh.train(3, **QUIET)
    np.testing.assert_allclose(
        backed.obsm[family.model.embedding_key], model.get_latent_representation(), atol=1e-4, rtol=1e-3
    )
