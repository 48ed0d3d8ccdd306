"""What a person decides about a protocol that waits at the gate: approve, edit, send back, reject.

Each is on the disk when its call returns. An approved or sent-back run is queued: `labwright resume`, which the
command line calls at once and the web page through its queue, carries it on.
"""

from __future__ import annotations

from pathlib import Path

from labwright.domain import Intervention, Protocol
from labwright.errors import WrongUse
from labwright.store import RunStore, now
from labwright.workflows.edits import accept_protocol, keep_version, read_protocol
from labwright.workflows.interventions import changed_steps, interventions, record_intervention

REVIEW = "review.wanted"
"""File that says that the run stops after its design."""
SENT_BACK = "sent.back"
"""File that says that the design is to be made again, until it is."""
MOST_REASON = 4000
DESIGNED_BY_MODEL = ("labwright", "no_reviewer", "no_hierarchy")
"""Workflows whose design takes a person's reasons."""


def approve(store: RunStore, *, by: str = "") -> None:
    """Approve the protocol as it stands.

    Raises:
        WrongUse: the run does not wait for a review.
    """
    with store.changing():
        version = _waiting(store).version
        record_intervention(store, Intervention(kind="approve", at=now(), by=by, version=version))
        _released(store)


def save_edit_file(store: RunStore, path: Path, *, by: str = "") -> Protocol:
    """:func:`save_edit` with a protocol file of the user, whatever version it was made from.

    Raises:
        WrongUse: as there, or the file cannot be read.
    """
    edited, version = read_protocol(path), _waiting(store).version
    return save_edit(store, edited.model_copy(update={"version": version}), by=by, named=str(path))


def release(store: RunStore) -> None:
    """Let a run go on whose protocol was edited to be run.

    Raises:
        WrongUse: the run does not wait for a review.
    """
    with store.changing():
        _waiting(store)
        _released(store)


def save_edit(store: RunStore, edited: Protocol, *, by: str = "", named: str = "the edit") -> Protocol:
    """Put an edited protocol in the place of the run's own; the run goes on waiting.

    Raises:
        WrongUse: the run does not wait for a review, somebody else has changed the protocol meanwhile (`edited` is of
            an older version), nothing is changed, or the edit does not hold together.
    """
    with store.changing():
        before = _waiting(store)
        if edited.version != before.version:
            raise WrongUse(
                f"{named} is of version {edited.version}, and the protocol is at version {before.version} now; "
                "look at it and edit that one"
            )
        if edited == before:
            raise WrongUse(f"{named} changes nothing; approve the protocol as it is")
        after = accept_protocol(store, edited, named=named)
        steps = tuple(changed_steps(before, after))
        act = Intervention(kind="edit", at=now(), by=by, steps=steps, version=after.version)
        record_intervention(store, act)
        return after


def send_back(store: RunStore, reason: str, *, by: str = "") -> None:
    """Have the protocol designed again with a person's reasons before the model's eyes; it will wait again.

    Raises:
        WrongUse: the run does not wait for a review, no reason is given, or no model designs in its workflow.
    """
    reason = _reason(reason)
    with store.changing():
        _waiting(store)
        workflow = store.record().workflow
        if workflow not in DESIGNED_BY_MODEL:
            raise WrongUse(f"a protocol of {workflow} is not designed step by step by a model; edit it, or reject it")
        version = keep_version(store).version
        record_intervention(store, Intervention(kind="send_back", at=now(), by=by, detail=reason, version=version))
        store.write_text(store.folder / SENT_BACK, f"{reason}\n", durable=True)
        _queued(store)


def reject(store: RunStore, reason: str, *, by: str = "") -> None:
    """End a run whose protocol a person rejects.

    Raises:
        WrongUse: the run does not wait for a review, or no reason is given.
    """
    from labwright.eval.report import write_report

    reason = _reason(reason)
    with store.changing():
        version = _waiting(store).version
        record_intervention(store, Intervention(kind="reject", at=now(), by=by, detail=reason, version=version))
        ended = {"status": "failed", "message": f"protocol rejected: {reason}", "finished_at": now()}
        store.save_record(store.record().model_copy(update=ended), durable=True)
        write_report(store.folder)


def reasons(store: RunStore) -> str:
    """Why persons sent the protocol back, for whoever designs it again; empty when nobody did."""
    return "; ".join(act.detail for act in interventions(store) if act.kind == "send_back")


def is_sent_back(store: RunStore) -> bool:
    """Whether the design is to be made again."""
    return (store.folder / SENT_BACK).exists()


def forget_sent_back(store: RunStore) -> None:
    """The design has been begun again."""
    (store.folder / SENT_BACK).unlink(missing_ok=True)


def _waiting(store: RunStore) -> Protocol:
    status = store.record().status
    if status != "waiting_for_review":
        raise WrongUse(f"run {store.id} does not wait for a review; it is {status}")
    return store.read(store.folder / "protocol.json", Protocol)


def _released(store: RunStore) -> None:
    (store.folder / REVIEW).unlink(missing_ok=True)
    _queued(store)


def _queued(store: RunStore) -> None:
    store.save_record(store.record().model_copy(update={"status": "queued", "message": ""}), durable=True)


def _reason(text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= MOST_REASON:
        raise WrongUse(f"give the reasons, in at most {MOST_REASON} characters")
    return text
