"""Hyper-parameters of IsoFormer and of its encoders: ranges, truncation, and their way through JSON."""

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path

import pytest

from omicsmlm import IsoFormer, IsoFormerConfig, SequenceEncoder
from omicsmlm.models.base import FormerFields, from_json, to_json
from omicsmlm.models.isoformer import _config
from tests.objects import SMALL_ISOFORMER, transcripts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 15}, "width: expected a multiple of n_heads=2, got 15"),
        (
            {"fusion": "sum"},
            'fusion: expected "cross_attention", "concatenation", "linear", "perceiver" or "c_abstractor"',
        ),
        ({"encoders": {"rnna": SequenceEncoder()}}, "encoders: expected names among"),
    ],
)
def test_each_wrong_setting_gets_its_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        IsoFormer(transcripts(), replace(SMALL_ISOFORMER, **changes))


def test_wrong_encoders_get_their_sentences():
    with pytest.raises(ValueError, match="path: expected where the weights of transformers are, got none"):
        SequenceEncoder("transformers")
    with pytest.raises(ValueError, match='tuning: expected "frozen", "lora" or "full", got'):
        SequenceEncoder(tuning="ia3")
    config = replace(
        SMALL_ISOFORMER, encoders={"protein": SequenceEncoder("transformers", "facebook/esm2_t6_8M_UR50D")}
    )
    with pytest.raises(ValueError, match="without a revision"):
        IsoFormer(transcripts(), config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 15}, "width: expected a multiple of n_heads=8, got 15; pass a value in range"),
        ({"kernel": 4}, "kernel: expected an odd number, got 4"),
        ({"n_windows": 0}, "n_windows: expected at least 1, got 0"),
        ({"n_levels": 0}, "n_levels: expected at least 1, got 0"),
        ({"pool": 0}, "pool: expected at least 1, got 0"),
        ({"dropout": 1.0}, "dropout: expected a fraction below 1, got 1.0"),
        ({"dropout": -0.1}, "dropout: expected a fraction below 1, got -0.1"),
        ({"modality_rate": 1.1}, "modality_rate: expected a probability, got 1.1"),
        ({"modality_rate": -0.1}, "modality_rate: expected a probability, got -0.1"),
        ({"n_components": 0}, "n_components: expected at least 1, got 0"),
        ({"n_landmarks": 0}, "n_landmarks: expected at least 1, got 0"),
        ({"encoders": {"gene": {}}}, r"encoders: expected names among \['dna', 'rna', 'protein'\], got \['gene'\]"),
    ],
)
def test_what_is_out_of_range_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        IsoFormerConfig(**changes)


@pytest.mark.parametrize(
    "change",
    [
        {"n_windows": 1},
        {"n_levels": 1},
        {"pool": 1},
        {"dropout": 0.0},
        {"modality_rate": 1.0},
        {"modality_rate": 0.0},
        {"n_components": 1},
        {"n_landmarks": 1},
        {"kernel": 1},
    ],
)
def test_the_ends_of_each_range_are_allowed(change):
    ((name, value),) = change.items()
    assert getattr(IsoFormerConfig(**change), name) == value


def test_sequences_are_truncated_as_the_encoder_says_or_as_in_the_paper():
    default, given = SequenceEncoder(), SequenceEncoder(max_length=100, keep="start")
    assert default.truncation("dna") == (8192, "centre")
    assert default.truncation("rna") == (12_288, "end")
    assert default.truncation("protein") == (2047, "start")
    assert given.truncation("rna") == (100, "start")
    assert SequenceEncoder(max_length=5).truncation("rna") == (5, "end")
    assert SequenceEncoder(keep="centre").truncation("protein") == (2047, "centre")


def test_enformer_is_given_what_it_was_trained_on_but_in_models_of_version_0_1():
    encoder = SequenceEncoder("enformer", "somewhere", "abc")
    assert encoder.truncation("dna") == (196_608, "centre")
    assert encoder.truncation("dna", former=True) == (8192, "centre")
    assert SequenceEncoder("enformer", "somewhere", "abc", max_length=2048).truncation("dna") == (2048, "centre")


def test_an_encoder_says_how_it_reads_sequences():
    encoder = SequenceEncoder("transformers", "somewhere", "abc", spaced=True, uracil=True, mixed_alphabet=True)
    assert encoder.reading("rna", "nucleotide") == ("nucleotide", "end", True, True, True, False)
    plain = SequenceEncoder("transformers", "somewhere", "abc", keep="centre")
    assert plain.reading("protein", "protein", former=True) == ("protein", "centre", False, False, False, True)


