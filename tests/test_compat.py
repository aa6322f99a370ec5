"""What other packages change behind our back is put right."""

import pytest
import torch

from omicsmlm._compat import AnnDataManagerValidationCheck, keep_torch_threads


def one_more_thread(error=None):
    with keep_torch_threads():
        torch.set_num_threads(torch.get_num_threads() + 1)
        if error is not None:
            raise error


def test_the_number_of_threads_is_restored():
    n_threads = torch.get_num_threads()
    one_more_thread()
    assert torch.get_num_threads() == n_threads
    with pytest.raises(OSError, match="full"):
        one_more_thread(OSError("full"))
    assert torch.get_num_threads() == n_threads, "after an error too"


def test_the_private_path_has_the_option_that_unpaired_objects_need():
    assert not AnnDataManagerValidationCheck(check_fully_paired_mudata=False).check_fully_paired_mudata
