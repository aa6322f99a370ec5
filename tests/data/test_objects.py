"""What any object must be that is registered or embedded."""

import numpy as np
import pytest
from anndata import AnnData
from mudata import MuData

from tests.objects import manager_of, modality, multiome, rna


def test_groups_of_observations_are_no_modalities():
    groups = MuData({"donor1": rna(), "donor2": rna(first=72)}, axis=1)
    with pytest.raises(
        ValueError, match=r"^data: expected a MuData of modalities \(axis=0\), got axis=1: 'donor1'.*; pass anndata"
    ):
        manager_of(groups)
    with pytest.raises(ValueError, match="^data: expected a MuData of modalities"):
        manager_of(rna()).transfer_fields(groups)


def test_a_mudata_within_a_mudata_is_refused():
    with pytest.raises(ValueError, match="^inner: expected an AnnData, got a MuData in a MuData; make one MuData"):
        manager_of(MuData({"rna": rna(), "inner": multiome()}))


def test_names_that_several_observations_of_a_modality_have_are_refused():
    parts = {"rna": rna(), "prot": modality("protein")}
    parts["rna"].obs_names = ["cell001", *parts["rna"].obs_names[1:]]
    with pytest.raises(
        ValueError, match="^rna: expected distinct names of observations, got duplicates 'cell001'; modalities are"
    ):
        manager_of(MuData(parts))
    manager_of(parts["rna"])  # where nothing is joined, names do not matter


@pytest.mark.parametrize("axis", ["obs", "var"])
def test_numbers_are_no_names(axis):
    adata = rna()
    table = getattr(adata, axis)
    table.index = np.arange(len(table))
    said = (
        rf"^data: .{axis}_names: expected names as text, got numbers such as 0; turn them into text: .{axis}_names = "
    )
    with pytest.raises(ValueError, match=said):
        manager_of(adata)


def test_how_many_observations_have_which_modalities_is_logged(caplog):
    caplog.set_level("INFO", logger="omicsmlm")
    paired = manager_of(MuData({"rna": rna(), "prot": modality("protein", n=30, first=60)}))
    assert paired.unpaired == {}
    assert "Observations: 60 with rna, 18 with prot, 12 with rna and prot." in caplog.messages
    other = modality("protein")
    other.obs_names = [f"{name}-1" for name in other.obs_names]
    manager = manager_of(MuData({"rna": rna(), "prot": other}))
    assert manager.unpaired == {"rna": "cell000", "prot": "cell000-1"}
    caplog.clear()
    of_query = manager.transfer_fields(MuData({"rna": rna(), "prot": other}))
    assert of_query.unpaired == {}
    assert not caplog.messages  # a query is not asked for this, each time a getter reads it


@pytest.mark.parametrize("data", ["file.h5ad", np.ones((3, 3)), 3, [rna], AnnData, None])
def test_an_object_of_another_type_is_refused(data):
    with pytest.raises(
        ValueError, match="^data: expected an AnnData or MuData, got .*; read the file with anndata or mudata"
    ):
        manager_of(rna()).transfer_fields(data)


# ---- objects that changed, views, queries with more features -----------------------------------------------------------


def test_views_and_objects_of_nothing_are_refused():
    with pytest.raises(ValueError, match="^data: expected an object of its own, got a view of another; take a copy"):
        manager_of(rna()[:10])
    mdata = MuData({"rna": rna(), "prot": modality("protein")})
    view = mdata[:10]
    with pytest.raises(ValueError, match="expected an object of its own, got a view of another"):
        manager_of(view)
    with pytest.raises(ValueError, match="^data: expected at least one observation, got none; check the filter"):
        manager_of(rna()[:0].copy())


def test_one_modality_alone_has_no_pairing_to_log(caplog):
    caplog.set_level("INFO", logger="omicsmlm")
    manager_of(MuData({"rna": rna()}))
    assert not [message for message in caplog.messages if message.startswith("Observations")]
