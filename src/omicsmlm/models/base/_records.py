"""Records that a saved model keeps as JSON: hyper-parameters, those that were given and those derived from the data."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Union, get_args, get_origin, get_type_hints

import numpy as np

from omicsmlm._checks import named, shortened, value_error


class Config(Protocol):
    """Hyper-parameters of a family: a frozen data class that has at least these."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def patience(self) -> int:
        """Rounds without a better validation loss before training stops."""
        ...

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        ...


class FormerFields(NamedTuple):
    """Fields that older versions saved with a record, and that it no longer has under that name.

    Examples
    --------
    >>> former = FormerFields(renamed={"hidden_rates": "mask_rates"}, constants={"kl_power": 2.25})
    """

    renamed: Mapping[str, str] = MappingProxyType({})
    """What a field is called now, by the name it had."""
    constants: Mapping[str, object] = MappingProxyType({})
    """Value of what is a constant now, by the name of the field it was; it must not be saved with any other."""
    absent: Mapping[str, object] = MappingProxyType({})
    """What a newer field was, in effect, in the versions that did not save it; its default is another."""


NO_VALUE = object()
"""Stands for a value that is none of a type."""
TYPES = {int: "a whole number", float: "a number", bool: "True or False", str: "a text", NoneType: "None"}
"""Types that are checked, and what they are called in a message."""
RANGES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "seed": (lambda seed: seed >= 0, "a whole number, at least 0"),
    "patience": (lambda patience: patience >= 1, "at least 1"),
    "learning_rate": (lambda rate: rate > 0, "a number above 0"),
    "weight_decay": (lambda decay: decay >= 0, "at least 0"),
    "dropout": (lambda rate: 0 <= rate < 1, "a fraction below 1"),
    "modality_rate": (lambda rate: 0 <= rate <= 1, "a probability"),
    "mask_rates": (lambda rates: 0 <= rates[0] <= rates[1] <= 1, "two fractions, the lower first"),
    "width": (lambda width: width >= 1, "at least 1"),
    "n_heads": (lambda n: n >= 1, "at least 1"),
    "rank": (lambda rank: rank >= 1, "at least 1"),
}
"""Ranges of fields that mean the same in all families and heads that have them."""


def check_config(config: object, config_class: type) -> None:
    """Check that hyper-parameters, if given, are a record of a class.

    Raises
    ------
    ValueError
        If they are anything else, such as a dictionary.
    """
    if config is not None and not isinstance(config, config_class):
        name = config_class.__name__
        remedy = f"pass {name}(**config)" if isinstance(config, dict) else f"pass {name}(), say"
        raise value_error("config", f"an {name}", shortened(config), remedy)


def check_fields(config: Any) -> None:
    """Check that each field of hyper-parameters is of the type of its annotation, and in range if its name is in ``RANGES``.

    What is meant all the same becomes what it should be: 2.0 an integer, a list of two numbers a pair, a path a text.

    Parameters
    ----------
    config
        A frozen data class; called when it is made, before anything is computed from its fields.

    Raises
    ------
    ValueError
        If a field is of another type, not finite, or out of range.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Sizes:
    ...     width: int = 8
    ...     mask_rates: tuple[float, float] = (0.1, 0.5)
    >>> sizes = Sizes(16.0, [0.2, 0.3])
    >>> check_fields(sizes)
    >>> sizes
    Sizes(width=16, mask_rates=(0.2, 0.3))
    """
    for name, hint in get_type_hints(type(config)).items():
        value = getattr(config, name)
        options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if not all(option in TYPES or get_origin(option) in (tuple, Literal) for option in options):
            continue  # a mapping: whoever uses it checks it
        found: Any = next((made for option in options if (made := _of_type(value, option)) is not NO_VALUE), NO_VALUE)
        if found is NO_VALUE:
            wanted = " or ".join(map(_type_name, options))
            raise value_error(name, wanted, shortened(value), "leave it out for the default")
        object.__setattr__(config, name, found)
        if name in RANGES and found is not None and not RANGES[name][0](found):
            raise value_error(name, RANGES[name][1], shortened(value), "leave it out for the default")


