"""What took long to compute, kept in a folder with its CPU-seconds, so that a killed run goes on where it was."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


class Kept:
    """Named arrays with the CPU-seconds they took, remembered in a folder if there is one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, name: str, make: Callable[[], np.ndarray]) -> tuple[np.ndarray, float]:
        """Give one array, made now or before."""
        arrays, spent = self.arrays(name, lambda: {"embedding": make()})
        return arrays["embedding"], spent

    def arrays(self, name: str, make: Callable[[], dict[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], float]:
        """Give several arrays that are made together."""
        file = None if self.folder is None else self.folder / f"{name.replace(' ', '_')}.npz"
        if file is not None and file.exists():
            with np.load(file) as kept:
                found = dict(kept)
            return found, float(found.pop("cpu_seconds"))
        start = time.process_time()
        made = make()
        spent = time.process_time() - start
        print(f"  {name}: {spent:.0f} CPU-s", flush=True)
        if file is not None:
            whole = file.with_name(f"{file.stem}.part.npz")  # a killed run leaves no half of a file under its name
            np.savez_compressed(whole, cpu_seconds=spent, **made)
            whole.replace(file)
        return made, spent
