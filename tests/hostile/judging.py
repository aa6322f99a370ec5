"""What came of a hostile object or call: the right numbers, our sentence, or one of the things that must not be."""

import logging
import re
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from omicsmlm import Classifier, Survival, SurvivalConfig
from tests.hostile.recipes import Recipe
from tests.objects import QUIET, state_of
from tests.test_contract import FAMILIES

SENTENCE = re.compile(r"^[^\n]+: expected [^\n]+, got [^\n]+; [^\n]+[^.]\.$")
RISKS = SurvivalConfig(n_networks=1, n_steps=2, n_components=4, n_pooled_components=4, n_folds=2)
TOLERANCE = 1e-5
"""Of an embedding whose largest number is 1 or less; relative to the largest of a larger one."""
REGISTERED = ("_scvi", "uns")
"""What scvi-tools writes into an object that a model was made of, or that it embedded."""
FINE, SENTENCES, NO_OBJECT = "fine", "sentence", "no object"
FAULTS = ("foreign traceback", "changed", "NaN", "order-dependent", "wrong shape", "hang", "crash")


class Verdict(NamedTuple):
    """What came of it."""

    kind: str
    key: str = ""
    """What distinct failures are told apart by: where in the package, and what."""
    text: str = ""

    @property
    def is_fault(self) -> bool:
        return self.kind in FAULTS


class Fault(Exception):
    """Something that must not be."""

    def __init__(self, kind: str, key: str, text: str = "") -> None:
        super().__init__(kind)
        self.verdict = Verdict(kind, f"{kind} | {key}", text)


def held(data: Any) -> dict[str, Any]:
    """All that an object holds, for comparison, with raw and categories."""
    found: dict[str, Any] = {}
    for name, part in parts_of(data):
        if not isinstance(part, MuData):
            found[f"{name}raw"] = None if part.raw is None else (repr(part.raw.X), part.raw.var.to_csv())
        found[f"{name}uns"] = repr(part.uns)
        for axis in ("obs", "var"):
            table = getattr(part, axis)
            kinds = [table.iloc[:, i].dtype for i in range(table.shape[1])]
            found[f"{name}{axis} kinds"] = [
                (str(kind), list(kind.categories) if isinstance(kind, pd.CategoricalDtype) else None) for kind in kinds
            ]
            found[f"{name}{axis} names"] = list(map(repr, table.index)), list(map(repr, table.columns))
    try:
        found |= state_of(data, without_registry=False)
    except Exception as error:  # noqa: BLE001 - an object that cannot even be looked at
        found["unreadable"] = type(error).__name__
    return found


