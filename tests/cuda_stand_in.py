"""A CUDA device where there is none: tensors that say they are on one, whose values are computed on the CPU.

As there are values, a step can be run to its end whatever it asks of them; what the host would have to wait for is noted, and
tensors of two devices that meet are an error. (Of FakeTensorMode, which has no values, a step cannot ask any.)
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.attention.varlen
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
READS = {
    "_local_scalar_dense",
    "item",
    "is_nonzero",
    "equal",
    "nonzero",
    "masked_select",
    "bincount",
    "histc",
    "unique_consecutive",
    "unique_dim",
    "_unique",
    "_unique2",
    "_linalg_check_errors",
    "isin",
}
"""Operations whose result, or its shape, the host reads, on CUDA."""
COPIES = {"_to_copy", "copy_", "copy"}
INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}


class OnCuda(Tensor):
    """A tensor that says it is on a CUDA device."""

    value: Tensor
    """What is there, on the CPU."""

    @staticmethod
    def __new__(cls, value: Tensor) -> "OnCuda":
        """Put a value on the device."""
        kept = torch.Tensor._make_wrapper_subclass(
            cls,
            value.size(),
            strides=value.stride(),
            storage_offset=value.storage_offset(),
            dtype=value.dtype,
        )
        kept.value = value
        return kept

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it says it is; to autograd, which has threads of its own for cards that are there, it is on the CPU."""
        return CUDA

    @property
    def is_cuda(self) -> bool:  # type: ignore[override]
        """Whether it says it is on a card."""
        return True

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Read values, and move to and fro, as on a card."""
        kwargs = kwargs or {}
        if func in (Tensor.tolist, Tensor.numpy):
            read = args[0].cpu()
            return getattr(read, func.__name__)(*args[1:], **kwargs)
        if func is nn.functional.one_hot:  # on a card it asks nothing
            return OnCuda(func(args[0].value, *args[1:], **kwargs))
        if func in (Tensor.to, Tensor.type_as) and isinstance([*args, None][1], OnCuda):
            return Tensor.to(args[0], device=CUDA, dtype=args[1].dtype)
        if func is Tensor.cpu or (
            func is Tensor.to and isinstance(args[0], OnCuda) and _is_cpu((*args[1:], *kwargs.values()))
        ):
            return _FromCuda.apply(args[0])
        return super().__torch_function__(func, types, args, kwargs)

    def __repr__(self, *, tensor_contents: object = None) -> str:
        """Show the values."""
        return f"OnCuda({self.value!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute on the CPU."""
        return _computed(func, args, kwargs or {})


class _FromCuda(torch.autograd.Function):
    """A copy on the CPU: at the level of operations it would be none, as the device is the CPU's there."""

    @staticmethod
    def forward(ctx: Any, there: Tensor) -> Tensor:  # type: ignore[override]
        assert isinstance(there, OnCuda)
        _note(f"copy to the host at {_place()}")
        return there.value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return OnCuda(gradient)


def _is_cpu(arguments: tuple[Any, ...]) -> bool:
    return any(a == "cpu" or (isinstance(a, torch.device) and a.type == "cpu") for a in arguments)


def _note(line: str) -> None:
    for ledger in OPEN:
        ledger.waits.append(line)


OPEN: list["Ledger"] = []
"""Those that note now."""


class Ledger(TorchDispatchMode):
    """Notes what the host waits for, what is copied between it and the device, and each float64 there."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []
        self.doubles: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the operation, and do it."""
        kwargs = kwargs or {}
        if _waits(func, args, kwargs):
            self.waits.append(f"{func} at {_place()}")
        out = _computed(func, args, kwargs)
        if any(isinstance(leaf, OnCuda) and leaf.dtype == torch.float64 for leaf in _leaves(out)):
            self.doubles.append(f"{func} at {_place()}")
        return out


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name, leaves = func.overloadpacket.__name__, _leaves(*args, *kwargs.values())
    there = [leaf for leaf in leaves if isinstance(leaf, OnCuda)]
    asked = torch.device(kwargs["device"]).type if kwargs.get("device") is not None else None
    to_cuda = asked == "cuda" or bool(there)
    if name == "copy_":
        to_cuda = isinstance(args[0], OnCuda)
    elif (
        there and name not in INDEXING and torch._C._current_graph_task_id() == -1
    ):  # the engine makes zeros on the CPU
        here = [leaf for leaf in leaves if isinstance(leaf, Tensor) and not isinstance(leaf, OnCuda) and leaf.dim()]
        assert not here, f"{func} meets tensors of two devices at {_place()}"
    if asked == "cuda":
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*_mapped(_value, args), **{key: _mapped(_value, given) for key, given in kwargs.items()})
    if not to_cuda:
        return out.clone() if there and isinstance(out, Tensor) and name in COPIES else out
    out = _mapped(lambda leaf: OnCuda(leaf) if isinstance(leaf, Tensor) else leaf, out)
    return return_and_correct_aliasing(func, args, kwargs, out) if there else out


