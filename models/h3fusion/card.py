"""The part of a fused model's card that says what was fused, and how to load it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOADING = """\
### Loading

With labwright (`pip install 'labwright[local]'`) the class registers itself:

```python
import labwright.models.h3fusion
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
```

or in labwright.toml: `[backends.fused]` with `kind = "h3fusion"` and `model = "FOLDER"`.
"""
PLAIN = """\
Without labwright, `AutoModelForCausalLM.from_pretrained("FOLDER/mixtral")`: the same function as a Mixtral checkpoint,
for transformers, vLLM and what else loads Mixtral.
"""
NO_PLAIN = """\
Without labwright: `labwright models fuse --mixtral` writes the model as a Mixtral checkpoint where its base is a Llama
or Mistral without biases.
"""


def fusion_section(record: Mapping[str, Any], *, mixtral: bool) -> str:
    """Markdown: experts, settings, drift and router shares of a fused model, and how to load it.

    Args:
        record: what fusion.json holds.
        mixtral: a Mixtral checkpoint lies beside it.
    """
    experts = record["experts"]
    settings = record["settings"]
    made = "; ".join(f"{name} from {f['source']} ({f['kind']})" for name, f in record["alignments"].items())
    dials = ", ".join(f"{gamma:g}" for gamma in settings["gammas"])
    lines = [
        "## Fusion",
        "",
        f"A mixture of {len(experts)} experts in every layer ({', '.join(experts)}), {record['top_k']} of them "
        "computed for a token, after H3Fusion (arXiv 2411.17792).",
        "",
        f"Base `{record['base']['name']}`, sha256 `{record['base']['sha256']}`. Alignments: {made}.",
        "",
        f"Gating loss {settings['gate_form']}, lambda {settings['gate_weight']:g}; penalty {settings['penalty_form']}, "
        f"gamma {dials}; attention {settings['attention']}.",
    ]
    if settings["faithful"]:
        lines += ["", f"Deviations of the released code that were switched on: {', '.join(settings['faithful'])}."]
    lines += ["", "Mean router weight over layers, on examples of each property:", ""]
    lines += [f"| property | {' | '.join(experts)} |", "|---" * (len(experts) + 1) + "|"]
    for name, layers in record["router_shares"].items():
        means = [sum(layer[e] for layer in layers) / len(layers) for e in range(len(experts))]
        lines.append(f"| {name} | {' | '.join(f'{m:.3f}' for m in means)} |")
    lines += ["", "Drift of the experts in the fusion, mean over layers of ||W - W0|| (relative to ||W0||):", ""]
    for name, drift in record["drift"].items():
        n = len(drift["absolute"])
        lines.append(f"- {name}: {sum(drift['absolute']) / n:.4g} ({sum(drift['relative']) / n:.4g})")
    return "\n".join([*lines, "", LOADING, PLAIN if mixtral else NO_PLAIN])
