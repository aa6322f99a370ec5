"""Labels are learned once and predicted again alike."""

import pandas as pd


def test_learn_save_and_predict(run, files, tmp_path):
    first, second, classifier = tmp_path / "a.csv", tmp_path / "b.csv", tmp_path / "classifier"
    source, model = files / "multiome.h5mu", files / "model"
    learned = run(
        "annotate", source, model, first, "--labels-key", "cell_type", "--probabilities", "--save-model", classifier,
        "--query", files / "new.h5mu", "--json",
    )  # fmt: skip
    assert learned.status == 0, learned.err
    table = pd.read_csv(first, index_col=0)
    assert len(table) == learned.result["n_obs"] == sum(learned.result["labels"].values()) == 40
    assert 0.2 < learned.result["held_out"]["accuracy"] <= 1
    soft = table.drop(columns=["label", "probability"])
    pd.testing.assert_series_equal(soft.max(axis=1), table["probability"], check_names=False)
    assert run("annotate", files / "new.h5mu", classifier, second).status == 0
    pd.testing.assert_frame_equal(pd.read_csv(second, index_col=0), table[["label", "probability"]], atol=1e-5)


def test_a_column_is_needed_with_a_model_alone(run, files, tmp_path):
    called = run("annotate", files / "multiome.h5mu", files / "model", tmp_path / "a.csv")
    assert called.status == 2
    assert "--labels-key: expected" in called.err
    called = run("annotate", files / "multiome.h5mu", files / "model", tmp_path / "a.csv", "--labels-key", "absent")
    assert called.status == 2
    assert "column 'absent'" in called.err
    assert list(tmp_path.iterdir()) == []
