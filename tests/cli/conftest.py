"""Files that several commands take, and a model that is trained once."""

import pytest

import omicsmlm
from tests.cli.calling import call
from tests.objects import SMALL


@pytest.fixture
def run(monkeypatch, capsys):
    """The command, as a function of its arguments."""
    return lambda *arguments: call(monkeypatch, capsys, *arguments)


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A file of a multiome (``multiome.h5mu``), one of new cells, and a small trained model of the first (``model``)."""
    folder = tmp_path_factory.mktemp("cli")
    mdata = omicsmlm.datasets.simulate_multiome(150, 40, 50)
    mdata.obs["age"] = [20.0 + i % 50 for i in range(mdata.n_obs)]
    mdata.obs["time"] = [10.0 - age / 10 + i % 3 for i, age in enumerate(mdata.obs["age"])]
    mdata.obs["died"] = [float(i % 3 > 0) for i in range(mdata.n_obs)]
    mdata.write_h5mu(folder / "multiome.h5mu")
    model = omicsmlm.OmicsMLM(mdata, SMALL, batch_key="batch")
    model.train(max_epochs=1, progress_bar=False, accelerator="cpu")
    model.save(folder / "model")
    new = mdata[:40].copy()
    new.obs["batch"] = "new"
    new.write_h5mu(folder / "new.h5mu")
    return folder
