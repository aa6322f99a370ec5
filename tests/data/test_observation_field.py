"""What scvi-tools asks of fields that register a property of observations."""

import pytest

from omicsmlm.data import CovariatesField, LabelsField, NumbersField, SequenceField, VectorField
from omicsmlm.data._observation_field import ColumnField


@pytest.mark.parametrize(
    ("field", "registry_key", "attr_name", "attr_key"),
    [
        (CovariatesField(["batch"]), "covariates", "obs", None),
        (LabelsField("type", "Unknown"), "labels", "obs", None),
        (NumbersField(["age"], "depth"), "numbers", "obs", None),
        (SequenceField("dna", "promoter", "nucleotide"), "sequence_dna", "obs", "promoter"),
        (VectorField("image", "X_image"), "vector_image", "obsm", "X_image"),
    ],
)
def test_a_field_says_where_its_values_are_is_never_empty_and_has_no_table(field, registry_key, attr_name, attr_key):
    assert (field.registry_key, field.attr_name, field.attr_key) == (registry_key, attr_name, attr_key)
    assert not field.is_empty
    assert field.view_state_registry({}) is None


def test_a_field_of_columns_lacks_what_it_registers():
    with pytest.raises(TypeError, match="abstract"):
        ColumnField()
