"""TOPLA-Summary: an encoder-decoder that writes one answer from a question and the members' answers.

LED of transformers (Beltagy et al. 2020, arXiv:2004.05150): a sliding window everywhere, global attention on the
question. A small one is trained from scratch; `base` takes a pretrained checkpoint of the user's instead. Departures
from the released code of LLM-TOPLA: padding of targets does not count in the loss, the best epoch is really kept, and
the result is what the model writes freely. The released figures come from teacher forcing, in which the model sees the
right answer up to each token; that score stands beside the free one under its own name, and is never the result.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from langchain_core.messages import AIMessage
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from labwright.errors import HashMismatch, ModelMissing, TrainingDiverged, WrongUse
from labwright.models.checkpoints import fingerprint
from labwright.models.topla.drafts import Drafted, rouge_1
from labwright.models.topla.summary_text import BOQ, EOQ, add_marks, global_mask, own_tokenizer, source_ids
from labwright.models.topla.weighted import one_thread

ABOUT = "summary.json"
MASKED = -100
HEADS = 4
Report = Callable[[int, int, float], None]
"""Called with epochs done, epochs in all, and the validation loss, nats a token."""


class SummarySettings(BaseModel):
    """Shape and training of a summary model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base: str = ""
    """Folder of a LED checkpoint with its tokenizer; empty trains a small one from scratch."""
    vocabulary: int = Field(4_000, ge=300)
    """Most tokens, from scratch."""
    width: int = Field(128, ge=16, multiple_of=HEADS)
    layers: int = Field(2, ge=1)
    """Of encoder and decoder each."""
    window: int = Field(64, ge=2, multiple_of=2)
    """Tokens that each token sees around itself."""
    source_tokens: int = Field(768, ge=64)
    target_tokens: int = Field(96, ge=8)
    learning_rate: float = Field(5e-4, gt=0)
    """5e-5 for a pretrained base, as released."""
    batch: int = Field(4, ge=1)
    epochs: int = Field(10, ge=1)
    patience: int = Field(3, ge=1)
    """Epochs without gain in validation loss after which training ends."""
    released_sentences: bool = False
    """Shorten answers as the released code does."""
    seed: int = Field(0, ge=0)


