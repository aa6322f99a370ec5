"""All that scvi-tools' base class brings works, or says in one sentence what to use; nothing reads a pickle."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from scvi.model.base import BaseModelClass

from omicsmlm import IsoFormer, OmicsMLM
from omicsmlm.models.base import summary
from tests.objects import QUIET, SMALL, SMALL_ISOFORMER, multiome, rna, transcripts

OURS = {"get_latent_representation", "load", "save", "setup_anndata", "setup_mudata", "train"}
"""Public names of scvi-tools' base class that the contract test and others are about."""
ATTRIBUTES = {
    "adata", "adata_manager", "device", "get_normalized_function_name", "history", "is_trained", "registry", "run_id",
    "run_name", "summary_string", "test_indices", "train_indices", "validation_indices",
}  # fmt: skip
SENTENCES = {
    "convert_legacy_save": "expected a saved OmicsMLM, got files of .*; pass the directory to load()",
    "setup_annbatch": "expected setup_anndata or setup_mudata, got .*; pass the paths to omicsmlm.datasets.open_files",
    "get_normalized_expression": "expected a method of this family, got .*; call impute(modality=…)",
    "differential_abundance": 'expected a method of this family, got .*; pass .obsm["X_omics"] to a test',
}
OF_OTHERS = {
    "differential_expression": "expected a method of this family, got .*; call omicsmlm.evaluation.differential_features",
    "get_reconstruction_error": 'expected a method of this family, got .*; read model.history["validation_loss"]',
    "prepare_query_anndata": "expected a query as it is, got .*; pass it to load_query_data(query, reference)",
    "prepare_query_mudata": "expected a query as it is, got .*; pass it to load_query_data(query, reference)",
}
"""Names that users of scvi-tools type, which its base class does not have."""
KEY = "modality_rna"


@pytest.fixture(scope="module")
def model():
    made = OmicsMLM(multiome(), SMALL, batch_key="batch")
    made.train(1, **QUIET)
    return made


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("inherited") / "model"
    model.save(path)
    return path


@pytest.fixture
def alone(folder):
    return OmicsMLM.load(folder)


WORK = {
    "data_registry": lambda m: sparse.issparse(m.data_registry(KEY)),
    "get_from_registry": lambda m: sparse.issparse(m.get_from_registry(m.adata, KEY)),
    "get_anndata_manager": lambda m: m.get_anndata_manager(m.adata) is m.adata_manager,
    "get_setup_arg": lambda m: m.get_setup_arg("modalities") == ["rna", "atac", "prot"],
    "get_state_registry": lambda m: m.get_state_registry(KEY)["kind"] == "counts",
    "get_var_names": lambda m: (
        {name: len(own) for name, own in m.get_var_names().items()} == {"rna": 30, "atac": 40, "prot": 8}
    ),
    "to_device": lambda m: m.to_device("cpu") is None,
    "transfer_fields": lambda m: m.transfer_fields(rna()).adata.mod["rna"].n_obs == 72,
    "register_manager": lambda m: m.register_manager(m.adata_manager) is None,
    "deregister_manager": lambda m: m.deregister_manager() is None,
    "update_setup_method_args": lambda m: m.update_setup_method_args({}) is None,
    "view_anndata_setup": lambda m: m.view_anndata_setup() is None,
    "view_registry": lambda m: m.view_registry() is None,
    "view_setup_method_args": lambda m: m.view_setup_method_args() is None,
}
NEED_AN_OBJECT = {"data_registry", "get_from_registry", "view_anndata_setup"}
NOTHING_ALONE = {"get_anndata_manager", "register_manager"}
SAVED = {"load_registry", "view_setup_args"}


def test_every_inherited_name_is_looked_at():
    public = {name for name in dir(BaseModelClass) if not name.startswith("_")}
    assert public == ATTRIBUTES | set(SENTENCES) | set(WORK) | SAVED | public & OURS


@pytest.mark.parametrize("name", sorted(WORK))
def test_it_works(name, model):
    assert WORK[name](model)
    assert model.get_latent_representation().shape == (72, 8), "the model goes on"


@pytest.mark.parametrize("name", sorted(set(WORK) - NOTHING_ALONE - NEED_AN_OBJECT))
def test_it_works_of_a_model_that_was_loaded_alone(name, alone):
    assert WORK[name](alone)


@pytest.mark.parametrize("name", sorted(NEED_AN_OBJECT))
def test_a_model_that_was_loaded_alone_asks_for_an_object(name, alone):
    with pytest.raises(
        ValueError, match="^data: expected an object, got none, as the model was loaded without one; pass"
    ):
        WORK[name](alone)


@pytest.mark.parametrize("name", sorted(ATTRIBUTES))
def test_attributes_can_be_read(name, model, alone):
    getattr(model, name), getattr(alone, name)


