import numpy as np
import pytest

from omicsmlm.evaluation.baselines._measured import measured, role_of, roles
from tests.objects import multiome


@pytest.mark.parametrize(
    ("name", "role"),
    [("rna", "rna"), ("GEX", "rna"), ("gene_activity", "rna"), ("ATAC", "atac"), ("peaks", "atac"), ("prot", "protein"),
     ("adt", "protein"), ("antibody_capture", "protein"), ("methylation", None)],
)  # fmt: skip
def test_a_name_tells_the_role(name, role):
    assert role_of(name) == role


def test_roles_of_a_multiome():
    assert roles(multiome()) == {"rna": "rna", "atac": "atac", "protein": "prot"}


def test_values_come_in_the_order_of_the_object():
    mdata = multiome()
    part = measured(mdata, role="atac")
    own = dict(zip(mdata["atac"].obs_names, mdata["atac"].X.toarray(), strict=True))
    names = mdata.obs_names[part.indices_n]
    assert list(mdata["atac"].obs_names) != list(names)  # the modality has an order of its own
    for name, row in zip(names, part.values.toarray(), strict=True):
        np.testing.assert_array_equal(row, own[name])


def test_raw_counts_in_a_layer_are_read_as_models_read_them():
    mdata = multiome()
    counts = measured(mdata).values.toarray()
    mdata["rna"].layers["counts"] = mdata["rna"].X.copy()
    mdata["rna"].X = mdata["rna"].X * 0.3
    np.testing.assert_array_equal(measured(mdata).values.toarray(), counts)
    np.testing.assert_array_equal(measured(mdata["rna"]).values.toarray(), mdata["rna"].layers["counts"].toarray())
    del mdata["rna"].layers["counts"]
    np.testing.assert_array_equal(measured(mdata).values.toarray(), counts * np.float32(0.3))
