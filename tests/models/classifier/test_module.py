import torch

from omicsmlm import OmicsMLM
from omicsmlm.models.classifier._module import ClassifierModule
from omicsmlm.nn import LabelHead
from tests.objects import SMALL, multiome


def test_logits_are_the_head_of_the_embedding():
    model = OmicsMLM(multiome(24), SMALL)
    head = LabelHead(model.module.n_latent, 3)
    head.centre_d.fill_(0.5)
    head.scale.fill_(2.0)
    module = ClassifierModule(model.module, head).eval()
    assert module.n_latent == model.module.n_latent
    batch = model.adata_manager.create_torch_dataset()[[0, 5, 9]]
    views = model.parts.tokenizer(batch)
    with torch.no_grad():
        z_nd = model.embed_batch(batch)
        torch.testing.assert_close(module.embed(views, batch).mean, z_nd)
        torch.testing.assert_close(module.encode(views).mean, model.module.encode(views).mean)
        by_hand = (z_nd - 0.5) / 2 @ head.linear.weight.T + head.linear.bias
        torch.testing.assert_close(module(views, batch), by_hand)
