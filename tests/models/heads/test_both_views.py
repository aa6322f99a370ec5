"""A network on the partial and the full view."""

import numpy as np
import torch

from omicsmlm import OmicsMLM
from omicsmlm.masking import FULL, PARTIAL, keep_visible
from omicsmlm.models.classifier._module import ClassifierModule
from omicsmlm.models.heads import BothViews
from omicsmlm.nn import LabelHead
from tests.objects import SMALL, multiome


@torch.no_grad()
def test_predictions_and_embeddings_are_those_of_each_view():
    model = OmicsMLM(multiome(48), SMALL)
    classifier = ClassifierModule(model.module, LabelHead(model.module.n_latent, 3)).eval()
    batch = model.adata_manager.create_torch_dataset()[np.arange(12)]
    full = model.parts.tokenizer(batch)
    partial = {
        name: keep_visible(grid, grid.visible & (torch.arange(grid.visible.shape[1]) % 2 == 0))
        for name, grid in full.items()
    }
    module = BothViews(classifier).eval()
    found = module({FULL: full, PARTIAL: partial}, batch)
    torch.testing.assert_close(found.full, classifier(full, batch))
    torch.testing.assert_close(found.partial, classifier(partial, batch))
    assert not torch.allclose(found.full, found.partial)
    torch.testing.assert_close(found.full_nd, model.module.encode(full).mean)
    torch.testing.assert_close(found.partial_nd, model.module.encode(partial).mean)
    torch.testing.assert_close(module.encode(full).mean, model.module.encode(full).mean)
    assert module.n_latent == model.module.n_latent
