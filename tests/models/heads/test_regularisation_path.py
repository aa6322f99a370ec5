import pytest

from omicsmlm.models.heads import _regularisation_path
from omicsmlm.models.heads._regularisation_path import is_past_minimum


@pytest.mark.parametrize(
    ("losses", "is_past"),
    [
        ([], False),
        ([1.0, 2.0, 3.0], False),  # too few to tell
        ([1.0, 2.0, 3.0, 4.0], True),
        ([4.0, 3.0, 2.0, 1.0], False),
        ([3.0, 1.0, 2.0, 0.5], False),  # it falls again
        ([3.0, 1.0, 0.5, 2.0], False),  # it has risen once
        ([3.0, 0.5, 2.0, 1.0], True),  # twice above the minimum, though falling
        ([3.0, 1.0, 1.0, 1.0], False),  # as low as the minimum
    ],
)
def test_the_path_ends_once_two_strengths_in_a_row_were_worse_than_the_best(losses, is_past):
    assert is_past_minimum(losses) is is_past


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _regularisation_path.FEWEST_TRIED == 4
    assert _regularisation_path.PATIENCE == 2
