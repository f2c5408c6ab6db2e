"""Execute a notebook of a study: one process a page, and a failed one is kept, to be read.

While a stage runs, its page is `<name>.running.ipynb`, on which it holds a lock. The lock goes with
the process: a page of that name without one is of a stage that was killed.
"""

from __future__ import annotations

import fcntl
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from exe_core.study import ROOT

PROBE_S = 0.2
"""A look at whether a page is held takes less."""
SAVE_EVERY_S = 10
"""How often a running page is saved: its bars tell how far the stage is."""

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class StageError(RuntimeError):
    """A stage failed; its page, if there is one, says more."""


def running_page(page: Path) -> Path:
    """Say where a page lies while its stage runs."""
    return page.with_suffix(".running.ipynb")


def failed_page(page: Path) -> Path:
    """Say where a page lies whose stage failed."""
    return page.with_suffix(".failed.ipynb")


def is_held(page: Path) -> bool:
    """Say whether a process is writing a page."""
    try:
        with page.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


@contextmanager
def _alone(page: Path) -> Iterator[None]:
    """Hold a page, or refuse if another process does."""
    with page.open("a") as handle:
        if is_held(page):
            time.sleep(PROBE_S)  # it may be no more than a look by `exe status`
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"{page.name} is being written: wait for that stage") from None
        yield


def execute(source: Path, target: Path, *, parameters: Mapping[str, object]) -> None:
    """Run a notebook by papermill; the page comes to its place when it is whole.

    Parameters
    ----------
    source
        The notebook.
    target
        The page.
    parameters
        Name -> value; one that the notebook does not have is refused, where papermill would only
        warn.

    Raises
    ------
    StageError
        If the notebook fails, its kernel dies, or another process writes the same page.
    """
    import papermill  # slow to import
    from nbclient.exceptions import DeadKernelError
    from traitlets.config import Config

    unknown = set(parameters) - set(papermill.inspect_notebook(str(source)))
    if unknown:
        raise StageError(
            f"{source.name} has no parameter {', '.join(sorted(unknown))}: see `papermill "
            f"--help-notebook notebooks/{source.name}`"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    working, failed = running_page(target), failed_page(target)
    named = ", ".join(f"{name}={value}" for name, value in parameters.items())
    with _alone(working), TemporaryDirectory(prefix="exe-") as sockets:
        failed.unlink(missing_ok=True)
        # ports are drawn at random: of kernels that start at once, two may draw the same
        own_sockets = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        try:
            papermill.execute_notebook(
                str(source),
                str(working),
                parameters=dict(parameters),
                cwd=str(ROOT),
                kernel_name="python3",
                progress_bar=False,
                autosave_cell_every=SAVE_EVERY_S,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
                config=own_sockets,
            )
        except papermill.PapermillExecutionError as fault:
            working.replace(failed)
            cause = _ESCAPES.sub("", f"{fault.ename}: {fault.evalue}").strip()
            raise StageError(
                f"{source.name} failed in its cell {fault.exec_count} ({named})\n"
                f"  {cause}\n  read it: {failed}\n  the same command again resumes at this stage"
            ) from None
        except DeadKernelError:
            working.replace(failed)
            raise StageError(
                f"{source.name}: its kernel died ({named}), often for lack of memory"
            ) from None
        working.replace(target)
