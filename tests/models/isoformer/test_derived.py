"""What IsoFormer derives: records that go to JSON and back, and what files of version 0.1 lack."""

from omicsmlm.models.base import FormerFields, from_json, to_json
from omicsmlm.models.isoformer._derived import NO_MORE_EXPERTS, ExpertSet, IsoFormerDerived, Statistics

SAVED = {
    "sequences": ["dna"],
    "vectors": {"beta": {"mean": [0.5], "scale": [2.0]}},
    "targets": {"mean": [1.0, 3.0], "scale": [1.0, 1.0]},
    "widths": {},
}
"""As version 0.1 wrote it."""


def test_a_file_of_version_0_1_has_neither_new_states_nor_further_experts():
    found = from_json(IsoFormerDerived, SAVED, FormerFields())
    assert found.vectors == {"beta": Statistics([0.5], [2.0])}
    assert found.targets == Statistics([1.0, 3.0], [1.0, 1.0])
    assert found.former_states
    assert found.experts == NO_MORE_EXPERTS == ExpertSet(architecture=False, vectors=False, short_kmers=False)


def test_it_goes_to_json_and_back():
    experts = ExpertSet(architecture=True, short_kmers=True)
    given = IsoFormerDerived(
        sequences=["dna", "rna"],
        vectors={},
        targets=Statistics([0.0], [1.0]),
        widths={"rna": 4},
        former_states=False,
        experts=experts,
    )
    assert from_json(IsoFormerDerived, to_json(given), FormerFields()) == given
