"""The benchmark of a card runs, on a CPU and small, and says what it found."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

FILE = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location("benchmark_gpu", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", [str(FILE), *arguments])
        module.main()

    module.run = run
    return module


def test_all_tables_are_printed_with_the_device(benchmark, capsys, tmp_path):
    benchmark.run("--device", "cpu", "--small", "--out", str(tmp_path / "table.md"))
    text = capsys.readouterr().out
    assert "Device: CPU" in text
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    assert {"OmicsMLM", "ScMBERT", "MOJO", "TxFM", "IsoFormer"} < set(rows)
    assert {"from memory", "TxFM B", "TxFM L"} < set(rows)
    assert (tmp_path / "table.md").read_text() == text


def test_without_a_card_it_says_so(benchmark):
    if torch.cuda.is_available():
        pytest.skip("there is a card")
    with pytest.raises(SystemExit, match="no CUDA device here"):
        benchmark.run()


def test_rows_on_the_card_are_those_of_the_loader(benchmark):
    model = benchmark.TxFM(benchmark.counts(20, 30))
    resident = benchmark.Resident(model, torch.device("cpu"))
    batches = list(resident.batches(8))
    assert sorted(torch.cat([batch.indices for batch in batches]).tolist()) == list(range(20))
    dataset = model.adata_manager.create_torch_dataset()
    for batch in batches:
        own = dataset[batch.indices.tolist()]
        for found, wanted in zip(batch.tokens["rna"], own.tokens["rna"], strict=True):
            assert torch.equal(found, wanted)
        assert torch.equal(batch.present["rna"], own.present["rna"])


def test_products_of_packed_attention_are_counted(benchmark):
    query, ends = torch.zeros(5, 2, 4), torch.tensor([0, 2, 5])
    assert benchmark.attention_flops(query, ends, ends) == 4 * (2 * 2 + 3 * 3) * 2 * 4
    forward, backward = benchmark.packed_attention().values()
    assert forward(query, query, query, ends, ends, 3, 3) == 416
    assert backward(query, query, query, query, query, query, ends, ends, 3, 3, False, ends) == 1040
