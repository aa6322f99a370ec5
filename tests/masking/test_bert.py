"""Masked bins: as often as was asked, without a trace, and the same for the same seed."""

import pytest
import torch

from omicsmlm._types import Grid
from omicsmlm.masking import MaskBins, MaskFeatures, WithModalitySubsets, _bert
from tests.objects import draws_for

N_BINS = 8


def grid(n, g, seed=0, *, missing=0.0, rows=None):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, N_BINS, (n, g), generator=generator).float()
    visible = torch.rand(n, g, generator=generator) >= missing
    if rows is not None:
        visible &= rows[:, None]
    return Grid(values * visible, visible, (values * visible).sum(1))


def mask(grids, rate=0.15, modality_rate=0.0, seed=0):
    return MaskBins(N_BINS, rate, modality_rate)(grids, draws_for(grids, seed))


def shares(whole, found, evaluated):
    """Of the chosen tokens: masked, changed, the same."""
    visible, chosen = found.visible[evaluated], (found.values == whole.values)[evaluated]
    n = int(evaluated.sum())
    return float((~visible).sum()) / n, float((visible & ~chosen).sum()) / n, float((visible & chosen).sum()) / n


def test_the_shares_are_those_of_bert_in_each_modality():
    grids = {"rna": grid(400, 100, 0), "meth": grid(400, 100, 1, missing=0.3)}
    masked = mask(grids)
    for name, whole in grids.items():
        evaluated = masked.evaluated[name]
        assert not (evaluated & ~whole.visible).any(), "what was not measured is not judged"
        assert float(evaluated.sum() / whole.visible.sum()) == pytest.approx(0.15, abs=0.01)
        hidden, changed, same = shares(whole, masked.inputs[name], evaluated)
        assert hidden == pytest.approx(0.8, abs=0.02)
        assert changed == pytest.approx(0.1 * (N_BINS - 1) / N_BINS, abs=0.01)
        assert same == pytest.approx(0.1 + 0.1 / N_BINS, abs=0.01)
        assert torch.equal(masked.inputs[name].visible | evaluated, whole.visible)
        untouched = whole.visible & ~evaluated
        assert torch.equal(masked.inputs[name].values[untouched], whole.values[untouched])
    both = masked.evaluated["rna"] & masked.evaluated["meth"]
    assert float(both.float().mean()) == pytest.approx(0.15 * 0.15 * 0.7, abs=0.005), "drawn modality by modality"


def test_zeros_are_chosen_like_all_others_and_any_bin_may_come_in():
    whole = grid(400, 100)
    masked = mask({"rna": whole})
    evaluated, found = masked.evaluated["rna"], masked.inputs["rna"]
    for b in range(N_BINS):
        assert float(evaluated[whole.values == b].float().mean()) == pytest.approx(0.15, abs=0.02)
    changed = found.values[evaluated & found.visible & (found.values != whole.values)].long()
    fraction_b = torch.bincount(changed, minlength=N_BINS) / len(changed)
    assert len(fraction_b) == N_BINS
    torch.testing.assert_close(fraction_b, torch.full((N_BINS,), 1 / N_BINS), atol=0.04, rtol=0)


def test_what_is_masked_leaves_no_trace():
    whole = grid(50, 20)
    found = mask({"rna": whole}).inputs["rna"]
    hidden = whole.visible & ~found.visible
    assert hidden.any()
    changed = torch.where(hidden, (whole.values + 3) % N_BINS, whole.values)
    again = mask({"rna": Grid(changed, whole.visible, changed.sum(1))}).inputs["rna"]
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    torch.testing.assert_close(found.total, found.values.sum(1))


def test_everything_is_the_target_and_stays_as_it_was():
    grids = {"rna": grid(9, 7), "meth": grid(9, 7, 1)}
    before = {name: [part.clone() for part in whole] for name, whole in grids.items()}
    assert mask(grids, modality_rate=0.5).targets is grids
    for name, parts in before.items():
        assert all(torch.equal(a, b) for a, b in zip(parts, grids[name], strict=True))


def test_whole_modalities_are_masked_where_there_are_several():
    has_both = torch.arange(400) % 4 > 0
    grids = {"rna": grid(400, 40), "meth": grid(400, 40, 1, rows=has_both)}
    masked = mask(grids, modality_rate=0.5)
    shown = torch.stack([masked.inputs[name].visible.any(1) for name in grids], 1)
    assert torch.equal(shown.sum(1) > 0, torch.ones(400, dtype=torch.bool)), "none loses its last one"
    assert float((shown.sum(1)[has_both] == 1).float().mean()) == pytest.approx(0.5, abs=0.08)
    lost = has_both & ~shown[:, 1]
    assert float(masked.evaluated["meth"][lost].float().mean()) == pytest.approx(0.15, abs=0.02)


def test_the_seed_is_all_there_is_of_chance():
    grids = {"rna": grid(20, 30), "meth": grid(20, 30, 1)}
    torch.manual_seed(1)
    first = mask(grids, modality_rate=0.3)
    torch.manual_seed(2)
    again, other = mask(grids, modality_rate=0.3), mask(grids, modality_rate=0.3, seed=1)
    for name in grids:
        assert torch.equal(first.inputs[name].values, again.inputs[name].values)
        assert torch.equal(first.evaluated[name], again.evaluated[name])
        assert not torch.equal(first.evaluated[name], other.evaluated[name])