def parts_of(data: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    yield prefix, data
    for name, part in data.mod.items() if isinstance(data, MuData) else ():
        yield from parts_of(part, f"{prefix}{name}/")


def differences(before: dict[str, Any], after: dict[str, Any], besides: tuple[str, ...] = ()) -> list[str]:
    """The places that differ."""
    places = [place for place in before | after if before.get(place, "none") != after.get(place, "none")]
    return [place for place in places if not any(other in place for other in besides)]


@contextmanager
def quietly() -> Iterator[None]:
    """Without warnings and log lines."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def of_error(error: BaseException, stage: str) -> Verdict:
    """Judge what was raised."""
    text = str(error)
    if isinstance(error, ValueError) and SENTENCE.match(text):
        return Verdict(SENTENCES, f"{stage} | {text[:60]}", text)
    if isinstance(error, ImportError) and "pip install" in text:
        return Verdict(SENTENCES, stage, text)
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/omicsmlm/" in f.filename and "/tests/" not in f.filename]
    at = " < ".join(f"{f.filename.split('/omicsmlm/')[-1]}:{f.lineno} {f.name}" for f in ours[::-1][:3])
    last = frames[-1]
    place = f"{Path(last.filename).name}:{last.lineno} {last.name}"
    head = f"{type(error).__name__}: {' '.join(text.split())[:160]}"
    return Verdict(
        "foreign traceback", f"foreign traceback | {type(error).__name__} | {at.split(' < ')[0] or place}",
        f"[{stage}] {head} | at {at} | raised in {place}",
    )  # fmt: skip


def judged(recipe: Recipe) -> Verdict:
    """Make the object of a recipe and all that is asked of it."""
    with quietly(), tempfile.TemporaryDirectory() as folder:
        try:
            data = recipe.build()
            held(data)
        except Exception as error:  # noqa: BLE001 - such an object cannot be made
            return Verdict(NO_OBJECT, type(error).__name__, str(error)[:100])
        try:
            return _asked(recipe, data, Path(folder))
        except Fault as fault:
            return fault.verdict


def _step(stage: str, data: Any, act: Callable[[], Any], besides: tuple[str, ...] = ()) -> Any:
    """Do a step; of a failure the object must not know. Raises the verdict, if there is one, as a Fault or _Said."""
    before = held(data)
    try:
        result = act()
    except Exception as error:
        verdict = of_error(error, stage)
        changed = differences(before, held(data))
        if changed and not verdict.is_fault:
            raise Fault("changed", f"{stage} | {changed[:3]}", verdict.text) from error
        if verdict.is_fault:
            raise Fault(
                verdict.kind, verdict.key.split(" | ", 1)[1], verdict.text + f" | changed {changed[:3]}"
            ) from error
        raise _Said(verdict) from error
    changed = differences(before, held(data), besides)
    if changed:
        raise Fault("changed", f"{stage}, which succeeded | {changed[:3]}")
    return result


class _Said(Exception):
    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


def _asked(recipe: Recipe, data: Any, folder: Path) -> Verdict:
    family = FAMILIES[recipe.family]
    try:
        model = _step(
            "construction",
            data,
            lambda: family.model(data, family.config, batch_key=recipe.batch_key),
            REGISTERED,
        )
        _check_embedding(model, data, recipe, folder)
        if recipe.trained:
            key = family.model.embedding_key
            _step("train", data, lambda: model.train(1, **QUIET), (key,))
            _check_embedding(model, data, recipe, folder, "trained")
            _check_saved(model, data, folder)
        if recipe.head is not None:
            _check_head(recipe, model, data, folder)
    except _Said as said:
        return said.verdict
    return Verdict(FINE)


def _compare(stage: str, kind: str, found: np.ndarray, expected: np.ndarray) -> None:
    if found.shape != expected.shape:
        raise Fault("wrong shape", f"{stage} | {found.shape} for {expected.shape}")
    most = max(1.0, float(np.abs(expected).max(initial=0)))
    off = float(np.abs(found - expected).max(initial=0))
    if not off <= TOLERANCE * most:
        raise Fault(kind, f"{stage} | {'large' if off > 0.01 * most else 'small'}", f"off by {off:.3g} of {most:.3g}")


def _check_embedding(model: Any, data: Any, recipe: Recipe, folder: Path, stage: str = "untrained") -> None:
    z_nd = _step(f"embedding, {stage}", data, model.get_latent_representation)
    family = recipe.family
    if z_nd.shape != (data.n_obs, model.module.n_latent) or z_nd.dtype != np.float32:
        raise Fault("wrong shape", f"{family} {stage}", str((z_nd.shape, z_nd.dtype)))
    if not np.isfinite(z_nd).all():
        raise Fault(
            "NaN", f"embedding, {stage} | {family}", f"{int((~np.isfinite(z_nd)).any(1).sum())} of {len(z_nd)} rows"
        )
    for size in (1, 7) if data.n_obs <= 24 else (7,):
        other = _step(f"batch size, {stage}", data, lambda s=size: model.get_latent_representation(batch_size=s))
        _compare(f"batch size, {stage} | {family}", "order-dependent", other, z_nd)
    order = np.random.default_rng(recipe.seed).permutation(data.n_obs)
    other = _step(f"indices, {stage}", data, lambda: model.get_latent_representation(indices=order))
    _compare(f"indices, {stage} | {family}", "order-dependent", other, z_nd[order])
    if data.obs_names.is_unique and not data.is_view:
        try:
            permuted = data[order].copy()
        except Exception:  # noqa: BLE001 - of the libraries
            return
        other = _step(f"permuted, {stage}", permuted, lambda: model.get_latent_representation(permuted), REGISTERED)
        _compare(f"permuted, {stage} | {family}", "order-dependent", other, z_nd[order])
    if isinstance(data, AnnData) and recipe.seed % 2:
        _check_backed(model, data, z_nd, folder, f"backed, {stage} | {family}")


def _check_backed(model: Any, data: AnnData, z_nd: np.ndarray, folder: Path, stage: str) -> None:
    file = folder / f"{len(list(folder.iterdir()))}.h5ad"
    try:
        data.copy().write_h5ad(file)
        backed = anndata.read_h5ad(file, backed="r")
    except Exception:  # noqa: BLE001 - not every object can be written
        return
    _compare(
        stage,
        "order-dependent",
        _step(stage, backed, lambda: model.get_latent_representation(backed), REGISTERED),
        z_nd,
    )
    backed.file.close()


def _check_saved(model: Any, data: Any, folder: Path) -> None:
    z_nd = model.get_latent_representation()
    _step("save", data, lambda: model.save(folder / "model"))
    loaded = _step("load", data, lambda: type(model).load(folder / "model", data), REGISTERED)
    _compare("saved and loaded", "order-dependent", loaded.get_latent_representation(), z_nd)


def _check_head(recipe: Recipe, model: Any, data: Any, folder: Path) -> None:
    if recipe.head == "Classifier":
        head = _step("Classifier.from_model", data, lambda: Classifier.from_model(model, "label"))
        _step("Classifier.train", data, head.train)
        soft = _step("Classifier.predict", data, lambda: head.predict(soft=True))
        _check_table("Classifier.predict", soft, data)
        again = _step("Classifier.predict", data, lambda: head.predict(soft=True, batch_size=3))
        _compare("Classifier.predict, batch size", "order-dependent", again.to_numpy(), soft.to_numpy())
        _step("Classifier.evaluate", data, head.evaluate)
    else:
        head = _step("Survival.from_model", data, lambda: Survival.from_model(model, "time", "died", config=RISKS))
        _step("Survival.train", data, lambda: head.train(progress_bar=False, accelerator="cpu", batch_size=32))
        risk = _step("Survival.predict", data, head.predict)
        _check_table("Survival.predict", risk.to_frame(), data)
        _check_table(
            "Survival.predict_survival",
            _step("Survival.predict_survival", data, lambda: head.predict_survival([1.0, 4.0])),
            data,
        )
        _step("Survival.evaluate", data, head.evaluate)
    _step(f"{recipe.head}.save", data, lambda: head.save(folder / "head"))
    _step(f"{recipe.head}.load", data, lambda: type(head).load(folder / "head", data), REGISTERED)


def _check_table(stage: str, table: pd.DataFrame, data: Any) -> None:
    if not table.index.equals(data.obs_names):
        raise Fault("wrong shape", f"{stage} | other rows")
    if not np.isfinite(table.to_numpy(dtype=float)).all():
        raise Fault("NaN", stage)
