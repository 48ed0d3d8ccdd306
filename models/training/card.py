"""The model card: what a trained model is, what it stands on, and what it is not for."""

from __future__ import annotations

import json
from typing import Any

PURPOSE = {
    "helpful": "follow instructions",
    "harmless": "answer risky requests safely",
    "honest": "give true answers where people often believe false ones",
}
NOT_FOR = """\
It is a research artefact. It is not for clinical, diagnostic or treatment decisions, not for screening people, and not
a safety guarantee: alignment by fine-tuning is undone by further fine-tuning, answers can be false or harmful, and
nobody has judged this model's answers unless a report beside it says so. It keeps the limits and the licence of its
base. The loss above is not a measure of helpfulness, harmlessness or honesty."""


def model_card(facts: dict[str, Any], name: str) -> str:
    """README.md of a trained model, from what training.json holds."""
    base, data, config, result = facts["base"], facts["data"], facts["config"], facts["result"]
    adapter = config["lora"] is not None and config["save"] == "adapter"
    head = [
        "---",
        *(["library_name: peft"] if adapter else ["library_name: transformers"]),
        f"license: {_yaml(data['licence'] or 'unknown')}",
        "---",
        "",
    ]
    taught = [PURPOSE.get(p, p) for p in data["properties"] if p]
    return "\n".join(
        [
            *head,
            f"# {name}",
            "",
            f"A causal language model trained to {' and to '.join(taught) or 'answer as its examples do'}"
            f"{', as a LoRA adapter over its base' if adapter else ''}.",
            "",
            "## Base",
            "",
            f"{base['name']} ({base.get('architecture', 'unknown architecture')}, {base['dtype']}), sha256 of its "
            f"weights `{facts['base_sha256']}`.",
            "",
            "## Data",
            "",
            f"{data['source'] or 'Not named'}: {data['examples']} examples"
            f"{', ' + str(data['heldout']) + ' held out' if data['heldout'] else ''}; licence: "
            f"{data['licence'] or 'not stated by who trained it'}. sha256 `{data['sha256']}`. {data['duplicates']} "
            f"repeat an earlier one, {data['truncated']} lost their end, {len(data['left_out'])} were left out.",
            "",
            "## Training",
            "",
            *_settings(config, facts),
            "",
            f"Loss of the last step {_figure(result['loss'])} nats per answer token, held-out loss "
            f"{_figure(result['heldout_loss'])} "
            f"(before training {_figure(result['heldout_before'])}); {result['steps']} steps, "
            f"{result['tokens']} tokens, {result['seconds']:.0f} s.",
            "",
            "## Prompt",
            "",
            _prompt(config),
            "",
            "## What it is not for",
            "",
            NOT_FOR,
            "",
        ]
    )


def _settings(config: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    lora = config["lora"]
    how = "all weights" if not config["trainable"] else f"weights named {config['trainable']}"
    if lora is not None:
        how = (
            f"LoRA r={lora['r']}, alpha={lora['alpha']:g}, dropout={lora['dropout']:g} on {', '.join(lora['targets'])}"
        )
    shown = (
        "epochs",
        "batch_size",
        "accumulate",
        "learning_rate",
        "schedule",
        "warmup_steps",
        "weight_decay",
        "clip_norm",
        "max_tokens",
        "autocast",
        "seed",
    )
    rows = [f"| {key} | {config[key]} |" for key in shown]
    hooks = [f"- {name}: {settings}" for name, settings in facts["hooks"].items()]
    return [
        f"Trained: {how} ({facts['parameters']['trained']} parameters), with AdamW.",
        "",
        "| setting | value |",
        "|---|---|",
        *rows,
        *([""] if hooks else []),
        *hooks,
    ]


def _prompt(config: dict[str, Any]) -> str:
    if config["template"] == "chat":
        return "The tokenizer's chat template."
    form = "Alpaca's two texts" if config["template"] == "alpaca" else "The instruction as it is"
    return f"{form}; the answer ends with `{config['stop_marker']}`."


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"


def _yaml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
