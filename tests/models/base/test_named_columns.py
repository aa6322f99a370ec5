import pytest

from omicsmlm.models.base import further_columns, listed_covariates
from tests.test_bad_input import refused


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((None, "Unknown", (), None), {}),
        (("type", "Unknown", (), None), {"labels": ["type", "Unknown"]}),
        ((None, "Unknown", "age", None), {"numbers": [["age"], None]}),
        ((None, "Unknown", ["age", "age", "bmi"], "size"), {"numbers": [["age", "bmi"], "size"]}),
    ],
)
def test_what_is_named_is_registered_and_nothing_else(given, expected):
    assert further_columns(*given) == expected


def test_the_batch_comes_first_and_once():
    assert listed_covariates("batch", ["donor", "batch"]) == ["batch", "donor"]
    assert listed_covariates(None, "donor") == [None, "donor"]
    with refused("continuous_covariate_keys: expected a name, or a list of names, got 3"):
        further_columns(None, "Unknown", 3, None)
