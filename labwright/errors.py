"""Every error that labwright raises on purpose, in one tree.

LabwrightError                  one clear line: what, where, how to mend
├── WrongUse                    exit 2: the user's input cannot be worked with
│   ├── ObjectiveRefused        the objective is empty, oversized, outside biomedicine or unanswerable
│   ├── UnreadableCorpus        a corpus file cannot be read
│   ├── ConfigInvalid           a configuration file or variable is wrong
│   └── TrainingRefused         data, settings, memory or checkpoint that a training cannot soundly start from
├── RunFailed                   exit 1: the run cannot go on; what is finished is kept
│   ├── NoLiterature            no paper was found, or none was kept
│   ├── DownloadTooLarge        a file is larger than the configuration allows
│   ├── NoUsableData            no catalogued data set can carry an analysis of the objective
│   ├── TrainingDiverged        a loss or a gradient is not finite; the last good checkpoint is kept
│   └── DiskFull                the run folder cannot be written
├── BudgetExhausted             exit 3: a limit on tokens, money or seconds was reached
├── SomethingMissing            exit 4: something needed is absent or wrong
│   ├── EngineMissing           no container engine, or one that fails the probe
│   ├── ModelMissing            a model file is absent and cannot be fetched, or a server is down
│   ├── HashMismatch            a file is not the one that was pinned
│   └── KeyMissing              an API key is not in the environment
├── AnswerInvalid               a model's answer failed its schema after every repair
├── ReferenceUnresolved         a reference names no stored report, part or span
│   └── QuoteNotFound           a claimed quote is not in the document
├── RetractedEvidence           a quote was asked of a retracted paper, or of a notice
├── SandboxBroken               the sandbox failed (never: the command failed, that is a result)
├── SourceUnavailable           a literature or data source did not answer usefully
└── MetricUndefined             a figure was asked of nothing
"""

from __future__ import annotations

from typing import ClassVar


class LabwrightError(Exception):
    """Base of all errors below; `exit_code` is what the command line ends with."""

    exit_code: ClassVar[int] = 1


class WrongUse(LabwrightError):
    """The user's input cannot be worked with."""

    exit_code = 2


class ObjectiveRefused(WrongUse):
    """The objective is empty, oversized, outside biomedicine, or refused."""


class UnreadableCorpus(WrongUse):
    """A corpus file cannot be read."""


class ConfigInvalid(WrongUse):
    """A configuration file or variable is wrong."""


class TrainingRefused(WrongUse):
    """A training cannot soundly start from this data, these settings, this memory or this checkpoint."""


class RunFailed(LabwrightError):
    """The run cannot go on; what is finished is kept."""


class NoLiterature(RunFailed):
    """No paper was found, or every one found was rejected."""


class NoUsableData(RunFailed):
    """No data set in reach can carry an analysis of the objective."""


class DownloadTooLarge(RunFailed):
    """A file is larger than its limit allows, such as `[literature] max_download_mib`."""


class TrainingDiverged(RunFailed):
    """A loss or a gradient is not finite; the weights before that step are kept.

    Attributes:
        step: the optimiser step that was not taken, from 1.
        examples: ids of the examples of the batch or, for a gradient, of the step.
    """

    def __init__(self, message: str, *, step: int, examples: tuple[str, ...]) -> None:
        super().__init__(message)
        self.step = step
        self.examples = examples


class DiskFull(RunFailed):
    """The run folder cannot be written."""


class BudgetExhausted(LabwrightError):
    """A limit on tokens, money or seconds was reached.

    Attributes:
        kind: "tokens", "usd" or "seconds".
        limit: the limit, in the unit of `kind`.
        used: what was used when it was noticed.
    """

    exit_code = 3

    def __init__(self, *, kind: str, limit: float, used: float) -> None:
        super().__init__(f"the budget of {limit:g} {kind} is used up ({used:g}); raise it and `labwright resume`")
        self.kind = kind
        self.limit = limit
        self.used = used


class SomethingMissing(LabwrightError):
    """Something needed is absent or wrong; the message names the command that supplies it."""

    exit_code = 4


class EngineMissing(SomethingMissing):
    """No container engine answers, or it fails the probe."""


class ModelMissing(SomethingMissing):
    """A model file is absent and cannot be fetched, or a model server does not answer."""


class HashMismatch(SomethingMissing):
    """A file is not the one that was pinned."""


class KeyMissing(SomethingMissing):
    """An API key is not in the environment."""


class AnswerInvalid(LabwrightError):
    """A model's answer failed its schema after every repair."""


class ReferenceUnresolved(LabwrightError):
    """A reference names no stored report, part or span."""


class QuoteNotFound(ReferenceUnresolved):
    """A claimed quote is not in the document.

    Attributes:
        nearest: the sentence of the document that is most like it; empty when it has none.
    """

    def __init__(self, message: str, *, nearest: str = "") -> None:
        super().__init__(message)
        self.nearest = nearest


class RetractedEvidence(LabwrightError):
    """A paper that may not be evidence was about to become some.

    Attributes:
        paper: its id.
        status: "retracted", or "notice" for a notice about another paper.
        source: who says so.
    """

    def __init__(self, *, paper: str, status: str, source: str) -> None:
        what = "is retracted" if status == "retracted" else "is itself a notice of retraction or concern"
        super().__init__(f"{paper} {what} ({source}); it cannot be evidence")
        self.paper = paper
        self.status = status
        self.source = source


class SandboxBroken(LabwrightError):
    """The sandbox itself failed; says nothing about the code that ran in it."""


class SourceUnavailable(LabwrightError):
    """A literature or data source did not answer, or answered with something unusable."""


class MetricUndefined(LabwrightError):
    """A figure was asked of nothing."""
