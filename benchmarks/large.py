"""Train on 100,000 simulated rows x 20,000 genes and print peak memory beside the size of the sparse data.

python benchmarks/large.py [--n-obs 100000] [--n-genes 20000] [--density 0.08] [--max-epochs 1]
"""

import argparse
import resource
import threading
import time

import psutil

import omicsmlm

MIB = 2**20


class Peak:
    """Highest resident memory of this process while it is watched, in MiB."""

    def __init__(self) -> None:
        self.process, self.highest, self.watching = psutil.Process(), 0.0, True
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while self.watching:
            self.highest = max(self.highest, self.process.memory_info().rss / MIB)
            time.sleep(0.05)

    def __enter__(self) -> "Peak":
        """Start watching."""
        self.before = self.process.memory_info().rss / MIB
        self.thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop watching."""
        self.watching = False
        self.thread.join()


def main() -> None:
    """Simulate, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-obs", type=int, default=100_000)
    parser.add_argument("--n-genes", type=int, default=20_000)
    parser.add_argument("--density", type=float, default=0.08)
    parser.add_argument("--max-epochs", type=int, default=None)
    arguments = parser.parse_args()
    start = time.monotonic()
    adata = omicsmlm.datasets.simulate_rna(arguments.n_obs, arguments.n_genes, density=arguments.density)
    sparse_mib = sum(part.nbytes for part in (adata.X.data, adata.X.indices, adata.X.indptr)) / MIB
    dense_mib = adata.n_obs * adata.n_vars * 4 / MIB
    print(f"simulated {adata.shape} with {adata.X.nnz:,} counts in {time.monotonic() - start:.0f} s", flush=True)
    with Peak() as peak:
        cpu, start = time.process_time(), time.monotonic()
        model = omicsmlm.OmicsMLM(adata, batch_key="batch")
        built = time.monotonic() - start
        model.train(arguments.max_epochs)
        spent = time.process_time() - cpu
    epochs = len(model.history["train_loss"])
    print(f"construction {built:.0f} s; {epochs} epochs; {spent:.0f} CPU-seconds in all")
    print(f"sparse data          {sparse_mib:9.0f} MiB   (as a dense float32 matrix: {dense_mib:.0f} MiB)")
    print(f"resident before      {peak.before:9.0f} MiB")
    print(f"peak while training  {peak.highest:9.0f} MiB   (+{peak.highest - peak.before:.0f})")
    print(
        f"peak of the process  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:9.0f} MiB (with simulation)"
    )


if __name__ == "__main__":
    main()
