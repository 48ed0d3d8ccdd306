"""Stand-ins for tests: a sandbox that runs nothing, an encoder without a model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labwright.domain import Objective
from labwright.sandbox.contract import Job, OutputFile, Result
from labwright.workflows.guards import guard_of

GUARD = guard_of(Objective(text="any"), 0)
PNG = bytes.fromhex("89504e470d0a1a0a")


class FakeSandbox:
    """Writes the declared outputs of the operator that a script calls, and passes every check."""

    def __init__(self, log: Path | None = None, *, fail: int = 0) -> None:
        self.jobs: list[Job] = []
        self._log = log
        self._fail = fail

    def run(self, job: Job, out_dir: Path, *, stop: Any = None) -> Result:
        from labwright.tools.analysis.contracts import OPERATORS

        self.jobs.append(job)
        out_dir.mkdir(parents=True, exist_ok=True)
        if self._log is not None:
            with self._log.open("a", encoding="utf-8") as out:
                out.write(hashlib.sha256(job.script.encode()).hexdigest() + "\n")
        if "verdicts.json" in job.script:
            (out_dir / "verdicts.json").write_text(json.dumps([{"check": "recomputed", "passed": True, "detail": ""}]))
        elif self._fail > 0:
            self._fail -= 1
            return self._result(
                out_dir, job, exit_code=1, stderr='File "/work/script.py", line 9\nValueError: no such column'
            )
        else:
            name = next(n for n in OPERATORS if f"import {n}," in job.script)
            for output in OPERATORS[name].outputs:
                text = json.dumps({"operator": name, "findings": []}) if output.type == "json" else "a,b\n1,2\n"
                (out_dir / output.name).write_text(text)
        return self._result(out_dir, job)

    def _result(self, out_dir: Path, job: Job, exit_code: int = 0, stderr: str = "") -> Result:
        outputs = tuple(
            OutputFile(name=p.name, size=p.stat().st_size, sha256=hashlib.sha256(p.read_bytes()).hexdigest())
            for p in sorted(out_dir.iterdir())
        )
        return Result(
            cause="exit", exit_code=exit_code, stdout="", stderr=stderr, outputs=outputs,
            inputs_read=tuple(sorted(job.inputs)), duration_s=0.01, total_s=0.02, peak_memory_mib=1.0, image_id="fake",
        )  # fmt: skip

    def policy(self) -> dict[str, Any]:
        return {"isolation": "fake"}


def hashed_encoder(texts: Sequence[str]) -> np.ndarray:
    """Unit vectors of hashed words: texts that share words are near, nothing else is."""
    out = np.zeros((len(texts), 384), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.casefold().split():
            out[row, int(hashlib.md5(word.encode()).hexdigest(), 16) % 384] += 1.0
        norm = np.linalg.norm(out[row])
        out[row] = out[row] / norm if norm else out[row]
    return out
