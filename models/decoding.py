"""Decoding: from prompts and options to answers, in one padded batch of a transformers model."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from transformers import GenerationConfig, StoppingCriteria

from labwright.lease import stopping
from labwright.models.grammar import SchemaProcessor

if TYPE_CHECKING:
    from llguidance import LLTokenizer
    from PIL.Image import Image
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase
    from transformers.generation.streamers import BaseStreamer

    from labwright.models.options import Options

TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "</s>")
"""Tokens by which chat templates end a turn; a model's configuration often names only one of them."""
STOP_WINDOW = 32
"""Tokens at the end of an answer in which a stop text is looked for, at least; long stop texts widen it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model wrote."""

    text: str
    finish: Literal["stop", "length"]
    prompt_tokens: int
    generated_tokens: int
    logprobs: list[dict[str, Any]] | None
    """One entry a token as OpenAI's `logprobs.content`; None where not asked for."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A model ready to write.

    Attributes:
        model: in evaluation mode.
        tokenizer: of the model; pads on the left.
        grammar_tokenizer: of the same tokens.
        context_tokens: longest prompt and answer together.
        repetition_penalty: used where a request names none.
        ends: ids of the tokens that end an answer.
        processor: makes the inputs of prompts with images, for a model that sees.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    grammar_tokenizer: LLTokenizer
    context_tokens: int
    repetition_penalty: float
    ends: frozenset[int]
    processor: Any = None

    @torch.inference_mode()
    def write(
        self,
        prompts: Sequence[str],
        options: Options,
        grammar: str = "",
        streamer: BaseStreamer | None = None,
        images: Sequence[Image] = (),
    ) -> list[Answer]:
        """Write one answer to each prompt; the draws of a batch come from one seed.

        Args:
            prompts: rendered conversations.
            options: of the request.
            grammar: of `schema_grammar`; empty for free text.
            streamer: gets the tokens of a single prompt as they come.
            images: those that the prompts have places for, in their order.

        Raises:
            ValueError: a prompt leaves no room in the context.
        """
        batch = self._batch(prompts, images)
        length = batch["input_ids"].shape[1]
        room = self.context_tokens - length
        if room < 1:
            raise ValueError(f"the prompt has {length} tokens, the context of the model {self.context_tokens}")
        stops = StopTexts(self.tokenizer, options.stop, length)
        masks = [SchemaProcessor(self.grammar_tokenizer, grammar, len(prompts), length)] if grammar else []
        with torch.random.fork_rng():
            torch.manual_seed(options.seed if options.seed is not None else secrets.randbits(32))
            generate: Any = self.model.generate
            out = generate(
                **{name: values for name, values in batch.items() if name != "token_type_ids"},
                generation_config=self._generation(options, min(room, options.max_tokens)),
                logits_processor=masks,
                stopping_criteria=[stops],
                streamer=streamer,
            )
        read = batch["attention_mask"].sum(dim=1).tolist()
        return [self._answer(out, row, length, (read[row], options, stops)) for row in range(len(prompts))]

    def _batch(self, prompts: Sequence[str], images: Sequence[Image]) -> BatchEncoding:
        # A chat template that writes the start token itself would otherwise get two of them.
        start = self.tokenizer.bos_token
        adds = not (start and all(p.startswith(start) for p in prompts))
        form: dict[str, Any] = {"padding": True, "padding_side": "left", "add_special_tokens": adds}
        if images:
            batch = self.processor(text=list(prompts), images=list(images), return_tensors="pt", **form)
        else:
            batch = self.tokenizer(list(prompts), return_tensors="pt", **form)
        return cast("BatchEncoding", batch.to(self.model.device))

    def _generation(self, options: Options, most: int) -> GenerationConfig:
        draws = options.temperature > 0
        penalty = options.repetition_penalty
        made: Any = GenerationConfig
        return cast(
            "GenerationConfig",
            made(
                max_new_tokens=most,
                do_sample=draws,
                temperature=options.temperature if draws else 1.0,
                top_p=options.top_p if draws else 1.0,
                top_k=0 if draws else 50,  # 50 is what generate takes for "not set" where nothing is drawn
                repetition_penalty=self.repetition_penalty if penalty is None else penalty,
                eos_token_id=sorted(self.ends),
                pad_token_id=self.tokenizer.pad_token_id,
                use_cache=True,
                return_dict_in_generate=True,
                output_logits=options.logprobs,
            ),
        )

    def _answer(self, out: Any, row: int, length: int, given: tuple[int, Options, StopTexts]) -> Answer:
        prompt_tokens, options, stops = given
        ids = out.sequences[row, length:].tolist()
        last = next((i for i, token in enumerate(ids) if token in self.ends), None)
        written = ids if last is None else ids[:last]
        text = str(self.tokenizer.decode(written, skip_special_tokens=True))
        cut = stops.first(text)
        generated = len(ids) if last is None else last + 1
        logprobs = None
        if options.logprobs:
            steps = torch.stack([step[row] for step in out.logits[: len(written) or 1]])
            logprobs = self._logprobs(steps, (written or ids)[: len(steps)], options.top_logprobs)
        finish: Literal["stop", "length"] = "length" if last is None and cut is None else "stop"
        return Answer(text if cut is None else text[:cut], finish, prompt_tokens, generated, logprobs)

    def _logprobs(self, steps: torch.Tensor, ids: Sequence[int], top: int) -> list[dict[str, Any]]:
        """Log probabilities over the whole vocabulary, before temperature, penalty and grammar."""
        log_p = steps.float().log_softmax(dim=-1)  # (tokens, vocabulary)
        best = log_p.topk(min(top, log_p.shape[-1]), dim=-1)
        content = []
        for step, token in enumerate(ids):
            entry = self._token(token, float(log_p[step, token]))
            pairs = zip(best.indices[step].tolist(), best.values[step].tolist(), strict=True)
            content.append({**entry, "top_logprobs": [self._token(t, p) for t, p in pairs]})
        return content

    def _token(self, token: int, logprob: float) -> dict[str, Any]:
        text = str(self.tokenizer.decode([token]))
        # A probability of 0 has no logarithm in JSON; -9999 is what OpenAI's interface says of unlikely tokens.
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(text.encode())}


def turn_ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of the tokens that end an answer: those that the model's configuration names, and those of chat templates."""
    found: set[int] = set()
    for named in (getattr(model.generation_config, "eos_token_id", None), tokenizer.eos_token_id):
        found.update(named if isinstance(named, list) else [] if named is None else [named])
    vocabulary = tokenizer.get_vocab()
    special = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    found.update(vocabulary[t] for t in TURN_ENDS if t in vocabulary and t in special)
    return frozenset(found)


class StopTexts(StoppingCriteria):
    """Ends a row whose answer holds one of the texts, and everything when the process is being stopped."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], prompt_tokens: int) -> None:
        """Look for `texts` behind the first `prompt_tokens` tokens."""
        self._tokenizer = tokenizer
        self._texts = [t for t in texts if t]
        self._prompt_tokens = prompt_tokens
        self._window = max([STOP_WINDOW, *(2 * len(t.encode()) for t in self._texts)])

    def first(self, text: str) -> int | None:
        """Where the first of the texts begins in `text`; None when it holds none."""
        places = [place for t in self._texts if (place := text.find(t)) >= 0]
        return min(places) if places else None

    def __call__(self, input_ids: torch.LongTensor, scores: Any, **_: Any) -> torch.BoolTensor:
        """Which rows are finished, (rows,)."""
        if stopping():
            raise KeyboardInterrupt
        done = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        if self._texts:
            for row, ids in enumerate(input_ids[:, self._prompt_tokens :][:, -self._window :].tolist()):
                done[row] = self.first(str(self._tokenizer.decode(ids, skip_special_tokens=True))) is not None
        return done  # type: ignore[return-value]