# ---- a second view --------------------------------------------------------------------------------------------------


def test_the_second_half_lacks_a_modality_and_is_otherwise_the_first():
    alone = torch.arange(60) % 3 == 0
    grids = {"rna": grid(60, 9), "meth": grid(60, 9, 1, rows=~alone)}
    masked = WithModalitySubsets(MaskBins(N_BINS))(grids, draws_for(grids))
    lost = []
    for name, whole in grids.items():
        full, partial = (Grid(*parts) for parts in zip(*(part.chunk(2) for part in masked.inputs[name]), strict=True))
        lost.append(full.visible.any(1) & ~partial.visible.any(1))
        kept = ~lost[-1]
        for a, b in zip(full, partial, strict=True):
            assert torch.equal(a[kept], b[kept])
        assert not partial.values[lost[-1]].any()
        torch.testing.assert_close(partial.total, partial.values.sum(1))
        assert torch.equal(masked.targets[name].values, torch.cat([whole.values, whole.values]))
        assert torch.equal(*masked.evaluated[name].chunk(2))
        plain = MaskBins(N_BINS)(grids, draws_for(grids))
        assert torch.equal(full.values, plain.inputs[name].values), "the full view is that of the masking"
    assert torch.equal(lost[0] ^ lost[1], ~alone), "exactly one of those that have two"
    assert lost[0].any()
    assert lost[1].any()


def test_a_masking_that_judges_everything_may_be_doubled_too():
    grids = {"rna": grid(6, 5), "meth": grid(6, 5, 1)}
    doubled = WithModalitySubsets(MaskFeatures((0.1, 0.5), 0.0))(grids, draws_for(grids))
    assert doubled.evaluated is None
    assert len(doubled.inputs["rna"].values) == 12


def test_with_a_range_each_observation_draws_its_own_rate_and_all_chosen_tokens_are_masked():
    grids = {"rna": grid(300, 400, 0), "meth": grid(300, 400, 1, missing=0.3)}
    masked = mask(grids, (0.3, 0.9))
    rates = {}
    for name, whole in grids.items():
        evaluated, inputs = masked.evaluated[name], masked.inputs[name]
        chosen = whole.visible & ~inputs.visible
        assert not (evaluated & ~chosen).any(), "what is evaluated is masked"
        assert float(evaluated.sum() / chosen.sum()) == pytest.approx(0.25, abs=0.01)
        assert not (chosen & ~whole.visible).any()
        assert torch.equal(inputs.values, whole.values * inputs.visible), "no bin is replaced by another"
        torch.testing.assert_close(inputs.total, inputs.values.sum(1))
        rates[name] = chosen.sum(1) / whole.visible.sum(1)
    assert float(rates["rna"].min()) > 0.2
    assert float(rates["rna"].max()) < 1.0
    assert float(rates["rna"].mean()) == pytest.approx(0.6, abs=0.03)
    assert float(rates["rna"].std()) == pytest.approx(0.6 / 12**0.5, abs=0.03), "uniform"
    assert float(torch.corrcoef(torch.stack(list(rates.values())))[0, 1]) > 0.9, "one rate for both modalities"
    assert MaskBins(N_BINS, (0.3, 0.9)).most_evaluated == pytest.approx(0.225)
    assert MaskBins(N_BINS, 0.15).most_evaluated == 0.15


def test_usual_rates():
    masking = MaskBins(N_BINS)
    assert (masking.n_bins, masking.rate, masking.modality_rate) == (N_BINS, 0.15, 0)
    whole = {"rna": grid(200, 100), "meth": grid(200, 100, 1)}
    masked = masking(whole, draws_for(whole))
    assert float(masked.evaluated["rna"].float().mean()) == pytest.approx(0.15, abs=0.01)
    assert all(part.visible.any(1).all() for part in masked.inputs.values()), "no modality is masked as a whole"


def test_at_a_rate_of_zero_nothing_is_chosen():
    whole = {"rna": grid(20, 10)}
    masked = mask(whole, rate=0.0)
    assert not masked.evaluated["rna"].any()
    assert all(torch.equal(a, b) for a, b in zip(masked.inputs["rna"], whole["rna"], strict=True))


def test_bins_that_come_in_are_drawn_anew_from_all_of_them():
    """All values are one bin, so that those that come in are known but for this one."""
    whole = Grid(torch.full((500, 60), 3.0), torch.ones(500, 60, dtype=torch.bool), torch.full((500,), 180.0))
    found = mask({"rna": whole}, rate=1.0).inputs["rna"]
    share_b = torch.bincount(found.values[found.visible].long(), minlength=N_BINS) / found.visible.sum()
    expected = torch.full((N_BINS,), 0.5 / N_BINS)
    expected[3] += 0.5  # a half of the visible ones stays
    torch.testing.assert_close(share_b, expected, atol=0.01, rtol=0)
    assert float(found.visible.float().mean()) == pytest.approx(0.2, abs=0.01)


def test_the_constants_are_those_that_the_figures_were_made_with():
    """With others, the figures of the documentation have to be made anew."""
    assert _bert.MASKED_FRACTION == 0.8
    assert _bert.RANDOM_FRACTION == 0.1
    assert _bert.EVALUATED_FRACTION == 0.25