def _leaves(*given: Any) -> list[Any]:
    """Return what an operation is given or gives, out of lists and tuples; PyTorch's trees took longer than all operations."""
    found = []
    for one in given:
        if isinstance(one, list | tuple):
            found += _leaves(*one)
        else:
            found.append(one)
    return found


def _mapped(act: Callable[[Any], Any], given: Any) -> Any:
    """Return the same with each leaf replaced."""
    if isinstance(given, list | tuple):
        return type(given)([_mapped(act, one) for one in given])
    return act(given)


def _value(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, OnCuda) else leaf


def _varlen(query_thd: Tensor, key_shd: Tensor, value_shd: Tensor, *where: Any) -> Tensor:
    """Do what the kernel does; what belongs to no row is whatever was in the memory, here NaN."""
    offsets, key_offsets, longest, longest_key = where
    assert {type(offsets), type(key_offsets)} == {OnCuda}, "the kernel takes offsets on the device"
    length, key_length = (part.value.diff().tolist() for part in (offsets, key_offsets))
    rest, key_rest = len(query_thd) - sum(length), len(key_shd) - sum(key_length)
    assert max(length) <= longest, "rows longer than was said"
    assert max(key_length) <= longest_key, "rows of keys longer than was said"
    assert min(rest, key_rest) >= 0, "rows that end beyond the tokens"
    query, keys = query_thd.split([*length, rest]), key_shd.split([*key_length, key_rest])
    found = []
    for q, k, v in zip(query[:-1], keys[:-1], value_shd.split([*key_length, key_rest])[:-1], strict=True):
        score_hlm = torch.einsum("lhd,mhd->hlm", q, k).float() * q.shape[2] ** -0.5
        out_lhd = torch.einsum("hlm,mhd->lhd", score_hlm.softmax(2).to(v.dtype), v)
        found.append(out_lhd if len(k) else torch.full_like(q, torch.nan))
    return torch.cat([*found, torch.full_like(query[-1], torch.nan)])


def _waits(func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
    name, leaves = func.overloadpacket.__name__, _leaves(*args, *kwargs.values())
    there = any(isinstance(leaf, OnCuda) for leaf in leaves)
    if name in COPIES:
        asked = kwargs.get("device")
        ends = [isinstance(leaf, OnCuda) for leaf in leaves if isinstance(leaf, Tensor)]
        return (len(set(ends)) > 1) or (not there and asked is not None and torch.device(asked).type == "cuda")
    if not there:
        return False
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    if name in INDEXING:
        chosen = [index for index in args[1] if index is not None]
        return any(i.dtype in (torch.bool, torch.uint8) or not isinstance(i, OnCuda) for i in chosen)
    return name in READS


def _place() -> str:
    """Name the lines of the package from which this is called, the innermost first."""
    frame, found = sys._getframe(), []
    while frame is not None and len(found) < 3:
        file = frame.f_code.co_filename
        if "/omicsmlm/" in file and "site-packages" not in file:
            found.append(f"{file.split('/omicsmlm/')[-1]}:{frame.f_lineno}")
        frame = frame.f_back  # type: ignore[assignment]
    return " < ".join(found)


class _Autocast(torch.autocast):
    """That of the CPU, on which it is computed."""

    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu", *args, **kwargs)


def pretend(monkeypatch: Any) -> None:
    """Let PyTorch answer as if there were a card of today where the code asks for one."""
    if not torch.cuda.is_available():
        torch._C._ensureCUDADeviceGuardSet()
        monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    _by_device(monkeypatch)
    monkeypatch.setattr(torch, "autocast", _Autocast)
    monkeypatch.setattr(torch.nn.attention.varlen, "varlen_attn", _varlen)


def _by_device(monkeypatch: Any) -> None:
    """Let what treats tensors many at a time take these as it does those of a card."""
    group = torch.utils._foreach_utils._group_tensors_by_device_and_dtype

    def grouped(lists: Any, with_indices: bool = False) -> Any:
        found = group(lists, with_indices)
        there = any(isinstance(leaf, OnCuda) for leaf in tree_leaves(lists))
        return {(CUDA if there else device, dtype): parts for (device, dtype), parts in found.items()}

    for module in (nn.utils.clip_grad, sys.modules["torch.optim.optimizer"]):
        monkeypatch.setattr(module, "_group_tensors_by_device_and_dtype", grouped)
    monkeypatch.setattr(nn.utils.clip_grad, "_has_foreach_support", lambda tensors, device: True)


def on_cuda(tree: Any) -> Any:
    """Return a record with all of its tensors on the device."""
    return tree_map(lambda leaf: OnCuda(leaf.detach().clone()) if isinstance(leaf, Tensor) else leaf, tree)


def move(module: nn.Module) -> nn.Module:
    """Move a module, in place."""
    for part in module.modules():
        for name, weight in list(part._parameters.items()):
            if weight is not None:
                part._parameters[name] = nn.Parameter(on_cuda(weight), requires_grad=weight.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = on_cuda(buffer)
    return module


@contextmanager
def noted() -> Iterator[Ledger]:
    """Run on the device, and note what the host waits for."""
    with Ledger() as ledger:
        OPEN.append(ledger)
        try:
            yield ledger
        finally:
            OPEN.remove(ledger)
