"""How a family meets an object: what is registered of it, and how others are matched to that."""

import pytest
from anndata import AnnData

from omicsmlm import OmicsMLM
from omicsmlm.data import OmicsManager
from omicsmlm.models.base import listed_covariates
from tests.objects import SMALL, multiome, rna, state_of


@pytest.mark.parametrize(
    ("batch_key", "others", "expected"),
    [
        (None, (), []),
        ("batch", (), ["batch"]),
        ("batch", ["donor", "sex"], ["batch", "donor", "sex"]),
        ("batch", "donor", ["batch", "donor"]),
        (None, ["donor"], [None, "donor"]),
        ("batch", ["batch", "donor", "donor"], ["batch", "donor"]),
    ],
)
def test_the_batch_comes_first(batch_key, others, expected):
    assert listed_covariates(batch_key, others) == expected


def test_several_columns_are_one_batch():
    (key,) = listed_covariates(["batch", "type", "batch"], ())
    assert key is not None
    adata = rna()
    OmicsMLM.setup_anndata(adata, batch_key=["batch", "type"])
    covariates = OmicsMLM(adata, SMALL).adata_manager.covariates
    assert list(covariates) == [key]
    assert len(covariates[key]) == 6, "two batches of three types"


def args_of(model):
    return model.registry["setup_args"]


def test_defaults_of_an_object_that_was_not_set_up():
    model = OmicsMLM(multiome(), SMALL, batch_key="batch")
    expected = {"modalities": ["rna", "atac", "prot"], "layers": None, "kinds": None, "covariate_keys": ["batch"]}
    assert args_of(model) == expected
    assert model.registry["setup_method_name"] == "setup_mudata"
    model = OmicsMLM(rna(), SMALL)
    assert args_of(model) == {"modalities": ["rna"], "layers": None, "kinds": None, "covariate_keys": []}
    assert model.registry["setup_method_name"] == "setup_anndata"


def test_what_a_setup_method_is_given_is_registered():
    mdata = multiome()
    mdata["rna"].layers["raw"] = mdata["rna"].X.copy()
    OmicsMLM.setup_mudata(
        mdata,
        modalities=["rna", "prot", "rna"],
        layers={"rna": "raw"},
        kinds={"prot": "counts"},
        categorical_covariate_keys=["type"],
    )
    model = OmicsMLM(mdata, SMALL)
    expected = {"layers": {"rna": "raw"}, "kinds": {"prot": "counts"}, "covariate_keys": [None, "type"]}
    assert args_of(model) == {"modalities": ["rna", "prot"], **expected}
    assert {name: state["kind"] for name, state in model.adata_manager.modalities.items()} == dict.fromkeys(
        ["rna", "prot"], "counts"
    )


def test_an_anndata_is_one_modality_with_a_name():
    adata = rna()
    adata.layers["raw"] = adata.X.copy()
    OmicsMLM.setup_anndata(adata, modalities="adt", layer="raw", kind="protein")
    model = OmicsMLM(adata, SMALL)
    expected = {"modalities": ["adt"], "layers": {"adt": "raw"}, "kinds": {"adt": "protein"}, "covariate_keys": []}
    assert args_of(model) == expected


def test_a_copy_is_registered_like_the_object():
    adata = rna()
    OmicsMLM.setup_anndata(adata, modalities="gex", batch_key="batch")
    copy = adata.copy()
    model = OmicsMLM(copy, SMALL)
    assert args_of(model)["modalities"] == ["gex"]
    assert model.adata is copy


