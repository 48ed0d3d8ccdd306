"""A run on the scripted model and a sandbox that runs nothing, as a process that a test can kill.

Usage: python fake_run.py DELAY_S: for each folder on stdin a process is forked that starts the run in it, or carries
it on. Its id is printed, and when it has ended its exit code, negative for a signal. What was imported is imported
once, so a kill falls into the run and not into its imports.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fakes import FakeSandbox, hashed_encoder

from labwright.config import ROLES, Config, LiteratureConfig
from labwright.domain import Objective, RunRecord
from labwright.models.ask import Session
from labwright.models.calls import Budget, CallLog
from labwright.models.scripted import ScriptedChat
from labwright.store import RunStore
from labwright.tools.catalogue.catalogue import load_cards
from labwright.tools.sources import EmbeddedCorpus
from labwright.workflows.baselines import played
from labwright.workflows.control import invoke
from labwright.workflows.materials import Materials

TEXT = (
    "German Breast Cancer Study Group trial 2: does hormone therapy change the time to recurrence or death of patients "
    "with node-positive breast cancer, and is it associated with age, menopause, tumour size, grade and receptors?"
)
RULES = [
    {"match": "Answer yes or no", "probabilities": {"yes": 0.9, "no": 0.1}},
    {"match": "one digit from 1 to 5", "probabilities": {"4": 0.7, "5": 0.3}},
    {"match": "high, medium or low", "probabilities": {"high": 0.8, "medium": 0.2}},
]


def materials(folder: Path, *, delay_s: float = 0.0, sandbox: FakeSandbox | None = None, **more) -> Materials:
    store = RunStore(folder)
    for name in ("papers", "reports", "datasets", "tasks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    objective = Objective(text=TEXT)
    if not (folder / "record.json").is_file():
        store.save_record(RunRecord(id=store.id, objective=objective, status="running"))
    log = CallLog(folder / "calls.sqlite", more.get("budget", Budget()), more.get("allowance"))
    rules = more.get("only") or RULES + more.get("rules", [])
    chat = more.get("chat") or ScriptedChat(rules=rules, delay_s=delay_s, log_path=folder / "requests.jsonl")
    session = {role: Session(role=role, backend="scripted", chat=chat, log=log) for role in ROLES}
    workflow = more.get("workflow", "rules_only" if more.get("rules_only") else "labwright")
    return Materials(
        objective=objective,
        config=Config(literature=LiteratureConfig(helpfulness=1.0, candidates=4, keep=2)),
        store=store,
        log=log,
        sessions=played(workflow, session),
        encode=hashed_encoder,
        sources=[EmbeddedCorpus(hashed_encoder)],
        cards={card["id"]: card for card in load_cards()},
        sandbox=sandbox or FakeSandbox(folder / "jobs.txt"),
        seed=0,
        say=more.get("say", lambda text: None),
        workflow=workflow,
        literature=more.get("literature"),
        lease=nullcontext,  # nothing is computed that another holder of the machine's would have to wait for
    )


def forked(folder: Path, delay_s: float) -> int:
    """Id of a process that carries the run on and exits with 0, or with 1 and a traceback."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        if invoke(materials(folder, delay_s=delay_s), review=False) == "done":
            code = 0
    except BaseException:  # noqa: BLE001  (the edge of the process)
        traceback.print_exc()
    finally:
        os._exit(code)


def serve(delay_s: float) -> None:
    """Answer each line of stdin with the two lines of the docstring above."""
    import langgraph.checkpoint.sqlite  # noqa: F401

    import labwright.workflows.graph  # noqa: F401  (what invoke imports, before the fork)

    for line in sys.stdin:
        child = forked(Path(line.strip()), delay_s)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve(float(sys.argv[1]))
