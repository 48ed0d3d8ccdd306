"""Questions of a run with their right answers, made by code: what small models are tuned on for the agents' roles.

Objectives are written from the data cards of the catalogue by templates, so that it is known which data set, which
analyses and which columns they ask for. The agents' own functions then ask their questions, in their own prompts, of a
model that knows: every question with its right answer is an example. No objective of the benchmark is among them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from labwright.agents.analyses import choose_operators
from labwright.agents.search import choose_datasets, score_papers
from labwright.domain import Objective, Paper
from labwright.models.ask import Session
from labwright.models.calls import CallLog
from labwright.tools.analysis.card_columns import usable_groups
from labwright.tools.analysis.contracts import OPERATORS, feasible
from labwright.workflows.guards import guard_of

Card = Mapping[str, Any]
Task = Literal["dataset", "operator", "helpfulness"]
HELD_OUT = ("gse7390", "tissue_expression", "whas500")
"""Data sets whose objectives are only measured on."""
TOPICS: Mapping[str, tuple[str, str]] = {
    "actg320": ("HIV infection", "patients with HIV"),
    "airway": ("asthma", "airway smooth muscle cells"),
    "colon": ("colon cancer", "patients with colon cancer"),
    "dlbcl_chop": ("lymphoma", "patients with diffuse large B-cell lymphoma"),
    "gbsg2": ("breast cancer", "women with breast cancer"),
    "gdsc17": ("cancer cell lines", "cancer cell lines"),
    "gse1992": ("breast cancer", "breast tumours"),
    "gse4335": ("breast cancer", "breast carcinomas"),
    "gse7390": ("breast cancer", "node-negative breast cancers"),
    "nci60": ("cancer cell lines", "the NCI60 cell lines"),
    "nki70": ("breast cancer", "node-positive breast cancers"),
    "oligodendroglioma": ("glioma", "single cells of oligodendroglioma"),
    "ovarian_meta": ("ovarian cancer", "ovarian cancers"),
    "pbc": ("liver disease", "patients with primary biliary cholangitis"),
    "pbmc68k": ("blood", "mononuclear cells of the blood"),
    "tissue_expression": ("normal tissue", "samples of normal human tissues"),
    "veteran": ("lung cancer", "patients with lung cancer"),
    "whas500": ("heart attack", "patients after a heart attack"),
}
"""Data set to its topic, which tells which papers and data sets are about the same, and to who was studied."""
TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "survival_curves": (
        "Do {who} with {column} {a} live longer free of {endpoint} than those with {column} {b}?",
        "Compare time to {endpoint} between the {column} groups of {who}.",
        "Is {column} a dividing line for the outcome ({endpoint}) of {who}? Show the curves and test them.",
        "Among {who}, how does the course until {endpoint} depend on {column}?",
    ),
    "cox_regression": (
        "Which clinical factors of {who} are associated with {endpoint} independently of one another?",
        "Build a multivariable model of {endpoint} in {who} and say how well it predicts patients left out.",
        "Does {column} still predict {endpoint} in {who} when the other clinical variables are adjusted for?",
        "Estimate adjusted hazard ratios for {endpoint} in {who}.",
    ),
    "prognostic_features": (
        "Which single genes predict {endpoint} in {who}?",
        "Screen all genes one at a time for their association with {endpoint} among {who}.",
        "Find genes whose expression goes with early {endpoint} in {who}.",
    ),
    "survival_signature": (
        "Can a signature of several genes predict {endpoint} in {who} that it was not trained on?",
        "Derive a multi-gene risk score for {endpoint} in {who} and validate it on held-out patients.",
        "How well does a penalised expression signature foretell {endpoint} in unseen {who}?",
    ),
    "differential_expression": (
        "Which genes differ in expression between {a} and {b} in {who}?",
        "Compare {column} {a} with {column} {b} in {who}, gene by gene.",
        "Find up- and down-regulated genes of {a} against {b} ({column}) in {who}.",
        "What changes in expression with {column} in {who}?",
    ),
    "gene_set_enrichment": (
        "Which pathways are over-represented among the genes that differ between {a} and {b} in {who}?",
        "Which biological processes do the genes changed by {column} in {who} belong to?",
    ),
    "cluster_samples": (
        "Which groups emerge from the expression of {who} without labels, and do they match {column}?",
        "Cluster {who} by expression alone and compare the clusters with {column}.",
        "Are there unknown subgroups among {who}?",
    ),
    "marker_features": (
        "Which marker genes distinguish the {column} groups of {who}?",
        "List the genes that mark {a} among {who}.",
        "Find genes that set each {column} of {who} apart from all others.",
    ),
    "classify_samples": (
        "Can expression predict the {column} of {who}, tested by cross-validation?",
        "Train a classifier that tells {a} from {b} in {who} and report its accuracy on samples left out.",
        "How accurately can {column} of unseen {who} be told from their expression?",
    ),
    "drug_association": (
        "Which drugs are {who} with a BRAF mutation sensitive to?",
        "Which mutations go with resistance of {who} to Nutlin-3a?",
        "Relate genomic alterations to drug response in {who}.",
    ),
}  # fmt: skip
"""Operator to objectives that ask for it."""
BRINGS = {"gene_set_enrichment": ("differential_expression", "gene_set_enrichment")}
"""Operators that an objective asks for together."""


@dataclass(frozen=True, slots=True)
class Made:
    """An objective of which it is known what it asks for."""

    id: str
    objective: Objective
    dataset: str
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RoleExample:
    """A question of a role, and its right answer."""

    id: str
    """Objective and subject."""
    task: Task
    system: str
    user: str
    answer: str


def made_objectives(card: Card) -> list[Made]:
    """Every objective that the templates give for a data set, each operator that it can carry in turn."""
    found: list[Made] = []
    columns = list(usable_groups(card))
    who = TOPICS[str(card["id"])][1]
    endpoint = str((card.get("survival") or {}).get("endpoint", ""))
    for operator, templates in TEMPLATES.items():
        if feasible(OPERATORS[operator], card) is not None:
            continue
        for number, template in enumerate(templates):
            for column in columns if "{column}" in template or "{a}" in template else columns[:1] or [""]:
                levels = list((card.get("groups") or {}).get(column, {})) or ["", ""]
                text = template.format(who=who, endpoint=endpoint, column=_words(column), a=levels[0], b=levels[-1])
                found.append(
                    Made(
                        id=f"{card['id']}:{operator}:{number}:{column}",
                        objective=Objective(text=text),
                        dataset=str(card["id"]),
                        operators=BRINGS.get(operator, (operator,)),
                    )
                )
    return found


def _words(column: str) -> str:
    return column.replace("_", " ")


def fits(made: Made, card: Card) -> bool:
    """A data set can answer an objective: the same topic, and it carries what is asked for."""
    same = TOPICS[made.dataset][0] == TOPICS[str(card["id"])][0]
    return same and all(feasible(OPERATORS[o], card) is None for o in made.operators)


class Knowing(BaseChatModel):
    """Answers a role's questions rightly and keeps them."""

    _right: Any = PrivateAttr()
    _kept: list[tuple[str, str, str]] = PrivateAttr(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "knowing"

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        system, user = str(messages[0].text), str(messages[-1].text)
        answer = self._right(system, user)
        self._kept.append((system, user, answer))
        top = [{"token": answer, "logprob": 0.0, "bytes": None}]
        content = [{"token": answer, "logprob": 0.0, "bytes": None, "top_logprobs": top}]
        message = AIMessage(answer, response_metadata={"logprobs": {"content": content}})
        return ChatResult(generations=[ChatGeneration(message=message)])


def _asked(right: Callable[[str, str], str], ask: Callable[[Session], Any]) -> list[tuple[str, str, str]]:
    """The questions that a function of the agents asks, with their right answers."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    chat = Knowing()
    chat._right = right
    with TemporaryDirectory() as scratch:
        log = CallLog(Path(scratch) / "calls.sqlite")
        ask(Session(role="tuning", backend="knowing", chat=chat, log=log))
        log.close()
    return list(chat._kept)


def dataset_questions(made: Made, cards: Mapping[str, Card], draw: random.Random) -> list[RoleExample]:
    """Whether a data set can answer: asked of the right one, of one that nearly fits, and of others."""
    guard = guard_of(made.objective, 0)
    fitting = [name for name in cards if name != made.dataset and fits(made, cards[name])]
    near = [n for n in cards if not fits(made, cards[n]) and TOPICS[n][0] == TOPICS[made.dataset][0]]
    far = [n for n in cards if not fits(made, cards[n]) and n not in near]
    chosen = [made.dataset, *draw.sample(near, min(1, len(near))), *draw.sample(far, min(2, len(far)))]
    chosen += draw.sample(fitting, min(1, len(fitting)))
    titles = {str(cards[n]["title"]): n for n in chosen}

    def right(system: str, user: str) -> str:
        name = next(n for title, n in titles.items() if title in user)
        return "yes" if fits(made, cards[name]) else "no"

    similarity = {name: 1.0 - 0.01 * i for i, name in enumerate(chosen)}
    asked = _asked(
        right,
        lambda session: choose_datasets(session, made.objective, {n: cards[n] for n in chosen}, similarity, guard),
    )
    return _examples("dataset", made, asked)


def operator_questions(made: Made, card: Card) -> list[RoleExample]:
    """Whether an objective asks for an analysis, of every one that its data set can carry."""
    guard = guard_of(made.objective, 0)
    answers = {OPERATORS[name].answers: name for name in OPERATORS}

    def right(system: str, user: str) -> str:
        name = next(n for text, n in answers.items() if text in user)
        return "yes" if name in made.operators else "no"

    similarity = dict.fromkeys(OPERATORS, 0.5)
    asked = _asked(right, lambda session: choose_operators(session, made.objective, card, similarity, guard))
    return _examples("operator", made, asked)


def paper_questions(made: Made, papers: Sequence[Paper], draw: random.Random, most: int = 3) -> list[RoleExample]:
    """How helpful papers are: 5 of the same topic and kind of analysis, 3 of the same topic, 1 of none of it."""
    guard = guard_of(made.objective, 0)
    words = set(re.findall(r"[a-z]{4,}", TOPICS[made.dataset][0].casefold()))

    def near(paper: Paper) -> int:
        text = f"{paper.title} {paper.abstract}".casefold()
        topic = all(w in text for w in words)
        kind = any(w in text for w in KIND_WORDS.get(made.operators[-1], ()))
        return 5 if topic and kind else 3 if topic else 1

    rated: dict[int, list[Paper]] = {1: [], 3: [], 5: []}
    for paper in papers:
        rated[near(paper)].append(paper)
    chosen = [p for level in rated.values() for p in draw.sample(level, min(1, len(level)))][:most]
    titles = {p.title: str(near(p)) for p in chosen}

    def right(system: str, user: str) -> str:
        return next(answer for title, answer in titles.items() if title in user)

    similarity = {p.id: 0.3 for p in chosen}
    asked = _asked(right, lambda session: score_papers(session, made.objective, chosen, similarity, guard))
    return _examples("helpfulness", made, asked)


KIND_WORDS: Mapping[str, tuple[str, ...]] = {
    "survival_curves": ("survival", "kaplan"),
    "cox_regression": ("cox", "hazard", "multivaria", "prognos"),
    "prognostic_features": ("prognos", "survival", "metastasis"),
    "survival_signature": ("signature", "predict"),
    "differential_expression": ("differential", "expression"),
    "gene_set_enrichment": ("pathway", "gene set", "enrichment"),
    "cluster_samples": ("cluster", "subtype", "unsupervised"),
    "marker_features": ("marker", "cell type", "subtype"),
    "classify_samples": ("classif", "predict"),
    "drug_association": ("drug", "sensitiv", "inhibitor"),
}
"""Operator to words of papers that do the same."""


def _examples(task: Task, made: Made, asked: Sequence[tuple[str, str, str]]) -> list[RoleExample]:
    return [RoleExample(f"{made.id}#{task}{n}", task, s, u, a) for n, (s, u, a) in enumerate(asked)]


def role_examples(
    cards: Mapping[str, Card], papers: Sequence[Paper], *, per_dataset: int = 40, held_out: bool = False, seed: int = 0
) -> list[RoleExample]:
    """Questions with answers of the data sets that are learned from, or of those that are held out.

    Answers of closed questions are balanced: as many yes as no of each task, at most.

    Args:
        cards: the catalogue.
        papers: the embedded literature.
        per_dataset: most objectives of a data set.
        held_out: those of HELD_OUT instead of the others.
        seed: of what is drawn.
    """
    draw = random.Random(seed)  # noqa: S311  (a sample, not a secret)
    known = {name: card for name, card in cards.items() if name in TOPICS and (held_out or name not in HELD_OUT)}
    found: list[RoleExample] = []
    for name in sorted(known):
        if (name in HELD_OUT) != held_out:
            continue
        written = made_objectives(known[name])
        for made in draw.sample(written, min(per_dataset, len(written))):
            found += dataset_questions(made, known, draw)
            found += operator_questions(made, known[name])
            found += paper_questions(made, papers, draw)
    return _balanced(found, draw)


def _balanced(examples: Sequence[RoleExample], draw: random.Random) -> list[RoleExample]:
    """As many of each answer of a task as of its rarest one, twice over at most; the order is drawn."""
    kept: list[RoleExample] = []
    for task in sorted({e.task for e in examples}):
        by_answer: dict[str, list[RoleExample]] = {}
        for one in examples:
            if one.task == task:
                by_answer.setdefault(one.answer, []).append(one)
        most = 2 * min(len(group) for group in by_answer.values())
        for group in by_answer.values():
            kept += draw.sample(group, min(most, len(group)))
    draw.shuffle(kept)
    return kept
