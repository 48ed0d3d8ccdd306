"""Imports the analysis stack ahead of time, then becomes the script, as `python3 /work/script.py` would run it.

Runs inside the image, started by supervisor.py, and is never imported by labwright. It serves one script and ends with
it. The names are those that our own operators import; a script sees no more of them than it imports itself.
"""

import gc
import importlib
import importlib.machinery
import os
import sys
import tempfile
import types

STACK = ("numpy", "pandas", "pyarrow.parquet", "scipy.stats", "scipy.cluster.hierarchy", "matplotlib.pyplot",
         "statsmodels.api", "lifelines", "sklearn.linear_model", "sklearn.model_selection", "sklearn.pipeline",
         "labwright.tools.analysis")  # fmt: skip
SCRIPT = "/work/script.py"


def own_frames_out(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Print an error that ends the script without the lines of this file, as if the script had been started alone."""
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


def become(path: str) -> None:
    """Run the script as the main program of this process."""
    sys.argv[:] = [path]
    sys.path[0] = os.path.dirname(path)
    sys.excepthook = own_frames_out
    module = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    vars(module).update(
        __file__=path, __builtins__=__builtins__, __loader__=loader, __cached__=None, __annotations__={}
    )
    sys.modules["__main__"] = module
    with open(path, "rb") as file:
        source = file.read()
    exec(compile(source, path, "exec"), vars(module))  # noqa: S102 - the sandbox is what this is for


def main() -> None:
    """Import, say so, wait, and run."""
    ready, release = int(sys.argv[1]), int(sys.argv[2])
    environment = dict(os.environ)
    for name in STACK:
        importlib.import_module(name)
    os.environ.clear()  # some packages write settings of their own into it
    os.environ.update(environment)
    for name in os.listdir(tempfile.gettempdir()):  # a list of fonts: a script starts with an empty folder
        os.remove(os.path.join(tempfile.gettempdir(), name))
    # The modules stay to the end: without this the collector walks them all when the script ends.
    gc.collect()
    gc.freeze()
    os.write(ready, b"r")
    os.close(ready)
    released = os.read(release, 1)
    os.close(release)
    if released:
        become(SCRIPT)


main()
