"""The typed things of a run: frozen, unknown fields refused, everything JSON-ready.

Ids are plain strings. A report part is named `<paper>:<part>` and a step `<paper>:<part>:<step>` in
references, so that one look-up decides whether a reference resolves.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Decider = Literal["model", "fallback", "code", "person"]
Kind = Literal["dry", "wet", "mixed"]
Level = Literal[0, 1, 2, 3]


class Thing(BaseModel):
    """Base of all typed things."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Objective(Thing):
    """What the user wants to know."""

    text: str
    conditions: str = ""
    requirements: str = ""

    def brief(self) -> str:
        """The objective as the prompts show it, one line a field that is not empty."""
        lines = [f"Objective: {self.text}"]
        if self.conditions:
            lines.append(f"Conditions: {self.conditions}")
        if self.requirements:
            lines.append(f"Requirements: {self.requirements}")
        return "\n".join(lines)


class PaperIds(Thing):
    """Identifiers of a paper; empty where unknown."""

    pmid: str = ""
    pmcid: str = ""
    doi: str = ""


_STANDING = {
    "unknown": "not checked",
    "none": "none known",
    "retracted": "retracted",
    "concern": "expression of concern",
    "notice": "a notice about another paper",
}


class Retraction(Thing):
    """What is known of a paper's standing."""

    status: Literal["unknown", "none", "retracted", "concern", "notice"] = "unknown"
    """"unknown" means not checked; "notice" marks a text that is itself a notice about another paper."""
    checked_at: str = ""
    """Date as of which `source` says so, ISO."""
    source: str = ""
    detail: str = ""
    """The notice and its reason, as far as the source gives them."""

    @property
    def words(self) -> str:
        """The status as a reader needs it."""
        return _STANDING[self.status]

    @property
    def citable(self) -> bool:
        """Whether the paper may be evidence."""
        return self.status not in ("retracted", "notice")


class Paper(Thing):
    """One paper, or one record of the embedded corpus."""

    id: str
    ids: PaperIds = PaperIds()
    title: str
    authors: tuple[str, ...] = ()
    """`Family, Given`, in the order of the paper; a group under its own name."""
    abstract: str
    year: int | None = None
    journal: str = ""
    source: str
    """Name of the literature source it came from."""
    types: tuple[str, ...] = ()
    """Publication types as PubMed names them."""
    mesh: tuple[str, ...] = ()
    """MeSH descriptors, or keywords of a user's reference file."""
    retrieved_on: str = ""
    """Date of the reply that this record is read from, ISO; empty for papers that came with a file."""
    kind: Literal["abstract", "full_text", "summary", "user"] = "abstract"
    """"summary" marks a text written by this project: a quote from it is a quote of the summary."""
    retraction: Retraction = Retraction()
    helpfulness: float | None = None
    """Expected helpfulness in [1, 5]; None when it could not be scored."""
    reason: str = ""
    """Why the paper was kept or dropped."""


class SurvivalColumns(Thing):
    """Columns that hold follow-up."""

    time: str
    event: str
    unit: str = ""
    endpoint: str = ""


class Dataset(Thing):
    """One data set whose existence, organism, assay and sample count were confirmed, or not yet."""

    id: str
    accession: str = ""
    title: str
    description: str = ""
    organism: str = ""
    assay: str = ""
    kind: str = ""
    n_samples: int | None = None
    n_features: int | None = None
    groups: dict[str, dict[str, int]] = Field(default_factory=dict)
    columns: dict[str, dict[str, Any]] = Field(default_factory=dict)
    survival: SurvivalColumns | None = None
    feature_kind: str = ""
    size_mb: float | None = None
    licence: str = ""
    source: dict[str, Any] = Field(default_factory=dict)
    reference: dict[str, Any] = Field(default_factory=dict)
    known_results: list[dict[str, Any]] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    how_to_load: str = ""
    verified: bool = False
    verification: str = ""
    """What was compared, and where."""


class Quote(Thing):
    """A verbatim span of a stored document: `document[start:end] == text`, located by code."""

    paper: str
    start: int = Field(ge=0)
    end: int = Field(gt=0)
    text: str


class ReportStep(Thing):
    """One step of a part, with the spans that support it."""

    id: str
    details: str
    quotes: tuple[Quote, ...] = ()


class ReportPart(Thing):
    """One experimental part of a paper."""

    id: str
    title: str
    outline: str
    steps: tuple[ReportStep, ...] = ()


