import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from omicsmlm.evaluation import probe, probe_predictions


@pytest.fixture
def blobs(rng):
    """An embedding of three overlapping classes of unlike sizes, and groups."""
    label = np.repeat(["a", "b", "c"], [60, 40, 20])
    x = rng.normal(size=(120, 4)) + 1.5 * np.eye(3, 4)[np.repeat([0, 1, 2], [60, 40, 20])]
    x[:, 3] *= 100  # a large noise axis: standardisation matters to the linear probe and its lack to k-NN
    return x, label, rng.choice(["g1", "g2", "g3"], 120)


def test_k_nn_is_the_vote_of_the_nearest_training_rows(blobs):
    x, label, groups = blobs
    train = groups != "g2"
    guess = []
    for row in x[~train]:
        near = label[train][np.argsort(((x[train] - row) ** 2).sum(1))[:15]]
        names, votes = np.unique(near, return_counts=True)
        guess.append(names[votes.argmax()])
    table = probe(x, label, groups)
    assert table.loc[("k-NN", "g2"), "accuracy"] == pytest.approx(np.mean(np.array(guess) == label[~train]))
    assert table.loc[("k-NN", "g2"), "n_test"] == (~train).sum()


def test_linear_is_a_standardised_balanced_logistic_regression(blobs):
    from scipy.optimize import minimize

    x, label, groups = blobs
    train = groups != "g1"
    z = (x - x[train].mean(0)) / x[train].std(0)
    names, y = np.unique(label, return_inverse=True)
    weight = (len(y[train]) / (3 * np.bincount(y[train])))[y[train]]

    def loss(flat):
        w, b = flat[:12].reshape(4, 3), flat[12:]
        logits = z[train] @ w + b
        nll = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(train.sum()), y[train]]
        return 0.1 * (weight * nll).sum() + 0.5 * (w**2).sum()

    best = minimize(loss, np.zeros(15), method="BFGS").x
    guess = names[(z[~train] @ best[:12].reshape(4, 3) + best[12:]).argmax(1)]
    table = probe(x, label, groups)
    truth = label[~train]
    assert table.loc[("linear", "g1"), "accuracy"] == pytest.approx(np.mean(guess == truth))
    recall = [np.mean(guess[truth == name] == name) for name in names]
    assert table.loc[("linear", "g1"), "balanced accuracy"] == pytest.approx(np.mean(recall))
    hits = [2 * np.sum((guess == n) & (truth == n)) / (np.sum(guess == n) + np.sum(truth == n)) for n in names]
    assert table.loc[("linear", "g1"), "macro F1"] == pytest.approx(np.mean(hits))


def test_the_mean_is_over_groups(blobs):
    table = probe(*blobs)
    folds = table.loc["linear"].drop(index="mean")
    assert set(folds.index) == {"g1", "g2", "g3"}
    assert table.loc[("linear", "mean"), "accuracy"] == pytest.approx(folds["accuracy"].mean())
    assert table.loc[("linear", "mean"), "n_test"] == 120


def test_a_split_trains_on_one_mask_and_scores_on_the_other(blobs):
    x, label, _ = blobs
    train = np.arange(120) % 2 == 0
    scrambled = np.where(train, label, np.roll(label, 45))
    table = probe(x, scrambled, split=(train, ~train))
    assert table.loc[("linear", "test"), "n_test"] == 60
    assert table.loc[("linear", "test"), "accuracy"] < probe(x, label, split=(train, ~train))["accuracy"].iloc[0] - 0.2


