"""Covariates as columns, heads per modality, and the adversary's reversed gradient."""

import pytest
import torch

from omicsmlm._draws import Draws
from omicsmlm.nn import Adversary, CovariateEncoding, Decoder, FeatureHead, reverse_gradient

COVARIATES = torch.tensor([[0, 2], [1, 0], [-1, 1], [1, -1]])


def test_one_hot_columns_with_an_unknown_category_as_the_average():
    columns = CovariateEncoding([2, 3])(COVARIATES)
    third = 1 / 3
    expected = [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0], [0.5, 0.5, 0, 1, 0], [0, 1, third, third, third]]
    torch.testing.assert_close(columns, torch.tensor(expected))
    assert CovariateEncoding([2, 3]).width == 5


def test_numbers_are_columns_behind_the_categories_and_unknown_ones_are_means():
    encoding = CovariateEncoding([2], 2)
    assert encoding.width == 4
    codes_nk, numbers_nc = torch.tensor([[1], [0]]), torch.tensor([[0.5, -2.0], [0.0, 3.0]])
    assert encoding(codes_nk, numbers_nc).tolist() == [[0, 1, 0.5, -2], [1, 0, 0, 3]]
    assert encoding(codes_nk).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]


def test_numbers_stay_behind_the_batches_that_a_query_adds():
    heads = {"a": 3}
    old, new = (
        Decoder(
            2,
            4,
            CovariateEncoding([n, 2], 1),
            {name: FeatureHead(4, g, n, dispersed=False) for name, g in heads.items()},
        )
        for n in (2, 3)
    )
    new.load_from(old)
    before_dc, after_dc = old.trunk[0].weight, new.trunk[0].weight
    torch.testing.assert_close(after_dc[:, :4], before_dc[:, :4])
    torch.testing.assert_close(after_dc[:, 5:], before_dc[:, 4:])
    torch.testing.assert_close(after_dc[:, 4], before_dc[:, 2:4].mean(1))
    known = torch.tensor([[1, 0]]), torch.tensor([[0.7]])
    z_nd = torch.randn(1, 2)
    torch.testing.assert_close(
        new(z_nd, known[0], numbers_nc=known[1])["a"].logits, old(z_nd, known[0], numbers_nc=known[1])["a"].logits
    )


def test_the_batch_is_the_first_covariate_and_an_unknown_one_has_a_category_of_its_own():
    assert CovariateEncoding([2, 3]).batch(COVARIATES).tolist() == [0, 1, 2, 1]


def test_without_covariates_there_is_one_batch():
    none = torch.zeros(3, 0, dtype=torch.int64)
    assert CovariateEncoding([])(none).shape == (3, 0)
    assert CovariateEncoding([])(none).dtype == torch.float32
    assert CovariateEncoding([]).batch(none).tolist() == [0] * 3


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = FeatureHead(4, 6, 2, dispersed=True, n_sampled=3)
    with torch.no_grad():
        head.bias.normal_()
        head.log_dispersion.normal_()
    return head


def test_a_head_adds_the_bias_of_the_batch(head):
    h, batch = torch.randn(3, 4), torch.tensor([0, 1, 2])  # 2: unknown, the average
    bias, dispersion = (torch.cat([part, part.mean(0, keepdim=True)]) for part in (head.bias, head.log_dispersion))
    said = head.eval()(h, batch)
    for i in range(3):
        torch.testing.assert_close(said.logits[i], head.linear.weight @ h[i] + head.linear.bias + bias[i])
        torch.testing.assert_close(said.log_dispersion[said.category[i]], dispersion[i])
    assert said.features is None


def test_in_training_a_head_decodes_a_sample_of_features(head):
    h, batch = torch.randn(2, 4), torch.tensor([0, 1])
    whole, draws = head(h, batch), Draws(1, torch.arange(2))
    drawn = {tuple(sorted(head(h, batch, draws).features.tolist())) for _ in range(20)}
    assert len(drawn) > 1, "the sample is drawn anew each time"
    part = head(h, batch, draws)
    assert len(set(part.features.tolist())) == 3
    torch.testing.assert_close(part.logits, whole.logits[:, part.features])
    torch.testing.assert_close(part.log_dispersion, whole.log_dispersion[:, part.features])


def test_a_head_without_sampling_or_dispersion():
    said = FeatureHead(4, 6, 1, dispersed=False, n_sampled=6).train()(torch.randn(2, 4), torch.zeros(2).long())
    assert said.log_dispersion is None
    assert said.features is None
    assert said.logits.shape == (2, 6)


def test_the_decoder_is_told_latent_and_covariates():
    torch.manual_seed(0)
    decoder = Decoder(
        3,
        8,
        CovariateEncoding([2]),
        {"rna": FeatureHead(8, 5, 2, dispersed=True), "atac": FeatureHead(8, 4, 2, dispersed=False)},
    )
    z, batch = torch.randn(3, 3), torch.tensor([[0], [1], [0]])
    said = decoder(z, batch)
    assert {name: one.logits.shape for name, one in said.items()} == {"rna": (3, 5), "atac": (3, 4)}
    assert not torch.allclose(decoder(z, 1 - batch)["rna"].logits, said["rna"].logits)
    assert not torch.allclose(decoder(z + 1, batch)["atac"].logits, said["atac"].logits)
    assert decoder.head("atac") is decoder.heads[1]