@dataclass(frozen=True, slots=True)
class Summary:
    """A trained summary model."""

    model: Any
    tokenizer: Any
    members: tuple[str, ...]
    settings: SummarySettings

    def source(self, question: str, answers: Mapping[str, str]) -> list[int]:
        """Token ids of what the encoder reads; a member without an answer has an empty place."""
        given = [answers.get(name, "") for name in self.members]
        most, released = self.settings.source_tokens, self.settings.released_sentences
        return source_ids(self.tokenizer, question, given, most, released=released)

    def write(self, question: str, answers: Mapping[str, str]) -> AIMessage:
        """An answer, written freely and greedily, with the tokens that it cost."""
        source = _padded([self.source(question, answers)], self.tokenizer)
        self.model.eval()
        with torch.inference_mode():
            out = self.model.generate(
                **source, max_new_tokens=self.settings.target_tokens, do_sample=False, num_beams=1
            )
        text = self.tokenizer.decode(out[0], skip_special_tokens=True).strip()
        read, written = source["input_ids"].shape[1], int(out.shape[1])
        usage = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        return AIMessage(text, usage_metadata=usage)

    def teacher_forced(self, row: Drafted) -> str:
        """The most probable token at each place, given the right answer before it; no result, see above."""
        batch = _batch(self, [row])
        self.model.eval()
        with torch.inference_mode():
            said = self.model(**batch).logits.argmax(dim=-1)[0]
        return str(self.tokenizer.decode(said[batch["labels"][0] != MASKED], skip_special_tokens=True)).strip()

    def save(self, folder: Path, figures: Mapping[str, float]) -> None:
        """Write model, tokenizer and what they are; `figures` go into the record."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        about = {
            "members": list(self.members),
            "settings": self.settings.model_dump(mode="json"),
            "weights_sha256": fingerprint(folder),
            "figures": dict(figures),
        }
        (folder / f"{ABOUT}.new").write_text(json.dumps(about, indent=1), encoding="utf-8")
        (folder / f"{ABOUT}.new").replace(folder / ABOUT)


def load_summary(folder: Path, *, members: Sequence[str]) -> Summary:
    """Read a summary model for the given members, in any order.

    Raises:
        ModelMissing: none is there, or it was trained on other members.
        HashMismatch: the weights are not those that were saved.
    """
    from transformers import AutoTokenizer, LEDForConditionalGeneration

    path = folder / ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        trained, settings = tuple(about["members"]), SummarySettings.model_validate(about["settings"])
        digest = about["weights_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = "; ".join(e["msg"] for e in error.errors()) if isinstance(error, ValidationError) else str(error)
        raise ModelMissing(
            f"{path}: no summary model there ({said}); make one with `labwright models ensemble summary`"
        ) from error
    if set(trained) != set(members):
        raise ModelMissing(
            f"{folder}: trained on answers of {', '.join(trained)}, not of {', '.join(members)}; train it again"
        )
    if fingerprint(folder) != digest:
        raise HashMismatch(f"{folder}: not the weights that {ABOUT} names; train it again")
    model = LEDForConditionalGeneration.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    return Summary(model, tokenizer, trained, settings)


def summary_scores(made: Summary, rows: Sequence[Drafted]) -> dict[str, list[float]]:
    """ROUGE-1 F on rows that trained and chose nothing, a number in [0, 1] a row.

    Returns:
        `free_rouge_1` of what the model writes, the result; `teacher_forced_rouge_1` beside it; and for each member
        `member_rouge_1:NAME` of its own answers.
    """
    said = {
        "free_rouge_1": [str(made.write(r.question, r.answers).text) for r in rows],
        "teacher_forced_rouge_1": [made.teacher_forced(r) for r in rows],
        **{f"member_rouge_1:{name}": [r.answers[name] for r in rows] for name in made.members},
    }
    return {
        name: [rouge_1(text, r.target) for text, r in zip(texts, rows, strict=True)] for name, texts in said.items()
    }


def train_summary(
    rows: Sequence[Drafted],
    validation: Sequence[Drafted],
    settings: SummarySettings,
    report: Report = lambda *_: None,
) -> Summary:
    """Train on questions with their members' answers and the answer that is right.

    Args:
        rows: what is trained on; all have answers of the same members.
        validation: what chooses the epoch; never trained on.
        settings: shape and training.
        report: shows progress.

    Raises:
        ModelMissing: `base` is no LED checkpoint.
        WrongUse: it takes fewer tokens than the settings ask for.
        TrainingDiverged: the loss is not finite.
    """
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(settings.seed)
        made = _begun(rows, settings)
        optimiser = torch.optim.AdamW(made.model.parameters(), lr=settings.learning_rate)
        steps = settings.epochs * -(-len(rows) // settings.batch)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, total_iters=steps)
        best, kept, since = float("inf"), copy.deepcopy(made.model.state_dict()), 0
        for epoch in range(settings.epochs):
            made.model.train()
            for batch in _batches(made, rows, torch.randperm(len(rows)).tolist()):
                optimiser.zero_grad()
                made.model(**batch).loss.backward()
                torch.nn.utils.clip_grad_norm_(made.model.parameters(), 1.0)
                optimiser.step()
                schedule.step()
            loss = _loss(made, validation)
            if not math.isfinite(loss):
                raise TrainingDiverged("the loss is not finite; lower the learning rate", step=epoch + 1, examples=())
            report(epoch + 1, settings.epochs, loss)
            since += 1
            if loss < best:
                best, kept, since = loss, copy.deepcopy(made.model.state_dict()), 0
            if since >= settings.patience:
                break
        made.model.load_state_dict(kept)
    return made


def _begun(rows: Sequence[Drafted], settings: SummarySettings) -> Summary:
    from transformers import AutoTokenizer, LEDConfig, LEDForConditionalGeneration

    members = tuple(rows[0].answers)
    if settings.base:
        folder = Path(settings.base).expanduser()
        try:
            model = LEDForConditionalGeneration.from_pretrained(folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise ModelMissing(f"{folder}: no LED checkpoint: {str(error).splitlines()[0]}") from error
        limits = model.config.max_encoder_position_embeddings, model.config.max_decoder_position_embeddings
        if settings.source_tokens > limits[0] or settings.target_tokens > limits[1]:
            raise WrongUse(
                f"{folder}: reads {limits[0]} and writes {limits[1]} tokens; lower source_tokens, target_tokens"
            )
        add_marks(tokenizer, len(members))
        model.resize_token_embeddings(len(tokenizer))
        return Summary(model, tokenizer, members, settings)
    texts = [text for r in rows for text in (r.question, r.target, *r.answers.values())]
    tokenizer = own_tokenizer(texts, len(members), settings.vocabulary)
    padded = -(-settings.source_tokens // settings.window) * settings.window
    config = LEDConfig(
        vocab_size=len(tokenizer),
        d_model=settings.width,
        attention_window=[settings.window] * settings.layers,
        max_encoder_position_embeddings=padded,
        max_decoder_position_embeddings=settings.target_tokens + 2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.bos_token_id,
        encoder_layers=settings.layers,
        decoder_layers=settings.layers,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=2 * settings.width,
        decoder_ffn_dim=2 * settings.width,
    )
    return Summary(LEDForConditionalGeneration(config), tokenizer, members, settings)


def _batches(made: Summary, rows: Sequence[Drafted], order: Sequence[int]) -> Iterator[dict[str, Tensor]]:
    for start in range(0, len(order), made.settings.batch):
        yield _batch(made, [rows[i] for i in order[start : start + made.settings.batch]])


def _batch(made: Summary, rows: Sequence[Drafted]) -> dict[str, Tensor]:
    most, end = made.settings.target_tokens, made.tokenizer.eos_token_id
    ids = (made.tokenizer(r.target, add_special_tokens=False, split_special_tokens=True)["input_ids"] for r in rows)
    targets = [[*one[: most - 1], end] for one in ids]
    longest = max(map(len, targets))
    labels = torch.tensor([[*t, *[MASKED] * (longest - len(t))] for t in targets])
    return {**_padded([made.source(r.question, r.answers) for r in rows], made.tokenizer), "labels": labels}


def _padded(sources: Sequence[Sequence[int]], tokenizer: Any) -> dict[str, Tensor]:
    """Input ids (b, t) with their masks; global attention on the questions."""
    begin, end = tokenizer.convert_tokens_to_ids([BOQ, EOQ])
    longest = max(map(len, sources))

    def matrix(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])

    return {
        "input_ids": matrix(sources, tokenizer.pad_token_id),
        "attention_mask": matrix([[1] * len(s) for s in sources], 0),
        "global_attention_mask": matrix([global_mask(s, begin, end) for s in sources], 0),
    }


def _loss(made: Summary, rows: Sequence[Drafted]) -> float:
    """Mean cross entropy of the target tokens, nats."""
    made.model.eval()
    total = tokens = 0.0
    with torch.inference_mode():
        for batch in _batches(made, rows, range(len(rows))):
            count = int((batch["labels"] != MASKED).sum())
            total += float(made.model(**batch).loss) * count
            tokens += count
    return total / tokens
