"""What public functions say of an argument of another type than they document: one sentence, in the place of a foreign traceback."""

import os
import re
import types
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from inspect import BoundArguments, signature
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
from scipy import sparse

from ._checks import shortened, value_error

FOREIGN = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, AssertionError, OSError, RecursionError)
"""What libraries raise where they are given what they do not take."""
SENTENCE = re.compile(r": expected [^\n]+, got [^\n]+; [^\n]+\.$")
WORDS: dict[Any, str] = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    type(None): "None",
    Path: "a path",
    np.ndarray: "an array",
    pd.DataFrame: "a table",
}
LISTS = (list, tuple, np.ndarray, pd.Series, pd.Index)
"""What is taken for a sequence that can be gone through again."""
Misfit = tuple[str, str, str]
"""Name of an argument, what was expected and what was found."""
NUMBERS = (int, float, np.integer, np.floating)


def in_one_sentence_of_types[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that tells, where it fails, of the first argument that is not of the type it documents.

    Calls that succeed, and errors that are sentences already, are not touched.

    Examples
    --------
    >>> @in_one_sentence_of_types
    ... def half(number: float) -> float:
    ...     return number / 2
    >>> half("4")
    Traceback (most recent call last):
    ...
    ValueError: number: expected a number, got '4'; see the documentation of half.
    """

    @wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except FOREIGN as error:
            if isinstance(error, ValueError) and SENTENCE.search(str(error)):
                raise
            try:
                bound = signature(function).bind(*args, **kwargs)
            except TypeError:  # a call that Python itself refuses
                raise error from None
            if (found := _misfit(function, bound) or _texts_for_numbers(bound, str(error))) is None:
                raise
            remedy = f"see the documentation of {function.__name__}"
            raise value_error(*found, remedy) from error

    return within


def _misfit(function: Callable[..., Any], bound: BoundArguments) -> Misfit | None:
    """Return the name of the first argument that does not fit, what was wanted, and what was given; None if all may.

    This is asked after a failure alone. First types are looked at, then numbers below 0 or missing, then values by observation:
    whether they are any, as many as of the others, and none missing.
    """
    hints, defaults = get_type_hints(function), bound.signature.parameters
    given = {name: value for name, value in bound.arguments.items() if value is not defaults[name].default}
    for name, value in given.items():
        if name in hints and not fits(value, hints[name]):
            return name, described(hints[name]), shortened(value)
    for name, value in given.items():
        if isinstance(value, NUMBERS) and not value >= 0:
            return name, "a number of 0 or more", str(value)
    listed = {name: value for name, value in given.items() if hints.get(name) in (Any, np.ndarray)}
    return _misfit_of_values(listed)


def _misfit_of_values(listed: Mapping[str, object]) -> Misfit | None:
    """Return the same of values by observation, such as an embedding and labels."""
    for name, value in listed.items():
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return name, "values by observation", shortened(value.item())
        if not isinstance(value, (*LISTS, pd.DataFrame)) and not sparse.issparse(value):
            return name, "values by observation", shortened(value)
    sizes = {name: value.shape[0] if hasattr(value, "shape") else len(value) for name, value in listed.items()}  # type: ignore[arg-type]
    usual, n_alike = Counter(sizes.values()).most_common(1)[0] if sizes else (0, 0)
    n_obs = usual if n_alike > 1 else max(sizes.values(), default=0)
    for name, size in sizes.items():
        if size != n_obs or size == 0:
            return name, f"a value for each of the {n_obs} observations", f"{size} values"
    for name, value in listed.items():
        if not sparse.issparse(value) and bool(np.all(pd.isna(np.asarray(value, dtype=object)))):
            return name, "values that are not all missing", "missing ones alone"
    return None


def _texts_for_numbers(bound: BoundArguments, message: str) -> Misfit | None:
    """Return the first argument with texts in the place of numbers, where that is what numpy said."""
    if "string to float" not in message and "dtypes are not compatible" not in message:
        return None
    for name, value in bound.arguments.items():
        if isinstance(value, (*LISTS, pd.DataFrame)):
            texts = [one for one in np.asarray(value, dtype=object).ravel()[:1000] if isinstance(one, str)]
            if texts and ("compatible" in message or any(repr(one) in message for one in texts)):
                return name, "numbers", f"texts such as {texts[0]!r}"
    return None


def fits(value: object, hint: Any) -> bool:
    """Return whether a value is of a documented type; of what cannot be told, it is.

    Examples
    --------
    >>> fits(3, int | None), fits("3", int | None), fits(True, int), fits([1], Sequence[str]), fits(2, float)
    (True, False, False, False, True)
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is Literal:
        return any(type(value) is type(one) and value == one for one in arguments)
    if hint is bool:
        return isinstance(value, bool | np.bool_)
    if hint in (int, float):
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool | np.bool_)
    if hint is Path:
        return isinstance(value, os.PathLike)
    if hint is np.ndarray:
        return isinstance(value, LISTS)
    if origin is Mapping:
        return isinstance(value, Mapping)
    if origin in (Sequence, Iterable, list, tuple):
        return _fits_sequence(value, arguments[:1])
    return isinstance(value, hint) if isinstance(hint, type) else True


def _fits_sequence(value: object, of: tuple[Any, ...]) -> bool:
    if isinstance(value, str | bytes | Mapping) or sparse.issparse(value):
        return False
    if not isinstance(value, Sequence | Iterable):
        return False
    return not isinstance(value, LISTS) or all(fits(one, kind) for kind in of for one in value)


def described(hint: Any) -> str:
    """Return what a type is called in a message.

    Examples
    --------
    >>> described(int | None), described(Sequence[str]), described(Literal["a", "b"])
    ('a whole number or None', 'a list of text', "'a' or 'b'")
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(described(one) for one in arguments))
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is Mapping:
        return "a mapping"
    if origin in (Sequence, Iterable, list, tuple):
        return f"a list of {described(arguments[0])}" if arguments and arguments[0] is not Any else "a list"
    return WORDS.get(hint, getattr(hint, "__name__", str(hint)))
