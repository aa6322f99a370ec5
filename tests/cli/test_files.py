"""What is wrong with a file is said before anything is written."""

import pandas as pd
import pytest
from anndata import AnnData

from omicsmlm.cli._files import check_model_target, check_target, loaded_model, opened, saved_class, write_table


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.h5ad", None, "an existing .h5ad or .h5mu file"),
        ("x.csv", b"a,b", "an existing .h5ad or .h5mu file"),
        ("x.h5ad", b"broken", "a whole .h5ad or .h5mu file"),
        ("x.h5mu", b"broken", "a whole .h5ad or .h5mu file"),
    ],
)
@pytest.mark.parametrize("backed", [False, True])
def test_files_that_cannot_be_read(tmp_path, name, content, said, backed):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^source: expected {said}"):
        opened(tmp_path / name, backed=backed)


@pytest.mark.parametrize("backed", [False, True])
def test_a_cut_file(tmp_path, files, backed):
    whole = (files / "multiome.h5mu").read_bytes()
    for fraction in (0.3, 0.9):
        (tmp_path / "cut.h5mu").write_bytes(whole[: int(fraction * len(whole))])
        with pytest.raises(ValueError, match="^query: expected a whole .*; check the download, or write it again"):
            opened(tmp_path / "cut.h5mu", "query", backed=backed)


def test_targets(tmp_path):
    source, old = tmp_path / "in.h5ad", tmp_path / "old.csv"
    source.touch()
    old.touch()
    (tmp_path / "folder.csv").mkdir()
    cases = {
        "x.txt": "a name that ends in .csv",
        "folder.csv": "a file, got .*which is a folder",
        "old.csv": "a new file, got .*--overwrite",
        "in.h5ad/x.csv": "a folder that can be written",
    }
    for name, said in cases.items():
        with pytest.raises(ValueError, match=f"expected {said}"):
            check_target(tmp_path / name, "target", [".csv"], overwrite=False, source=source)
    check_target(old, "target", [".csv"], overwrite=True, source=source)
    check_target(tmp_path / "new" / "x.csv", "target", [".csv"], overwrite=False, source=source)
    with pytest.raises(ValueError, match="which is the source"):
        check_target(source, "target", [".h5ad"], overwrite=True, source=source)


def test_folders_of_models(tmp_path, files):
    with pytest.raises(ValueError, match="model: expected a new folder, got .*--overwrite"):
        check_model_target(files / "model", "model", overwrite=False)
    check_model_target(files / "model", "model", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ValueError, match="model: expected a directory that holds a model, got .* with other files"):
        check_model_target(tmp_path / "mine", "model", overwrite=True)


def test_saved_models(tmp_path, files):
    assert saved_class(files / "model") == "OmicsMLM"
    assert type(loaded_model(files / "model")).__name__ == "OmicsMLM"
    with pytest.raises(ValueError, match="model: expected a folder with a saved model"):
        saved_class(tmp_path)
    (tmp_path / "config.json").write_text('{"class": "os"}')
    with pytest.raises(ValueError, match="model: expected a model among .*, got 'os'"):
        saved_class(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables(tmp_path, suffix):
    table = pd.DataFrame({"a": [1.5, 2]}, index=pd.Index(["x", "y"], name="cell"))
    path = tmp_path / f"t{suffix}"
    write_table(table, path)
    read = {".csv": pd.read_csv, ".tsv": lambda p: pd.read_csv(p, sep="\t"), ".parquet": pd.read_parquet}[suffix](path)
    pd.testing.assert_frame_equal(read if suffix == ".parquet" else read.set_index("cell"), table)
    assert isinstance(AnnData(table), AnnData)