def test_folds_without_groups_depend_on_the_seed_only(blobs):
    x, label, _ = blobs
    first, same, other = (probe(x, label, n_splits=4, seed=seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, same)
    assert not first["accuracy"].equals(other["accuracy"])
    assert len(first) == 2 * 5


def test_predictions_are_those_that_are_scored_and_name_their_observations(blobs):
    x, label, groups = blobs
    label = label.astype(object)
    label[:3], label[3:5] = "rare", None
    scores, table = probe(x, label, groups), probe_predictions(x, label, groups)
    assert table.attrs == scores.attrs
    assert (table["label"].to_numpy() == label[table["observation"]]).all()
    assert (table["held_out"].to_numpy() == groups[table["observation"]]).all()
    right = (table["label"] == table["predicted"]).groupby([table["classifier"], table["held_out"]]).mean()
    assert 0 < right.min() < right.max() < 1
    expected = scores["accuracy"].drop(index="mean", level=1).loc[right.index]
    np.testing.assert_allclose(right, expected)
    for _, part in table.groupby("classifier"):
        assert sorted(part["observation"]) == list(range(5, 120)), "each observation is held out once"


def test_rare_and_missing_labels_are_left_out_and_named(blobs):
    x, label, groups = blobs
    label = label.astype(object)
    label[:3], label[3:5] = "rare", None
    table = probe(x, label, groups)
    assert table.attrs["left_out"] == ["rare"]
    assert table.loc[("linear", "mean"), "n_test"] == 115


def test_a_label_that_training_lacks_is_not_scored(blobs):
    x, label, _ = blobs
    groups = np.where(label == "c", "only c", np.where(np.arange(120) % 2, "g1", "g2"))
    groups[-5:] = "g1"
    table = probe(x, label, groups)
    assert table.attrs["untrained"] == {"g2": 0, "g1": 0, "only c": 0}
    groups[-5:] = "only c"
    with pytest.raises(
        ValueError,
        match="probe: expected a test observation of 'only c' with a label of a training observation, got none; pass another",
    ):
        probe(x, label, groups)
    groups[0] = "only c"
    assert probe(x, label, groups).attrs["untrained"]["only c"] == 20


def test_categories_are_read_as_their_names(blobs):
    x, label, groups = blobs
    table = probe(x, pd.Series(pd.Categorical(label)), pd.Series(pd.Categorical(groups)))
    pd.testing.assert_frame_equal(table, probe(x, label, groups))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, g: (x[:, 0], y, g), r"embedding \(n_obs, d\), got an array of shape \(120,\)"),
        (
            lambda x, y, g: (np.where(x > 2, np.nan, x), y, g),
            "probe: expected a finite embedding, got NaN or infinity in .* of 120 observations; leave these",
        ),
        (
            lambda x, y, g: (x, y[:-1], g),
            "probe: expected one entry of labels per observation, got 119 for 120 observations; pass the same",
        ),
        (
            lambda x, y, g: (x, y, g[:-1]),
            "probe: expected one entry of groups per observation, got 119 for 120 observations",
        ),
        (
            lambda x, y, g: (x, np.repeat("a", 120), g),
            "probe: expected at least two labels of 10 cells or more, got fewer; pass other labels",
        ),
        (lambda x, y, g: (x, y, np.repeat("g", 120)), "at least two groups"),
    ],
)
def test_wrong_input_gets_a_sentence(blobs, change, words):
    with pytest.raises(ValueError, match=words):
        probe(*change(*blobs))


@pytest.mark.parametrize("function", [probe, probe_predictions])
def test_a_wrong_type_is_told_of_the_function_that_was_called(blobs, function):
    with pytest.raises(ValueError, match=rf"n_splits: .* see the documentation of {function.__name__}\.$"):
        function(*blobs[:2], n_splits="five")


def test_an_observation_without_a_group_is_left_out():
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b"], 60)
    z = rng.normal(size=(120, 4)) + (label == "a")[:, None]
    lacks = np.arange(120) % 12 == 0
    group = np.array([f"g{i % 3}" for i in range(120)], dtype=object)
    expected = probe(z[~lacks], label[~lacks], groups=group[~lacks])
    for missing in (None, np.nan, pd.NA):
        found = probe(z, label, groups=np.where(lacks, missing, group))
        pd.testing.assert_frame_equal(found, expected)
    pd.testing.assert_frame_equal(probe(sparse.csr_matrix(z), label, groups=np.where(lacks, None, group)), expected)
