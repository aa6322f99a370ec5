import json

import numpy as np
import pandas as pd

from omicsmlm.models.survival._covariates import Columns
from omicsmlm.models.survival._derived import SurvivalDerived
from tests.fixtures.make import FIXTURES


def test_it_goes_to_json_and_back():
    columns = Columns("time", "died", "site", ["age"], ["north", "south"], [60.5], [9.25])
    scores = pd.DataFrame({"C-index": [0.5, np.nan]}, index=pd.Index(["north", "mean"], name="stratum"))
    table = pd.DataFrame({"C-index": [0.6], "chosen": [True]}, index=pd.Index(["with networks"], name="candidate"))
    features = {"kinds": {"rna": "real"}, "n_vocabulary": {"rna": 3}, "n_selected": {"rna": 2}}
    derived = SurvivalDerived("OmicsMLM", columns, features, np.array([0.1, 0.7]), scores, table)
    again = SurvivalDerived.from_json(json.loads(json.dumps(derived.to_json())))
    assert (again.model, again.columns, again.features) == ("OmicsMLM", columns, features)
    np.testing.assert_array_equal(again.grid_t, derived.grid_t)
    pd.testing.assert_frame_equal(again.held_out, scores)
    pd.testing.assert_frame_equal(again.candidates, table)


def test_what_the_first_version_wrote_is_read_and_written_alike():
    content = json.loads((FIXTURES / "Survival" / "config.json").read_text())["choice"]
    assert SurvivalDerived.from_json(content).to_json() == content