class Report(Thing):
    """What a paper did, coarse to fine."""

    paper: str
    parts: tuple[ReportPart, ...]


class Analysis(Thing):
    """How far one report part can be borrowed for the objective."""

    paper: str
    part: str
    referability: Literal["high", "medium", "low"]
    reason: str
    suggestions: str
    probability: dict[str, float] = Field(default_factory=dict)


class Ref(Thing):
    """A reference to a report part, or to steps of it."""

    paper: str
    part: str
    steps: tuple[str, ...] = ()


class Step(Thing):
    """One step of a protocol part."""

    id: str
    details: str
    kind: Kind
    datasets: tuple[str, ...] = ()
    operator: str = ""
    """Name of the analysis operator that carries the step; empty for free code and wet steps."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    """Ids of earlier steps whose outputs this one reads."""
    refs: tuple[Ref, ...] = ()


class Part(Thing):
    """One part of a protocol."""

    id: str
    title: str
    purpose: str
    design_reason: str = ""
    outline: str = ""
    refs: tuple[Ref, ...] = ()
    steps: tuple[Step, ...] = ()


class Protocol(Thing):
    """The design: what is to be done, why, on which data, after whom."""

    objective: Objective
    logic: str
    parts: tuple[Part, ...]
    datasets: tuple[Dataset, ...] = ()
    version: int = 1


class Review(Thing):
    """One review of one candidate."""

    stage: str
    candidate: int
    """0 is the first draft, 1 the first rewrite, and so on."""
    scores: dict[str, float]
    """Criterion to score in [1, 5]."""
    critique: str
    accepted: bool
    chosen: bool = False
    """This candidate went on."""
    reviewer: str = ""
    """Backend that reviewed."""

    @property
    def overall(self) -> float:
        """Mean over the criteria, in [1, 5]."""
        return sum(self.scores.values()) / len(self.scores)


class FigureField(Thing):
    """One field of a figure, as a model read it."""

    name: str
    read: str
    probability: float
    """Of what was read, among the options."""
    decided_by: Decider
    truth: str = ""
    """What the data behind the figure say; empty where they do not."""

    @property
    def agrees(self) -> bool | None:
        """The reading is what the data say; None where they say nothing."""
        return None if not self.truth else self.read == self.truth


class FigureReading(Thing):
    """One figure of a run, read by a model that sees."""

    task: str
    file: str
    sha256: str
    legend: str
    fields: tuple[FigureField, ...]


class Picture(Thing):
    """One picture that came into a run from outside: whether a model may see it, and what one read in it."""

    id: str
    """Of the run; its file, where a model may see it, is `pictures/ID.png`."""
    origin: str
    """Paper that it came with; empty for a picture that was given with the objective."""
    name: str
    label: str = ""
    legend: str = ""
    sha256: str
    """Of the file as it came, which is not kept."""
    verdict: Literal["passed", "protected", "refused", "unreadable"]
    faces: int | None = None
    """Found in it; None where nobody looked for faces."""
    reason: str = ""
    fields: tuple[FigureField, ...] = ()
    """What a model that sees read in it; nothing here is checked against data."""

    @property
    def visible(self) -> bool:
        """A model may see it."""
        return self.verdict in ("passed", "protected")


class Intervention(Thing):
    """What a person did at the gate between design and analyses."""

    kind: Literal["approve", "edit", "reject", "send_back"]
    at: str
    """Time in UTC, ISO 8601."""
    detail: str = ""
    """The reasons of a rejection, or of sending it back."""
    steps: tuple[str, ...] = ()
    """Steps of the protocol that an edit changed, added or took out."""
    by: str = ""
    """Who did it; empty where nobody was named."""
    version: int | None = None
    """Version of the protocol that was decided about; of an edit, the one that it made."""


class Comment(Thing):
    """What a person remarks on a protocol, on one of its parts, or on a step."""

    id: str
    at: str
    """Time in UTC, ISO 8601."""
    by: str
    text: str
    part: str = ""
    """Id of the part; empty for a remark on the whole."""
    step: str = ""
    """Id of the step; empty for a remark on the part."""
    version: int
    """Version of the protocol that it was made on."""
    settled_by: str = ""
    """Who said that it is dealt with; empty while it is open."""
    settled_at: str = ""


class OutputSpec(Thing):
    """One output that a task must write."""

    name: str
    type: Literal["table", "figure", "json"]
    check: str


class Task(Thing):
    """One dry step made executable."""

    id: str
    description: str
    part: str
    step: str
    operator: str
    parameters: dict[str, Any]
    datasets: tuple[str, ...]
    inputs: tuple[str, ...]
    """Names under /in that the script must read."""
    upstream: tuple[str, ...] = ()
    """Ids of tasks whose outputs are inputs."""
    outputs: tuple[OutputSpec, ...]


class Check(Thing):
    """One verdict on the outputs of an attempt."""

    check: str
    passed: bool
    detail: str = ""


class Attempt(Thing):
    """One execution of one script."""

    number: int
    script: str
    """The script's file name in the task folder."""
    origin: Literal["operator", "free"]
    """Rendered from an operator's parameters, or written freely by a model."""
    exit_code: int | None
    cause: str
    outputs: dict[str, str] = Field(default_factory=dict)
    """Output file to sha256."""
    inputs_read: tuple[str, ...] = ()
    duration_s: float = 0.0
    checks: tuple[Check, ...] = ()
    level: Level = 0
    error: str = ""