@pytest.mark.parametrize("option", ["spaced", "uracil", "mixed_alphabet"])
@pytest.mark.parametrize("library", ["scratch", "enformer"])
def test_how_letters_are_written_is_a_matter_of_tokenizers(option, library):
    sentence = f"{option}: expected an encoder of transformers, got '{library}'; leave it out"
    with pytest.raises(ValueError, match=sentence):
        SequenceEncoder(library, "somewhere", "abc", **{option: True})


def test_the_setting_of_the_paper():
    own_rna = SequenceEncoder("transformers", "org/rna", "abc", keep="start", uracil=True)
    config = IsoFormerConfig.paper("there/enformer", own_rna, "there/esm")
    assert [config.encoder(name).library for name in ("dna", "rna", "protein")] == [
        "enformer",
        "transformers",
        "transformers",
    ]
    assert all(encoder.tuning == "full" for encoder in config.encoders.values())
    assert config.encoder("dna").truncation("dna") == (196_608, "centre")
    assert config.encoder("rna") == SequenceEncoder(
        "transformers", "org/rna", "abc", keep="start", uracil=True, tuning="full"
    )
    assert config.encoder("protein").truncation("protein") == (2047, "start")
    assert (config.fusion, config.n_heads, config.n_windows) == ("cross_attention", 8, 2048)
    assert not config.composition
    assert not config.kernel_expert


def test_an_encoder_from_scratch_has_no_source():
    assert SequenceEncoder().source is None
    source = SequenceEncoder("transformers", "there", "abc", trust_remote_code=True).source
    assert source == ("transformers", "there", "abc", True)
    for change, message in (
        ({"library": "keras"}, 'library: expected "scratch", "transformers" or "enformer", got'),
        ({"keep": "middle"}, 'keep: expected "start", "end" or "centre" or None, got'),
    ):
        with pytest.raises(ValueError, match=message):
            SequenceEncoder(**change)


def test_an_encoder_that_is_not_named_is_from_scratch():
    config = IsoFormerConfig(encoders={"dna": SequenceEncoder("enformer", "somewhere", "abc")})
    assert config.encoder("dna").library == "enformer"
    assert config.encoder("rna") == SequenceEncoder()


def test_states_are_kept_in_the_home_folder_unless_another_is_named(tmp_path):
    assert IsoFormerConfig().cache_folder == Path.home() / ".cache" / "omicsmlm" / "sequences"
    assert IsoFormerConfig(cache_dir=str(tmp_path)).cache_folder == tmp_path


def test_a_config_survives_json():
    config = IsoFormerConfig(encoders={"dna": SequenceEncoder("enformer", "somewhere", "abc")})
    saved = json.loads(json.dumps(to_json(config)))
    assert from_json(IsoFormerConfig, saved, FormerFields()) == config


def test_fields_of_older_versions_are_read_or_refused():
    old = to_json(IsoFormerConfig(seed=3)) | {"weight_decay": 1e-2, "n_warmup_steps": 50, "mask_rate": 0.15}
    assert from_json(IsoFormerConfig, old, IsoFormer.former_config) == IsoFormerConfig(seed=3)
    with pytest.raises(ValueError, match="^load: expected IsoFormerConfig with mask_rate=0.15, which is no longer a"):
        from_json(IsoFormerConfig, {**old, "mask_rate": 0.3}, IsoFormer.former_config)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _config.WEIGHT_DECAY == 0.01
    assert _config.N_WARMUP_STEPS == 50
    assert _config.MASK_RATE == 0.15
    assert _config.ENFORMER_LENGTH == 196_608
    assert _config.PAPER_POSITIONS == 2048
    assert _config.PAPER_LIBRARIES == {"dna": "enformer", "rna": "transformers", "protein": "transformers"}


def test_the_defaults():
    """Files of older versions that lack a field mean these, and figures without further arguments are of them."""
    assert {field.name: field.default for field in fields(IsoFormerConfig)} == {
        "encoders": MISSING,  # an empty dict of its own
        "width": 64,
        "n_heads": 8,
        "fusion": "cross_attention",
        "n_windows": 32,
        "kernel": 11,
        "n_levels": 2,
        "pool": 4,
        "n_layers": 1,
        "dropout": 0.2,
        "modality_rate": 0.3,
        "composition": True,
        "n_components": 256,
        "kernel_expert": True,
        "n_landmarks": 1500,
        "group_weight": None,
        "learning_rate": 0.002,
        "cache_dir": None,
        "patience": 5,
        "seed": 0,
    }