def test_a_reversed_gradient_passes_values_on():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = reverse_gradient(x)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 5.0])).sum().backward()
    assert x.grad.tolist() == [-3, -5]


def test_the_adversary_learns_the_batch_and_teaches_the_latent_the_opposite():
    torch.manual_seed(0)
    adversary = Adversary(4, 2)
    z, batch = torch.randn(8, 4), torch.arange(8) % 2
    plain, reversed_ = z.clone().requires_grad_(), z.clone().requires_grad_()
    torch.nn.functional.cross_entropy(adversary.layers(plain), batch).backward()
    own = adversary.layers[0].weight.grad.clone()
    adversary.zero_grad()
    torch.nn.functional.cross_entropy(adversary(reversed_), batch).backward()
    torch.testing.assert_close(reversed_.grad, -plain.grad)
    torch.testing.assert_close(adversary.layers[0].weight.grad, own)
    assert plain.grad.abs().max() > 0


# ---- queries: more batches ---------------------------------------------------------------------------------------------


def decoders(sizes=((2, 3), (4, 3)), names=(("rna", "atac"), ("rna", "atac"))):
    """A decoder of some covariates, and one that knows more batches."""
    torch.manual_seed(0)
    made = []
    for covariates, own in zip(sizes, names, strict=True):
        heads = {
            name: FeatureHead(8, 5, max(1, covariates[0] if covariates else 1), dispersed=name == "rna") for name in own
        }
        made.append(Decoder(3, 8, CovariateEncoding(covariates), heads))
        with torch.no_grad():
            for weight in made[-1].parameters():
                weight.normal_()
    return made


def test_a_decoder_of_more_batches_starts_as_the_one_that_it_copies():
    old, new = decoders()
    new.load_from(old)
    z, covariates = torch.randn(4, 3), torch.tensor([[0, 2], [1, 0], [0, 1], [1, -1]])
    for name, found in new(z, covariates).items():
        torch.testing.assert_close(found.logits, old(z, covariates)[name].logits)
    mean_of_known, own = torch.tensor([[-1, 2]] * 2), torch.tensor([[2, 2], [3, 2]])
    for name, found in new(z[:2], own).items():
        torch.testing.assert_close(
            found.logits, old(z[:2], mean_of_known)[name].logits, msg="a new batch is the average"
        )
    log_dispersion = new.head("rna").log_dispersion
    torch.testing.assert_close(log_dispersion[:2], old.head("rna").log_dispersion)
    torch.testing.assert_close(log_dispersion[2:], old.head("rna").log_dispersion.mean(0).expand(2, -1))
    assert new.head("atac").log_dispersion is None


def test_a_decoder_without_covariates_is_copied_too():
    old, new = decoders(((), ()))
    new.load_from(old)
    z, none = torch.randn(4, 3), torch.zeros(4, 0, dtype=torch.int64)
    for name, found in new(z, none).items():
        torch.testing.assert_close(found.logits, old(z, none)[name].logits)
    assert (CovariateEncoding([]).n_batches, CovariateEncoding([4, 2]).n_batches) == (0, 4)


def test_what_a_query_adapts_is_what_is_of_its_batches_and_of_added_features():
    _, new = decoders(names=(("rna", "atac"), ("rna", "atac", "rna+")))
    found = {id(weight): mask for weight, mask in new.adaptable(2, ["rna+"])}
    trunk = new.trunk.get_parameter("0.weight")
    expected = torch.zeros_like(trunk)
    expected[:, 3 + 2 : 3 + 4] = 1
    assert torch.equal(found.pop(id(trunk)), expected), "columns of the new batches: latent 3, batches 4, covariate 3"
    for name in ("rna", "atac"):
        for table in filter(lambda part: part is not None, (new.head(name).bias, new.head(name).log_dispersion)):
            rows = torch.zeros_like(table)
            rows[2:] = 1
            assert torch.equal(found.pop(id(table)), rows)
    for weight in new.head("rna+").parameters():
        assert found.pop(id(weight)).all()
    assert found == {}


def test_a_head_is_initialised_with_means_of_batches(head):
    before, bias = head.linear.weight.detach().clone(), torch.randn(2, 6)
    head.initialize(bias)
    torch.testing.assert_close(head.bias.detach(), bias)
    torch.testing.assert_close(head.linear.weight.detach(), 0.5 * before)
    assert not head.linear.bias.any()


@pytest.mark.parametrize(("given", "used"), [(None, 0), (5, 5), (6, 0), (7, 0)])
def test_a_sample_of_as_many_features_as_there_are_is_none(given, used):
    options = {} if given is None else {"n_sampled": given}
    assert FeatureHead(4, 6, 1, dispersed=False, **options).n_sampled == used


def test_unknown_categories_of_one_covariate_have_all_of_its_columns():
    assert CovariateEncoding([4])(torch.tensor([[-1]])).tolist() == [[0.25] * 4]
