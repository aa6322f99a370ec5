import numpy as np
import pandas as pd
import pytest

from omicsmlm import pl
from omicsmlm._censored_times import log_rank
from tests.test_bad_input import refused


def rows(rng, n=120):
    group_n = np.where(np.arange(n) % 2, "high", "low")
    return rng.exponential(np.where(group_n == "high", 2, 6)), rng.random(n) < 0.7, group_n


def test_each_group_has_its_curve(rng, tmp_path):
    time_n, event_n, group_n = rows(rng)
    figure = pl.survival(time_n, event_n, group_n, unit="years", title="Toy", save=tmp_path / "survival.png")
    upper, lower = figure.axes
    names = [text.get_text().split(":")[0] for text in upper.get_legend().get_texts()]
    assert names == ["low", "high"]
    low = upper.lines[0]
    assert low.get_ydata()[0] == 1
    when = np.sort(time_n[(group_n == "low") & event_n])[0]
    assert low.get_ydata()[np.searchsorted(low.get_xdata(), when)] < 1
    p_value = log_rank(time_n, event_n, group_n).p_value
    assert f"log-rank p = {p_value:.2g}" in {text.get_text() for text in upper.texts} or p_value < 1e-4
    first = [text.get_text() for text in lower.texts if text.get_position()[0] == 0]
    assert first == ["60", "60"]
    assert upper.get_xlabel() == "time (years)"
    assert (tmp_path / "survival.png").stat().st_size > 5000


def test_bands_are_the_limits_of_greenwood():
    from omicsmlm.pl._survival import _bounds

    time_n, event_n = np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, True, False, False])
    low, high = _bounds(time_n, event_n, np.array([1, 0.75, 0.5]), np.array([0, 1.0, 2.0]))
    spread = 1.96 * np.sqrt(1 / 12 + 1 / 6) / abs(np.log(0.5))
    np.testing.assert_allclose([low[2], high[2]], [0.5 ** np.exp(spread), 0.5 ** np.exp(-spread)])
    assert low[0] == high[0] == 1


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (["a"] * 4, "group: expected two to 10 groups, got 1; divide"),
        (["a"] * 3, "survival: expected as many entries of each, got 3 of group for 4 times"),
    ],
)
def test_wrong_input(group, message):
    with refused(message):
        pl.survival([1, 2, 3, 4], [1, 1, 1, 1], group)


def test_observations_without_a_time_or_an_event_are_left_out_and_counted(caplog):
    time = pd.Series([1.0, 2.0, np.nan, 3.0, 4.0, 5.0])
    event = pd.Series([1, 0, 1, 1, None, 1], dtype=object)
    group = ["low", "low", "low", "high", "high", "high"]
    with caplog.at_level("WARNING", "omicsmlm"):
        figure = pl.survival(time, event, group, stratum=["a"] * 6)
    assert "survival: 2 of 6 observations have no time or no event, and are left out." in caplog.text
    _, labels = figure.axes[0].get_legend_handles_labels()
    assert labels == ["low: 1 of 2", "high: 2 of 2"]
