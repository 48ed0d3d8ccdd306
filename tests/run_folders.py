"""A synthetic run folder, as the nodes write it: one verified task, one failed, one skipped, and traps."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from labwright import domain
from labwright.models.calls import CallLog
from labwright.store import RunStore

OBJECTIVE = domain.Objective(
    text="Which genes go with relapse-free survival in breast cancer, and does a signature hold?",
    conditions="Untreated patients only.",
)
INJECTED = '<script>alert("title")</script>'
DOCUMENT = (
    "A gene-expression signature as a predictor\n\nMethods\n"
    "Tumours of 286 node-negative patients were profiled on one array platform.\n"
    "Survival of the two groups was compared by the log-rank test.\n\nFindings\n"
    "The signature separated relapse with a hazard ratio of 5.67 & <b>not</b> less.\n"
)
CSV_ROWS = 30


def png(width: int = 700, height: int = 420) -> bytes:
    """A striped picture."""
    line = b"\x00" + b"".join(bytes((0, 114, 178) if x // 35 % 2 else (240, 240, 240)) for x in range(width))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(line * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def quote(text: str, *, paper: str = "wang2005") -> domain.Quote:
    """A quote where the document holds it."""
    start = DOCUMENT.index(text)
    return domain.Quote(paper=paper, start=start, end=start + len(text), text=text)


def _literature(store: RunStore) -> None:
    kept = domain.Paper(
        id="wang2005",
        ids=domain.PaperIds(pmid="15721472", doi="10.1016/S0140-6736(05)17947-1"),
        title=f"Gene-expression profiles to predict distant metastasis {INJECTED}",
        abstract="...",
        year=2005,
        journal="Lancet",
        source="embedded",
        kind="summary",
        helpfulness=4.31,
        reason="kept: helpfulness 4.31",
    )
    dropped = domain.Paper(
        id="other",
        title="Gut flora of trout",
        abstract="",
        source="pubmed",
        helpfulness=1.2,
        reason="dropped: below 3",
    )
    store.write(store.folder / "papers" / "_queries.json", ["breast cancer relapse expression"])
    store.write(store.folder / "papers" / "_screening.json", [kept.model_dump(), dropped.model_dump()])
    store.write(store.folder / "papers" / "wang2005.json", kept)
    store.write_text(store.folder / "papers" / "wang2005.txt", DOCUMENT)
    good = quote("Survival of the two groups was compared by the log-rank test.")
    risk = quote("The signature separated relapse with a hazard ratio of 5.67 & <b>not</b> less.")
    tampered = quote("Tumours of 286 node-negative patients").model_copy(update={"text": "Tumours of 2860 patients"})
    steps = (
        domain.ReportStep(id="S1", details="Compare survival between groups.", quotes=(good,)),
        domain.ReportStep(id="S2", details="Report the hazard ratio.", quotes=(risk, good)),
        domain.ReportStep(id="S3", details="Profile the tumours.", quotes=(tampered,)),
    )
    part = domain.ReportPart(
        id="P1", title="Survival by signature", outline="Log-rank test of two groups.", steps=steps
    )
    store.write(store.folder / "reports" / "wang2005.json", domain.Report(paper="wang2005", parts=(part,)))
    rated = domain.Analysis(
        paper="wang2005",
        part="P1",
        referability="high",
        reason="Same disease and endpoint.",
        suggestions="Use the same test.",
        probability={"high": 0.81, "medium": 0.15, "low": 0.04},
    )
    store.write(store.folder / "reports" / "wang2005.analysis.json", [rated.model_dump()])


def _protocol(store: RunStore) -> None:
    whole, one = domain.Ref(paper="wang2005", part="P1"), domain.Ref(paper="wang2005", part="P1", steps=("S1",))
    lost, tampered = domain.Ref(paper="wang2005", part="P9"), domain.Ref(paper="wang2005", part="P1", steps=("S3",))
    dataset = domain.Dataset(
        id="breast_vdx",
        accession="GSE2034",
        title="Breast cancer, Rotterdam and San Diego",
        organism="Homo sapiens",
        assay="microarray",
        n_samples=344,
        groups={"er": {"negative": 135, "positive": 209}},
        licence="Artistic-2.0",
        verified=True,
        verification="organism, assay, 344 samples and group sizes equal the data",
    )
    names = ("survival_curves", "prognostic_features", "gene_set_enrichment")
    refs = ((one,), (tampered, lost), ())
    parts = tuple(
        domain.Part(
            id=f"Part {n}",
            title=f"Part about {name.replace('_', ' ')}",
            purpose="To see what goes with relapse.",
            outline="Compare, test, adjust.",
            refs=(whole,) if n == 1 else (),
            steps=(
                domain.Step(
                    id=f"{n}.1",
                    details="Carry out the analysis on all patients.",
                    kind="dry",
                    datasets=("breast_vdx",),
                    operator=name,
                    parameters={"group_column": "er"},
                    refs=refs[n - 1],
                ),
            ),
        )
        for n, name in enumerate(names, start=1)
    )
    protocol = domain.Protocol(objective=OBJECTIVE, logic="First curves, then genes.", parts=parts, datasets=(dataset,))
    store.write(store.folder / "protocol.json", protocol)
    store.write(store.folder / "datasets" / "breast_vdx.json", dataset)
    listed = {"similarity": 0.61, "probability": 0.93, "score": 1.4, "chosen": True, "reason": "best"}
    left = {"similarity": 0.41, "probability": None, "score": -1, "chosen": False, "reason": "below the best"}
    store.write(
        store.folder / "datasets" / "_screening.json",
        [
            {"id": "breast_vdx", "title": "Breast cancer", **listed},
            {"id": "lung", "title": "Lung cancer", **left},
        ],
    )
    store.write(store.folder / "analyses.json", [{"id": "survival_curves", "title": "Survival curves", **listed}])
    plan: dict[str, Any] = {"stage": "Plan of the protocol", "scores": {"relevance": 4.4, "logic": 3.1}}
    reviews = [
        domain.Review(**plan, candidate=0, critique="logic: thin", accepted=False),
        domain.Review(**plan, candidate=1, critique="no fault", accepted=True, chosen=True),
    ]
    store.write(store.folder / "reviews.json", [r.model_dump() for r in reviews])


def task(number: int, operator: str, **values: Any) -> domain.Task:
    """A task of part `number`."""
    return domain.Task(
        id=f"Part {number}-dry-experiment-1",
        description="Carry out the analysis.",
        part=f"Part {number}",
        step=f"{number}.1",
        operator=operator,
        parameters={"group_column": "er", "seed": 7},
        datasets=("breast_vdx",),
        inputs=("breast_vdx",),
        outputs=(domain.OutputSpec(name=f"{operator}.csv", type="table", check="recomputed"),),
        **values,
    )


def finding(name: str, row: str, value: float, statement: str) -> dict[str, Any]:
    """A finding on the column `p` of the survival table."""
    where = {"row": {"feature": row}, "column": "p"}
    origin = {"unit": "", "file": "survival_curves.csv", "where": where}
    return {"id": name, "statement": statement, "value": value, **origin}


def _tasks(store: RunStore) -> None:
    good, bad = task(1, "survival_curves"), task(2, "prognostic_features")
    skipped = task(3, "gene_set_enrichment", upstream=(bad.id,))
    store.write(store.folder / "tasks" / "_tasks.json", [t.model_dump() for t in (good, bad, skipped)])
    table = "feature,n,p\n" + "".join(f"G{i},{100 + i},{i / 1000:.10g}\n" for i in range(1, CSV_ROWS + 1))
    findings = (
        finding("f1", "G1", 0.001, "ER status separates relapse (log-rank p = 0.001)"),
        finding("f2", "G25", 0.025, "G25 <img src=x onerror=alert(1)> goes with relapse"),
        finding("f3", "G3", 0.5, "G3 goes with relapse, p = 0.5, which the table denies"),
    )
    _ended(store, good, 3, table=table, findings=findings, tries=2)
    _ended(store, bad, 2, table=table, findings=(finding("f9", "G1", 0.001, "FAILED-TASK-FINDING"),), tries=1)
    folder = store.path("tasks", skipped.id)
    store.write(folder / "task.json", skipped)
    reason = f"its input failed: {bad.id}"
    store.write(folder / "result.json", domain.TaskResult(task=skipped.id, attempts=(), level=0, skipped=reason))


def _ended(store: RunStore, task: domain.Task, level: int, **how: Any) -> None:
    folder = store.path("tasks", task.id)
    outputs = {f"{task.operator}.csv": how["table"].encode(), "figure.png": png()}
    outputs["findings.json"] = json.dumps({"findings": how["findings"]}).encode()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in outputs.items()}
    (folder / "outputs").mkdir(parents=True)
    for name, content in outputs.items():
        (folder / "outputs" / name).write_bytes(content)
    checks = (
        domain.Check(check="p recomputed", passed=True),
        domain.Check(check="rows", passed=level == 3, detail="12 < 30"),
    )
    attempts = [
        domain.Attempt(
            number=n,
            script=f"attempt-{n}.py",
            origin="operator",
            exit_code=1,
            cause="exit",
            error="KeyError: 'er'",
        )
        for n in range(1, how["tries"])
    ]
    last = {"exit_code": 0, "cause": "exit", "outputs": hashes, "checks": checks, "duration_s": 4.2}
    attempts.append(
        domain.Attempt(
            number=how["tries"],
            script=f"attempt-{how['tries']}.py",
            origin="operator",
            level=level,
            inputs_read=("breast_vdx",),
            **last,
        )
    )
    for n in range(1, how["tries"] + 1):
        store.write_text(folder / f"attempt-{n}.py", f"print('attempt {n}')\n")
        store.write_text(folder / f"attempt-{n}.log", f"log of {n}\n")
    store.write_text(folder / "script.py", "from labwright.tools.analysis import survival_curves\n")
    store.write_text(folder / "log.txt", "\n".join(f"line {i}" for i in range(250)))
    changed = task.model_copy(update={"parameters": {**task.parameters, "group_column": "grade"}})
    store.write(folder / "task.json", changed if how["tries"] > 1 else task)
    result = domain.TaskResult(task=task.id, attempts=tuple(attempts), level=level, findings=how["findings"])
    store.write(folder / "result.json", result)


def _calls(store: RunStore) -> domain.Shares:
    log = CallLog(store.folder / "calls.sqlite")
    for key, role, name in (("a", "search", "dataset"), ("b", "literature", "report_steps")):
        call = domain.Call(role=role, prompt=name, prompt_hash="abc", backend="x", kind="ask", decided_by="model")
        log.add(key, call, {"text": "", "top": []})
    log.decide("a", "model", 9)
    log.decide("b", "fallback", 3)
    shares = log.shares()
    log.close()
    return shares


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """An empty run folder."""
    return RunStore.create(tmp_path / "runs")


@pytest.fixture
def done_run(store: RunStore) -> RunStore:
    """A run that ended."""
    _literature(store)
    _protocol(store)
    _tasks(store)
    record = domain.RunRecord(
        id=store.id,
        objective=OBJECTIVE,
        status="done",
        version="0.1.0",
        started_at="2026-11-23T10:00:00+00:00",
        finished_at="2026-11-23T10:06:00+00:00",
        seed=7,
        models={"search": {"name": "small", "kind": "embedded", "model": "qwen.gguf", "sha256": "ab" * 32}},
        prompts={"dataset": "abc"},
        calls=2,
        prompt_tokens=900,
        evaluated_tokens=600,
        generated_tokens=120,
        seconds=361.5,
        seconds_by_stage={"search": 40.0, "programming": 200.0},
        seconds_by_kind={"model": 190.0, "sandbox": 150.0, "orchestration": 1.5},
        decided=_calls(store),
        sandbox={"isolation": "docker+runc", "network": "none"},
        notes=("pubmed was out of reach: no route",),
    )
    store.save_record(record)
    return store


@pytest.fixture
def failed_run(store: RunStore) -> RunStore:
    """A run that found nothing."""
    message = "no paper was found; add sources in [literature] or words to the objective"
    store.save_record(domain.RunRecord(id=store.id, objective=OBJECTIVE, status="failed", message=message))
    return store


@pytest.fixture
def waiting_run(done_run: RunStore) -> RunStore:
    """A run whose protocol, of one part that holds together, waits for a person."""
    record = {**done_run.record().model_dump(), "status": "waiting_for_review"}
    done_run.save_record(domain.RunRecord.model_validate(record))
    (done_run.folder / "review.wanted").touch()
    path = done_run.folder / "protocol.json"
    protocol = done_run.read(path, domain.Protocol)
    first = protocol.parts[0]
    step = first.steps[0].model_copy(update={"refs": (), "kind": "wet"})
    part = first.model_copy(update={"refs": (), "steps": (step,)})
    done_run.write(path, protocol.model_copy(update={"parts": (part,)}))
    return done_run