def _of_type(value: Any, option: Any) -> Any:
    """Return a value as one of a type, or NO_VALUE if it is none."""
    is_switch = isinstance(value, bool | np.bool_)
    if option is NoneType:
        return None if value is None else NO_VALUE
    if option is str:
        return os.fspath(value) if isinstance(value, str | os.PathLike) else NO_VALUE
    if option is bool:
        return bool(value) if is_switch else NO_VALUE
    if get_origin(option) is Literal:
        return value if isinstance(value, str) and value in get_args(option) else NO_VALUE
    if get_origin(option) is tuple:
        return _several(value, get_args(option))
    if is_switch or not isinstance(value, int | float | np.integer | np.floating) or not math.isfinite(value):
        return NO_VALUE
    if option is float:
        return float(value)
    whole = int(value)
    return whole if value == whole and abs(whole) < 2**63 else NO_VALUE


def _several(value: Any, options: tuple[Any, ...]) -> Any:
    """Return a list or tuple as a tuple of values of these types, or NO_VALUE."""
    if not isinstance(value, list | tuple):
        return NO_VALUE
    if options[-1] is Ellipsis:
        options = options[:1] * len(value)
    if len(value) != len(options):
        return NO_VALUE
    found = tuple(_of_type(part, option) for part, option in zip(value, options, strict=True))
    return NO_VALUE if NO_VALUE in found else found


def _type_name(option: Any) -> str:
    """Return what an annotation is called in a message."""
    if get_origin(option) is Literal:
        *others, last = (f'"{choice}"' for choice in get_args(option))
        return f"{', '.join(others)} or {last}" if others else last
    if get_origin(option) is tuple:
        return "several numbers" if get_args(option)[-1] is Ellipsis else "two numbers"
    return TYPES[option]


def to_json(record: Any) -> Any:
    """Return a record, and those within it, as what JSON can hold: dictionaries, lists, texts and numbers.

    Examples
    --------
    >>> to_json({"scale": FormerFields({"a": "b"}, {}), "sizes": (1, 2)})
    {'scale': {'renamed': {'a': 'b'}, 'constants': {}, 'absent': {}}, 'sizes': [1, 2]}
    """
    if is_dataclass(record) and not isinstance(record, type):
        return {field.name: to_json(getattr(record, field.name)) for field in fields(record)}
    if isinstance(record, tuple) and hasattr(record, "_asdict"):
        return to_json(record._asdict())
    if isinstance(record, Mapping):
        return {name: to_json(value) for name, value in record.items()}
    return [to_json(value) for value in record] if isinstance(record, list | tuple) else record


def from_json[R](record_class: type[R], saved: Mapping[str, Any], former: FormerFields) -> R:
    """Return a record from what :func:`to_json` made of it, in this version or an older one.

    Parameters
    ----------
    record_class
        Data class or NamedTuple; records within it are made as its annotations say.
    saved
        Its fields; those that are not there get what ``former`` says of them, and else their defaults.
    former
        Fields that older versions saved.

    Raises
    ------
    ValueError
        If there is a field that no version has, or one that became a constant and was saved with another value.
    """
    hints = get_type_hints(record_class)
    known = dict(former.absent)
    for name, value in saved.items():
        current = former.renamed.get(name, name)
        if current in former.constants:
            _check_constant(record_class, name, value, former.constants[current])
        elif current in hints:
            known[current] = _typed(value, hints[current])
        else:
            wanted = f"fields of {record_class.__name__}"
            raise value_error("load", wanted, named([name]), "load it with the version of omicsmlm that saved it")
    return record_class(**known)


def _check_constant(record_class: type, name: str, saved: object, constant: object) -> None:
    if to_json(saved) != to_json(constant):
        wanted = f"{record_class.__name__} with {name}={constant!r}, which is no longer a hyper-parameter"
        raise value_error("load", wanted, repr(saved), "load it with the version of omicsmlm that saved it")


def _typed(value: Any, hint: Any) -> Any:
    """Return a value as its annotation says, where JSON has a list or a dictionary in the place of a tuple or a record."""
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(value, list):
        is_tuple = origin is tuple or any(get_origin(option) is tuple for option in arguments)
        return tuple(value) if is_tuple else value
    if not isinstance(value, dict):
        return value
    if len(arguments) == 2 and arguments[0] is str:
        return {name: _typed(part, arguments[1]) for name, part in value.items()}
    if is_dataclass(hint) or hasattr(hint, "_fields"):
        assert isinstance(hint, type)
        return from_json(hint, value, FormerFields())
    return value
