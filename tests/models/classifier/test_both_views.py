"""A classifier on the partial and the full view."""

import numpy as np
import torch

from omicsmlm import OmicsMLM
from omicsmlm.masking import FULL, PARTIAL, keep_visible
from omicsmlm.models.classifier._both_views import BothViews
from omicsmlm.models.classifier._module import ClassifierModule
from omicsmlm.nn import LabelHead
from tests.objects import SMALL, multiome


@torch.no_grad()
def test_the_logits_are_those_of_the_full_views_and_then_of_the_partial_ones():
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
    torch.testing.assert_close(found, torch.cat([classifier(full, batch), classifier(partial, batch)]))
    assert not torch.allclose(found[:12], found[12:])
    torch.testing.assert_close(module.encode(full).mean, model.module.encode(full).mean)
    assert module.n_latent == model.module.n_latent
