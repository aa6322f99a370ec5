"""Hyper-parameters of MOJO: the published values, the ranges, and the length of the axis."""

from dataclasses import fields

import pytest

from omicsmlm import MOJO, MOJOConfig
from omicsmlm.models.base import from_json, to_json
from omicsmlm.models.mojo import _config


def test_the_published_values():
    """Of the paper, except where the class says that a value is inferred or ours."""
    c = MOJOConfig.paper()
    assert (c.n_bins, c.token_width, c.gene_width, c.width) == (64, 256, 200, 512)
    assert (c.stem_kernel, c.n_levels, c.n_blocks, c.n_heads, c.feed_width) == (15, 8, 8, 16, 1024)
    assert (c.axis, c.scaling, c.start) == ("intersection", "maximum", "random")
    assert (c.mask_rate, c.modality_rate, c.consistency) == (0.15, 0.0, 0.0)
    assert (c.genes_per_position, c.order, c.row_width, c.layers, c.bin_weight, c.smoothing) == (
        1,
        "data",
        0,
        "published",
        1.0,
        0.0,
    )


@pytest.mark.parametrize(
    ("n_levels", "n_genes", "expected"),
    [(0, 7, 7), (1, 7, 8), (1, 8, 8), (3, 1, 8), (3, 16, 16), (3, 17, 24), (8, 17_116, 17_152)],
)
def test_the_axis_is_padded_to_a_multiple_of_what_the_towers_halve(n_levels, n_genes, expected):
    assert MOJOConfig(n_levels=n_levels, genes_per_position=1).n_positions(n_genes) == expected
    assert MOJOConfig(n_levels=n_levels, genes_per_position=3).n_positions(3 * n_genes) == 3 * expected


@pytest.mark.parametrize(
    "change",
    [
        {"n_bins": 2},
        {"n_levels": 0},
        {"stem_kernel": 1},
        {"n_heads": 8},
        {"mask_rate": 1.0},
        {"mask_rate": (0.2, 1.0)},
        {"mask_rate": (0.5, 0.5)},
        {"row_width": 0},
        {"bin_weight": 0.0},
        {"value_weight": 0.0},
        {"smoothing": 0.0},
        {"whitening": 0.0},
        {"whitening": 1.0},
        {"modality_rate": 0.0},
        {"modality_rate": 1.0},
        {"consistency": 0.0},
    ],
)
def test_the_ends_of_each_range_are_allowed(change):
    ((name, value),) = change.items()
    assert getattr(MOJOConfig(**change), name) == value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"axis": "all"}, '^axis: expected "union" or "intersection", got \'all\'; leave it out for the default.$'),
        ({"scaling": "log"}, '^scaling: expected "genes", "auto", "maximum", "range" or "quantiles", got \'log\''),
        ({"order": "name"}, '^order: expected "coexpression" or "data", got \'name\''),
        ({"layers": "old"}, '^layers: expected "published" or "former", got \'old\''),
        ({"row_width": -1}, "^row_width: expected at least 0, got -1"),
        ({"bin_weight": -0.1}, "^bin_weight: expected at least 0, got -0.1"),
        ({"value_weight": -0.1}, "^value_weight: expected at least 0, got -0.1"),
        ({"smoothing": -1.0}, "^smoothing: expected a number of bins of at least 0, got -1.0"),
        ({"whitening": 1.5}, "^whitening: expected a number from 0 to 1, got 1.5"),
        ({"mask_rate": (0.0, 0.5)}, "^mask_rate: expected a fraction above 0 and at most 1, or the lowest"),
        ({"mask_rate": (0.5, 0.4)}, r"^mask_rate: .*, got \(0.5, 0.4\)"),
        ({"start": "zero"}, '^start: expected "components" or "random", got \'zero\''),
        ({"n_bins": 1}, "^n_bins: expected at least 2, got 1"),
        ({"genes_per_position": 0}, "^genes_per_position: expected at least 1, got 0"),
        ({"n_levels": -1}, "^n_levels: expected from 0 to 16, got -1"),
        ({"stem_kernel": 4}, "^stem_kernel: expected an odd number, got 4"),
        ({"n_heads": 3}, "^n_heads: expected heads of even width out of 16, got 3"),
        ({"mask_rate": 0.0}, "^mask_rate: expected a fraction above 0 and at most 1, or .*, got 0.0"),
        ({"modality_rate": 2.0}, "^modality_rate: expected a probability, got 2.0"),
        ({"consistency": -1.0}, "^consistency: expected at least 0, got -1.0"),
    ],
)
def test_a_wrong_hyper_parameter_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        MOJOConfig(**change)


def test_fields_of_older_versions_are_read_or_refused():
    old = {**to_json(MOJOConfig(seed=3)), "kernel": 5, "temperature": 0.1, "weight_decay": 1e-2, "n_warmup_steps": 50}
    assert from_json(MOJOConfig, old, MOJO.former_config) == MOJOConfig(seed=3)
    with pytest.raises(
        ValueError, match="^load: expected MOJOConfig with kernel=5, which is no longer a hyper-parameter, got 7"
    ):
        from_json(MOJOConfig, {**old, "kernel": 7}, MOJO.former_config)


def test_of_a_model_that_has_none_of_the_newer_fields_they_are_what_it_did():
    newer = (
        "order",
        "row_width",
        "genes_per_position",
        "layers",
        "bin_weight",
        "value_weight",
        "smoothing",
        "whitening",
    )
    old = {name: value for name, value in to_json(MOJOConfig(mask_rate=0.15)).items() if name not in newer}
    found = from_json(MOJOConfig, old, MOJO.former_config)
    assert (found.order, found.row_width, found.genes_per_position, found.layers) == ("data", 0, 1, "former")
    assert (found.bin_weight, found.smoothing, found.mask_rates) == (1.0, 0.0, (0.15, 0.15))


def test_a_range_of_rates_is_read_back():
    config = MOJOConfig(mask_rate=(0.2, 0.4))
    assert from_json(MOJOConfig, to_json(config), MOJO.former_config) == config


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _config.KERNEL == 5
    assert _config.TEMPERATURE == 0.1
    assert _config.WEIGHT_DECAY == 0.01
    assert _config.N_WARMUP_STEPS == 50


def test_the_defaults():
    """Figures without further arguments are of these."""
    assert {field.name: field.default for field in fields(MOJOConfig)} == {
        "axis": "union",
        "n_bins": 64,
        "scaling": "genes",
        "order": "coexpression",
        "token_width": 16,
        "gene_width": 16,
        "width": 16,
        "row_width": 64,
        "genes_per_position": 4,
        "stem_kernel": 7,
        "n_levels": 3,
        "n_blocks": 2,
        "n_heads": 2,
        "feed_width": 32,
        "layers": "published",
        "mask_rate": (0.3, 0.9),
        "modality_rate": 0.3,
        "bin_weight": 0.2,
        "value_weight": 1.0,
        "smoothing": 2.0,
        "whitening": 0.5,
        "consistency": 0.0,
        "learning_rate": 0.001,
        "start": "components",
        "patience": 15,
        "seed": 0,
    }
