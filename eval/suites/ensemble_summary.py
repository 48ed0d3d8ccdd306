"""TOPLA-Summary on PubMedQA: trained on two members' answers, beside the members and beside a fuser.

The answer that is right is the conclusion of the abstract. The model is trained from scratch on 140 questions, so little is to
be expected of it; the suite says how little, freely written and teacher-forced.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from labwright.config import BackendConfig, Config, cache_dir
from labwright.eval.suites.ensemble_members import BASE_05B, BASE_15B, CONTEXT_TOKENS, Say
from labwright.eval.suites.ensemble_pubmedqa import asking
from labwright.eval.suites.ensemble_pubmedqa_data import open_questions
from labwright.eval.suites.rows import Rows
from labwright.models.topla.collected import read_rows
from labwright.models.topla.drafts import Drafted, draft, drafted, parted, rouge_1
from labwright.workflows.ensembles import member_session

KIND, NAME, FUSED = "summary", "pubmedqa", "fused"
MEMBERS = {
    "qwen-1.5b": BackendConfig(kind="embedded", model=BASE_15B, context_tokens=CONTEXT_TOKENS),
    "qwen-0.5b": BackendConfig(kind="embedded", model=BASE_05B, context_tokens=CONTEXT_TOKENS),
}
"""The first one is the fuser."""


def measure(
    rows: Rows, say: Say, members: Mapping[str, BackendConfig] = MEMBERS, home: Path | None = None, epochs: int = 60
) -> None:
    """Add the row if it is missing; some 200 answers a member, and two more each for a seventh of the questions.

    Args:
        rows: of the suite.
        say: shows progress.
        members: name to table.
        home: where answers wait; in the cache folder by default.
        epochs: of the summary model.
    """
    if rows.has(KIND, NAME):
        return
    from labwright.models.extras import require

    require("local", "a summary model")
    from labwright.models.topla.summary import SummarySettings, summary_scores, train_summary

    place = home or cache_dir() / "ensembles" / "pubmedqa-open"
    asked = open_questions()
    fused = BackendConfig(kind="topla", members=tuple(members), fuser=next(iter(members)))
    config = Config(backends={**members, FUSED: fused})
    for name in members:
        with member_session(config, name) as session:
            draft(place, name, session, asked, asking(say))
    train, validation, rest = parted(drafted(place, list(members), asked))
    held = {r.id for r in rest}
    with member_session(config, FUSED) as session:
        draft(place, FUSED, session, [q for q in asked if q.id in held], asking(say))
    settings = SummarySettings(epochs=epochs)

    def report(done: int, total: int, loss: float) -> None:
        say(f"summary model: epoch {done} of at most {total}, validation loss {loss:.3f} nats a token")

    made = train_summary(train, validation, settings, report)
    scores = {**summary_scores(made, rest), "fuser_rouge_1": _fused_scores(place, rest)}
    values = {name: [round(v, 6) for v in each] for name, each in scores.items()}
    parts = {"trained_on": len(train), "epoch_chosen_on": len(validation)}
    rows.add(KIND, NAME, {**parts, "settings": settings.model_dump(mode="json"), "scores": values})


def _fused_scores(place: Path, rest: list[Drafted]) -> list[float]:
    fused = read_rows(place / f"{FUSED}.jsonl")
    return [rouge_1(fused[r.id]["answer"], r.target) for r in rest]
