"""Records go to JSON and back, also those that older versions saved."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pytest

from omicsmlm.models.base import FormerFields, check_fields, from_json, to_json
from omicsmlm.models.base._records import check_config
from tests.hostile.surface import configs
from tests.test_bad_input import SENTENCE, refused


class Scale(NamedTuple):
    kind: str
    ends: tuple[float, float]


@dataclass(frozen=True)
class Encoder:
    path: str | None = None
    rates: tuple[float, float] | None = (0.1, 0.8)


@dataclass(frozen=True, kw_only=True)
class Derived:
    genes: list[str]
    scales: dict[str, Scale] = field(default_factory=dict)
    encoders: dict[str, Encoder] = field(default_factory=dict)
    encoder: Encoder = Encoder()
    bins: dict[str, int] | None = None
    n: int | None = None


RECORD = Derived(
    genes=["a", "b"],
    scales={"rna": Scale("log", (0.0, 2.5))},
    encoders={"dna": Encoder("x", (0.2, 0.3)), "rna": Encoder(rates=None)},
    encoder=Encoder("y"),
    bins={"rna": 3},
)
NOTHING = FormerFields()


def test_a_record_comes_back_with_all_records_in_it():
    read = from_json(Derived, json.loads(json.dumps(to_json(RECORD))), NOTHING)
    assert read == RECORD
    assert type(read.scales["rna"]) is Scale
    assert type(read.scales["rna"].ends) is tuple
    assert type(read.encoders["dna"].rates) is tuple
    assert type(read.genes) is list


def test_what_is_written_is_plain():
    assert to_json(RECORD) == {
        "genes": ["a", "b"],
        "scales": {"rna": {"kind": "log", "ends": [0.0, 2.5]}},
        "encoders": {"dna": {"path": "x", "rates": [0.2, 0.3]}, "rna": {"path": None, "rates": None}},
        "encoder": {"path": "y", "rates": [0.1, 0.8]},
        "bins": {"rna": 3},
        "n": None,
    }


def test_a_field_that_was_not_saved_gets_its_default():
    assert from_json(Derived, {"genes": []}, NOTHING) == Derived(genes=[])


def test_a_field_that_older_versions_did_not_save_is_what_it_was_in_effect():
    former = FormerFields(absent={"path": "before"})
    assert from_json(Encoder, {}, former) == Encoder("before")
    assert from_json(Encoder, {"path": "after"}, former) == Encoder("after")


def test_a_renamed_field_is_found_under_its_former_name():
    former = FormerFields(renamed={"letters": "genes"})
    assert from_json(Derived, {"letters": ["a"]}, former) == Derived(genes=["a"])


def test_a_constant_may_be_saved_with_its_value():
    former = FormerFields(constants={"power": 2.25, "ends": (0, 1)})
    assert from_json(Encoder, {"power": 2.25, "ends": [0, 1], "path": "x"}, former) == Encoder("x")


def test_a_constant_that_was_renamed_before_may_be_saved_under_its_first_name():
    former = FormerFields(renamed={"strength": "power"}, constants={"power": 2.25})
    assert from_json(Encoder, {"strength": 2.25}, former) == Encoder()
    with pytest.raises(ValueError, match="Encoder with strength=2.25"):
        from_json(Encoder, {"strength": 2.5}, former)


def test_a_constant_with_another_value_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="no longer") as caught:
        from_json(Encoder, {"power": 3.0}, FormerFields(constants={"power": 2.25}))
    assert str(caught.value) == (
        "load: expected Encoder with power=2.25, which is no longer a hyper-parameter, got 3.0; "
        "load it with the version of omicsmlm that saved it."
    )


def test_a_field_of_no_version_is_refused_in_one_sentence():
    with pytest.raises(ValueError, match="fields of Encoder") as caught:
        from_json(Encoder, {"depth": 3}, NOTHING)
    assert str(caught.value) == (
        "load: expected fields of Encoder, got 'depth'; load it with the version of omicsmlm that saved it."
    )


def test_a_configuration_is_a_record_of_its_class():
    check_config(None, Encoder)
    check_config(Encoder("x"), Encoder)
    with pytest.raises(
        ValueError, match=r"^config: expected an Encoder, got \{'path': 'x'\}; pass Encoder\(\*\*config\)"
    ):
        check_config({"path": "x"}, Encoder)
    with pytest.raises(ValueError, match=r"^config: expected an Encoder, got 3; pass Encoder\(\), say"):
        check_config(3, Encoder)


@dataclass(frozen=True)
class Checked:
    """A field of each type that is checked."""

    seed: int = 0
    rate: float = 0.5
    is_on: bool = True
    mask_rates: tuple[float, float] = (0.1, 0.5)
    either: float | tuple[float, float] = 0.5
    kind: Literal["a", "b"] = "a"
    folder: str | None = None
    sizes: tuple[int, ...] = (8,)
    others: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)


def test_what_is_meant_all_the_same_becomes_what_it_should_be(tmp_path):
    found = Checked(
        np.int64(3), 1, np.True_, [0, np.float32(0.5)], [0.25, 1], "b", tmp_path, [4, 2.0], {"a": "unchecked"}
    )
    assert found == Checked(3, 1.0, True, (0.0, 0.5), (0.25, 1.0), "b", str(tmp_path), (4, 2), {"a": "unchecked"})
    types = [type(getattr(found, name)) for name in ("seed", "rate", "is_on", "mask_rates", "folder")]
    assert types == [int, float, bool, tuple, str]
    json.dumps(to_json(found))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": True}, "^seed: expected a whole number, got True"),
        ({"seed": 1.5}, "^seed: expected a whole number, got 1.5"),
        ({"seed": 2**63}, "^seed: expected a whole number"),
        ({"seed": -1}, "^seed: expected a whole number, at least 0, got -1"),
        ({"rate": np.nan}, "^rate: expected a number, got nan"),
        ({"rate": "0.5"}, "^rate: expected a number, got '0.5'"),
        ({"rate": np.zeros(2)}, "^rate: expected a number"),
        ({"is_on": 1}, "^is_on: expected True or False, got 1"),
        ({"mask_rates": 0.5}, "^mask_rates: expected two numbers, got 0.5"),
        ({"mask_rates": (0.5,)}, "^mask_rates: expected two numbers"),
        ({"mask_rates": (0.5, 0.1)}, "^mask_rates: expected two fractions, the lower first"),
        ({"either": "half"}, "^either: expected a number or two numbers, got 'half'"),
        ({"kind": "c"}, '^kind: expected "a" or "b", got \'c\''),
        ({"kind": ["a"]}, '^kind: expected "a" or "b"'),
        ({"sizes": (4, "a")}, "^sizes: expected several numbers"),
        ({"folder": 3}, "^folder: expected a text or None, got 3"),
    ],
)
def test_a_field_of_another_type_or_out_of_range_is_refused(changes, message):
    with refused(message):
        Checked(**changes)


def test_every_hyper_parameter_given_as_anything_is_taken_or_refused_in_one_sentence():
    def sentence(make, value, key):
        try:
            found = getattr(make(), key)
        except ValueError as error:
            return str(error)
        assert found == value or isinstance(value, list), key
        return None

    tried = list(configs())
    said = {
        name: sentence(lambda c=config_class, o=others, k=key, v=value: c(**{**o, k: v}), value, key)
        for name, config_class, others, key, value in tried
    }
    refusals = {name: text for name, text in said.items() if text is not None}
    assert {name: text for name, text in refusals.items() if not SENTENCE.match(text)} == {}
    assert len(refusals) > 0.7 * len(tried) > 2000