def test_an_object_that_was_not_set_up_is_not_kept_by_the_class():
    """Its model keeps it; the class would keep it for good."""
    n = len(OmicsMLM._setup_adata_manager_store)
    model = OmicsMLM(rna(), SMALL)
    assert len(OmicsMLM._setup_adata_manager_store) == n
    assert isinstance(model.adata_manager, OmicsManager)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: OmicsMLM([1, 2]), "^data: expected an AnnData or MuData, got list; read the file with"),
        (
            lambda: OmicsMLM(rna(1)),
            "^data: expected at least 2 observations to train on, got 1; pass the data set, not",
        ),
        (lambda: OmicsMLM.setup_mudata(rna()), "^setup_mudata: expected a MuData, got an AnnData; call setup_anndata"),
        (
            lambda: OmicsMLM.setup_anndata(multiome()),
            "^setup_anndata: expected an AnnData, got a MuData; call setup_mud",
        ),
        (
            lambda: OmicsMLM.setup_mudata(multiome(), modalities=[]),
            "^modalities: expected at least one modality, got none",
        ),
        (
            lambda: OmicsMLM.setup_anndata(rna(), modalities="r.na"),
            "^modalities: expected names without a dot, got 'r.na'; rename them",
        ),
        (
            lambda: OmicsMLM.setup_mudata(multiome(), modalities=["rna"], layers={"atac": "x"}),
            r"^layers: expected names among \['rna'\], got 'atac'; name modalities that are registered",
        ),
        (
            lambda: OmicsMLM.setup_mudata(multiome(), modalities=["rna"], kinds={"atac": "counts"}),
            r"^kinds: expected names among \['rna'\], got 'atac'; name modalities",
        ),
    ],
)
def test_wrong_input_gets_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_batch_is_named_once():
    adata = rna()
    OmicsMLM.setup_anndata(adata, batch_key="batch")
    before = state_of(adata)
    found = "got 'batch' for an object that was set up already; name it in the setup method alone"
    with pytest.raises(ValueError, match=f"^batch_key: expected a batch that is named once, {found}"):
        OmicsMLM(adata, SMALL, batch_key="batch")
    assert state_of(adata) == before


@pytest.fixture(scope="module")
def model():
    return OmicsMLM(multiome(), SMALL)


def test_the_manager_of_an_object(model, tmp_path):
    assert model.manager_for(None) is model.adata_manager
    assert model.manager_for(model.adata) is model.adata_manager
    other = rna(10)
    manager = model.manager_for(other)
    assert manager is not model.adata_manager
    assert isinstance(other, AnnData)
    assert manager.adata.mod["rna"] is other
    model.save(tmp_path / "m")
    with pytest.raises(
        ValueError, match="^data: expected an object, got none, as the model was loaded without one; pass"
    ):
        OmicsMLM.load(tmp_path / "m").manager_for(None)


def test_a_modality_may_be_left_out_where_there_is_one(model):
    assert model._asked_modality("atac") == "atac"
    assert OmicsMLM(rna(), SMALL)._asked_modality(None) == "rna"
    for asked in (None, "x"):
        found = rf"got {asked!r}; name one that the model was trained on"
        with pytest.raises(ValueError, match=rf"^modality: expected one of \['rna', 'atac', 'prot'\], {found}"):
            model._asked_modality(asked)


@pytest.mark.parametrize("was_set_up", [False, True])
@pytest.mark.parametrize("step", ["_derive", "_initialize"])
def test_a_failed_construction_leaves_nothing(step, was_set_up, monkeypatch):
    adata = rna()
    if was_set_up:
        OmicsMLM.setup_anndata(adata, batch_key="batch")
    adata.uns["own"] = 3
    before, stores = dict(adata.uns), (OmicsMLM._setup_adata_manager_store, OmicsMLM._per_instance_manager_store)
    known = [set(store) for store in stores]

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(OmicsMLM, step, fail)
    with pytest.raises(ZeroDivisionError):
        OmicsMLM(adata, SMALL)
    monkeypatch.undo()
    assert dict(adata.uns) == before
    assert [set(store) for store in stores] == known
    assert OmicsMLM(adata, SMALL).adata is adata


def test_a_failed_query_leaves_nothing(monkeypatch):
    reference, query = OmicsMLM(rna(), SMALL, batch_key="batch"), rna(first=72)
    reference.train(1, progress_bar=False, accelerator="cpu", key_added=None)

    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(OmicsMLM, "_adopt", fail)
    with pytest.raises(ZeroDivisionError):
        OmicsMLM.load_query_data(query, reference)
    assert dict(query.uns) == {}


@pytest.mark.parametrize("config", [{}, {"n_latent": 16}, [], "small", 3, object()])
def test_hyper_parameters_are_those_of_the_family(config):
    adata = rna()
    with pytest.raises(ValueError, match="^config: expected an OmicsMLMConfig, got .*; pass OmicsMLMConfig"):
        OmicsMLM(adata, config)
    assert dict(adata.uns) == {}


@pytest.mark.parametrize("batch_key", [3, [3], b"batch", ["batch", None]])
def test_a_batch_is_named_by_text(batch_key):
    with pytest.raises(ValueError, match="^batch_key: expected a name, or a list of names, got .*; pass names as text"):
        OmicsMLM(rna(), SMALL, batch_key=batch_key)


@pytest.mark.parametrize("data", ["file.h5ad", 3, [1], None])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(ValueError, match="^data: expected an AnnData or MuData, got .*; read the file with"):
        OmicsMLM(data, SMALL)
