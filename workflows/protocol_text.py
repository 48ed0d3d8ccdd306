"""The protocol as Markdown, for people and for version control."""

from __future__ import annotations

from labwright.domain import Paper, Protocol, Ref
from labwright.store import RunStore
from labwright.tools.analysis.contracts import OPERATORS
from labwright.tools.standing import standing_note


def protocol_markdown(protocol: Protocol, store: RunStore) -> str:
    """Render a protocol with its references spelled out."""
    lines = [f"# Protocol: {protocol.objective.text}", ""]
    for name in ("conditions", "requirements"):
        text = getattr(protocol.objective, name)
        lines += [f"**{name.capitalize()}:** {text}", ""] if text else []
    lines += [protocol.logic, "", "## Data", ""]
    for d in protocol.datasets:
        accession = f", {d.accession}" if d.accession else ""
        lines += [
            f"- **{d.id}**{accession}: {d.title}. {d.organism}, {d.assay}, n = {d.n_samples}. {d.verification}",
            "",
        ]
    for part in protocol.parts:
        lines += [f"## {part.id}. {part.title}", "", f"*Purpose.* {part.purpose}", "", part.outline, ""]
        lines += _cited("Sources", part.refs, store)
        for step in part.steps:
            lines += [f"### Step {step.id} ({step.kind})", "", step.details, ""]
            lines += [f"- analysis: `{step.operator}`", f"- data: {', '.join(step.datasets)}"]
            if step.operator in OPERATORS:
                lines += [f"- method: {OPERATORS[step.operator].reference}"]
            lines += [f"- {k}: {v}" for k, v in step.parameters.items() if v is not None and k != "seed"]
            lines += [f"- input: outputs of step {i}" for i in step.inputs]
            lines += ["", *_cited("Sources", step.refs, store)]
    return "\n".join(lines).rstrip() + "\n"


def _cited(label: str, refs: tuple[Ref, ...], store: RunStore) -> list[str]:
    if not refs:
        return [f"*{label}:* none, no source supports this.", ""]
    named = []
    for ref in refs:
        paper = store.read(store.path("papers", f"{ref.paper}.json"), Paper)
        where = "/".join([ref.part, *ref.steps])
        named.append(f"{paper.title} ({paper.year or 'no year'}; {ref.paper}:{where}; {standing_note(paper)})")
    return [f"*{label}:* " + "; ".join(named), ""]
