"""`python -m edgeform_builder FOLDER`: do the job in FOLDER/job.json, and say in FOLDER/result.json what
became of it. Standard output carries notes, one JSON object a line; standard error is the log.
"""

import errno
import os
import resource
import sys
import traceback
from importlib import import_module
from pathlib import Path

from edgeform_builder.job import Job, Refused, Result, failed, note, read, write
from edgeform_builder.steps import MODULES

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def main(folder: Path) -> int:
    """0 when the job is done; 3 when it was refused; 1 for anything else. The result says which."""
    job = read(folder)
    limit(job)
    try:
        if job.step not in MODULES:
            raise Refused(f"this builder has no step {job.step!r}")
        note(f"{job.step}: starting")
        found: Result = import_module(f"edgeform_builder.steps.{MODULES[job.step]}").run(job)
    except Refused as exc:
        write(folder, failed("refused", str(exc), exc.hint))
        return 3
    except MemoryError:
        write(folder, failed("memory", "out of memory"))
        return 1
    except OSError as exc:
        is_full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        traceback.print_exc()
        write(folder, failed("disk" if is_full else "failed", f"{exc.strerror}: {exc.filename}"))
        return 1
    except Exception as exc:  # noqa: BLE001 - the tools raise what they like, and all of it is told
        traceback.print_exc()
        is_memory = "bad_alloc" in str(exc) or "Failed to allocate memory" in str(exc)
        said = f"{type(exc).__name__}: {exc}"[:600]
        write(folder, failed("memory" if is_memory else "failed", said))
        return 1
    write(folder, found)
    return 0


def limit(job: Job) -> None:
    """No core dumps, no more private memory than allowed (the parent watches the rest), few threads."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (job.memory_bytes, job.memory_bytes))
    for name in THREAD_VARIABLES:
        os.environ[name] = str(job.threads)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
