"""Records that a saved model keeps as JSON: hyper-parameters, those that were given and those derived from the data."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol, get_args, get_origin, get_type_hints

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