@pytest.mark.parametrize(("name", "sentence"), SENTENCES.items())
def test_what_does_not_work_says_what_to_use(name, sentence, model):
    pattern = sentence.replace("()", r"\(\)").replace("(m", r"\(m").replace("…)", r"…\)").replace("[", r"\[")
    with pytest.raises(ValueError, match=f"^{name}: {pattern}"):
        getattr(model, name)("x", transform_batch=3)


def test_the_values_of_the_registry_are_those_of_the_object(model):
    other = rna(seed=3)
    found = model.get_from_registry(other, KEY)
    np.testing.assert_array_equal(found.toarray(), other.X.toarray())
    np.testing.assert_array_equal(model.data_registry(KEY).toarray(), model.adata.mod["rna"].X.toarray())
    assert len(model.data_registry("covariates")) == 72
    with pytest.raises(
        ValueError, match=r"^registry_key: expected one of .*'modality_rna'\], got 'X'; pass one of these"
    ):
        model.data_registry("X")


def test_an_object_that_is_set_is_embedded(model, alone):
    expected = model.get_latent_representation()
    alone.adata = multiome()
    np.testing.assert_array_equal(alone.get_latent_representation(), expected)


def test_the_registry_of_a_saved_model_is_read_without_it(model, folder, capsys):
    registry = OmicsMLM.load_registry(folder)
    assert registry["setup_args"]["covariate_keys"] == ["batch"]
    assert registry["field_registries"].keys() == model.registry["field_registries"].keys()
    OmicsMLM.view_setup_args(folder)
    shown = capsys.readouterr().out
    assert "covariate_keys" in shown
    assert "OmicsMLM" in shown


class Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("read", [OmicsMLM.load, OmicsMLM.load_registry, OmicsMLM.view_setup_args])
def test_no_pickle_is_read(read, whole, model, tmp_path):
    if whole:
        model.save(tmp_path / "m")
    else:
        (tmp_path / "m").mkdir()
    bomb = Bomb(tmp_path / "exploded")
    torch.save({"attr_dict": bomb, "model_state_dict": {}, "var_names": []}, tmp_path / "m" / "model.pt")
    if whole:
        read(tmp_path / "m")
    else:
        with pytest.raises(ValueError, match=r"^load .*: expected the files 'weights.safetensors', .*; check the path"):
            read(tmp_path / "m")
    assert not bomb.path.exists()
    pickle.loads(pickle.dumps(bomb))
    assert bomb.path.exists(), "it would have exploded"


def test_a_changed_registry_is_not_shown(model, tmp_path):
    model.save(tmp_path / "m")
    file = tmp_path / "m" / "registry.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_name": "Other"}))
    with pytest.raises(ValueError, match="^load: expected the registry.json that was saved, got a file that has been"):
        OmicsMLM.load_registry(tmp_path / "m")


def test_the_object_is_saved_by_itself(model, tmp_path):
    with pytest.raises(ValueError, match="^save_anndata: expected False, got True; write the object by itself, with"):
        model.save(tmp_path / "m", save_anndata=True)
    assert not list(tmp_path.iterdir())


def test_a_model_shows_what_it_is(model, alone):
    lines = [
        "OmicsMLM",
        "  data: 72 observations",
        "  modalities: rna (30 features, counts), atac (40 features, accessibility), prot (8 features, protein)",
        "  batches: 2 of 'batch'",
        '  embedding: 8 dimensions, for .obsm["X_omics"]',
        "  trained: yes",
    ]
    assert repr(model) == str(model) == model.summary_string == "\n".join(lines)
    lines[1] = "  data: none; pass adata=… to load()"
    assert repr(alone) == "\n".join(lines)


def test_sequences_and_further_covariates_are_shown():
    model = IsoFormer(transcripts(), SMALL_ISOFORMER)
    assert "  sequences: dna, protein\n  batches: none\n" in repr(model)
    assert repr(model).endswith("trained: no")
    adata = rna()
    OmicsMLM.setup_anndata(adata, categorical_covariate_keys=["type"])
    assert "  batches: none\n  further covariates: 'type' (3 categories)\n" in repr(OmicsMLM(adata, SMALL))


def test_a_summary_is_a_title_and_entries():
    assert summary("A", {}) == "A"
    assert summary("A", {"x": "1", "y": "2"}) == "A\n  x: 1\n  y: 2"


@pytest.mark.parametrize("name", OF_OTHERS)
def test_names_of_other_models_say_what_to_use(model, name):
    with pytest.raises(ValueError, match=f"^{name}: {re.escape(OF_OTHERS[name]).replace(re.escape('.*'), '.*')}"):
        getattr(model, name)(rna())