class TaskResult(Thing):
    """How a task ended: level 1 exit code 0, 2 outputs present, 3 outputs valid and inputs read."""

    task: str
    attempts: tuple[Attempt, ...]
    level: Level
    skipped: str = ""
    """Why it did not run; a skipped task is a failed one."""
    findings: tuple[dict[str, Any], ...] = ()


class Call(Thing):
    """One call of a language model, as recorded."""

    role: str
    prompt: str
    """Prompt id."""
    prompt_hash: str
    backend: str
    kind: Literal["ask", "choose", "score"]
    decided_by: Decider
    cached: bool = False
    prompt_tokens: int = 0
    """Tokens of the prompt."""
    evaluated_tokens: int = 0
    """Tokens of the prompt that the server really evaluated, prefix-cache hits left out."""
    generated_tokens: int = 0
    seconds: float = 0.0
    usd: float = 0.0
    repairs: int = 0


class FlaggedPassage(Thing):
    """A passage of a stranger's text that looks like an instruction; it was kept from the model."""

    source: str
    """Id of the paper or data set."""
    place: str
    """title, abstract, full text or data set description."""
    rule: str
    """What it looks like."""
    start: int
    end: int
    """Its span in the text of that place."""
    text: str
    """As it stands there; of a long one the beginning."""


class Shares(Thing):
    """Who decided the final value of the choices and text fields that a model was asked for."""

    model: int = 0
    fallback: int = 0
    """The model's answer was missing or invalid, and a rule's value stands."""
    code: int = 0
    """The model answered, and code overruled it."""
    person: int = 0
    """A person edited the value."""

    @property
    def model_share(self) -> float | None:
        """Share of the values asked of a model that the model decided; None when none was asked."""
        asked = self.model + self.fallback + self.code
        return self.model / asked if asked else None


class RunRecord(Thing):
    """Everything needed to judge or repeat a run."""

    id: str
    objective: Objective
    status: Literal["queued", "running", "waiting_for_review", "done", "failed", "stopped_by_budget", "interrupted"]
    workflow: str = "labwright"
    message: str = ""
    version: str = ""
    started_at: str = ""
    started_by: str = ""
    """Who asked for it; empty where nobody was named."""
    finished_at: str = ""
    seed: int = 0
    papers: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    reports: tuple[str, ...] = ()
    tasks: dict[str, Level] = Field(default_factory=dict)
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Role to backend: name, kind, model, file hash."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Prompt id to `version:hash`."""
    calls: int = 0
    prompt_tokens: int = 0
    evaluated_tokens: int = 0
    generated_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    seconds_by_stage: dict[str, float] = Field(default_factory=dict)
    seconds_by_kind: dict[str, float] = Field(default_factory=dict)
    """Seconds in the model, the sandbox, the network and orchestration."""
    decided: Shares = Shares()
    tool_calls: int = 0
    """Choices of a data set, an analysis or its parameters that a model was asked for."""
    tool_calls_valid: int = 0
    """Those of them that could be carried out as they were."""
    sandbox: dict[str, Any] = Field(default_factory=dict)
    """Policy of the sandbox as probed."""
    passages: tuple[FlaggedPassage, ...] = ()
    """What looked like an instruction in papers and data sets."""
    notes: tuple[str, ...] = ()
    """What the reader of the report must know: sources out of reach, fall-backs taken."""
