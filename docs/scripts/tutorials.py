"""Run tutorials anew and write what they print into them: python docs/scripts/tutorials.py [names] (or ./run tutorials).

Needs OMICSMLM_DATA, except for `first_steps`. A tutorial that fails is left as it was, and the command ends with 1.
"""

import argparse
import re
import resource
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "tutorials"
LIMIT = 8.0
"""Minutes of a processor that a tutorial may take."""
SHORT = ("first_steps", "query", "papalexi", "ccle")
"""What runs in CI, ten minutes together."""


def execute(file: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of a fresh run, which begins in the folder of tutorials; the file stays as it is."""
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(notebook, timeout=3600, kernel_name="python3", record_timing=False)
    client.resources = {"metadata": {"path": str(file.parent)}}
    client.execute()
    tidy(notebook)
    return notebook


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Leave out what differs between runs or says nothing: times, progress bars, messages of compilers."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = said(output.text)
        cell.outputs = [output for output in cell.outputs if output.get("text", "x")]


def said(text: str) -> str:
    """Return the lines of a stream without what a progress bar wrote over itself, repeated lines and XLA's alarms.

    >>> said("a\\rtrain:  50%|##  | 1/2\\r\\nmodel: 3 cells.\\n")
    'model: 3 cells.\\n'
    """
    lines = [line.rsplit("\r", 1)[-1] for line in text.replace("\r\n", "\n").split("\n")]
    kept = [line for line in lines if not re.search(r"\d%\|", line) and (line.strip() or len(lines) > 1)]
    text = "\n".join(line for i, line in enumerate(kept) if not line or line not in kept[i - 1 : i])
    text = re.sub(r"(?m)^E\d{4} .*slow_operation_alarm(?:.|\n)*?^\*{20,}\n(?:.*\n)*?^\*{20,}\n?", "", text)
    return text if text.strip() else ""


def joined(outputs: list) -> list:
    """Return outputs with streams of one name that follow one another as one."""
    found: list = []
    for output in outputs:
        if found and output.output_type == "stream" == found[-1].output_type and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main() -> int:
    """Run what is named, or all; print how long each took."""
    parser = argparse.ArgumentParser(description="Run tutorials anew.")
    parser.add_argument("names", nargs="*", help="without .ipynb; all where none is named, 'short' for those of CI")
    parser.add_argument("--keep", action="store_true", help="do not write: only say whether they run")
    arguments = parser.parse_args()
    names = list(SHORT) if arguments.names == ["short"] else arguments.names
    names = names or sorted(file.stem for file in TUTORIALS.glob("*.ipynb"))
    failed = []
    for name in names:
        file = TUTORIALS / f"{name}.ipynb"
        if not file.is_file():
            parser.error(
                f"there is no tutorial {name!r}; there are {', '.join(sorted(f.stem for f in TUTORIALS.glob('*.ipynb')))}"
            )
        start, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            notebook = execute(file)
        except (CellExecutionError, DeadKernelError) as error:
            print(f"{name}: failed\n{error}", file=sys.stderr)
            failed.append(name)
            continue
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime) / 60
        minutes = (time.perf_counter() - start) / 60
        if not arguments.keep:
            nbformat.write(notebook, file)
        late = f"; more than {LIMIT:.0f}" if cpu > LIMIT else ""
        print(f"{name}: {minutes:.1f} minutes, {cpu:.1f} of a processor{late}", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
