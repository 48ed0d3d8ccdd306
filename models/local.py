"""The local backend: a transformers checkpoint in this process, behind the interface of all chat models.

It takes the options of the OpenAI-compatible backends (`max_tokens`, `seed`, `logprobs`, `response_format` and
so on) and answers in their form, so that nobody who asks knows which one it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from labwright.models.chat_templates import rendered
from labwright.models.options import Options, read_options

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

    from labwright.models.checkpoints import Checkpoint
    from labwright.models.decoding import Answer, Decoder

ROLES = {"system": "system", "human": "user", "ai": "assistant"}


class LocalChat(BaseChatModel):
    """A loaded checkpoint that answers; one request at a time, for the weights are one."""

    model_name: str
    """Name of the checkpoint, for records."""
    _decoder: Any = PrivateAttr()
    _grammars: dict[str, str] = PrivateAttr(default_factory=dict)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "local"

    @property
    def decoder(self) -> Decoder:
        """What writes the answers."""
        return cast("Decoder", self._decoder)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self._answers([messages], self._options(kwargs, stop))[0]
        return ChatResult(generations=[ChatGeneration(message=self._message(answer))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        from labwright.models.streaming import stream_answer

        options = self._options(kwargs, stop)
        with self._lock:
            prompt = self._prompt(messages)
            for piece in stream_answer(self.decoder, prompt, options, self._grammar(options)):
                if isinstance(piece, str):
                    chunk = ChatGenerationChunk(message=AIMessageChunk(content=piece))
                    if run_manager is not None:
                        run_manager.on_llm_new_token(piece, chunk=chunk)
                else:
                    whole = self._message(piece)
                    last = AIMessageChunk(content="", usage_metadata=whole.usage_metadata, chunk_position="last")
                    last.response_metadata = whole.response_metadata
                    chunk = ChatGenerationChunk(message=last)
                yield chunk

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer several conversations in one padded forward batch; callbacks of `config` are not called.

        Args:
            inputs: conversations, as `invoke` takes them.
            config: unused; there for the interface.
            return_exceptions: a failure is one of the batch, so it is raised in any case.
            kwargs: options of the request, the same for all.

        Raises:
            ValueError: wrong options, or a conversation that does not fit the context.
        """
        if not inputs:
            return []
        conversations = [self._convert_input(one).to_messages() for one in inputs]
        return [self._message(a) for a in self._answers(conversations, self._options(kwargs, None))]

    def _options(self, kwargs: dict[str, Any], stop: list[str] | None) -> Options:
        return read_options({**kwargs, "stop": stop} if stop is not None else kwargs)

    def _answers(self, conversations: Sequence[list[BaseMessage]], options: Options) -> list[Answer]:
        with self._lock:
            prompts = [self._prompt(messages) for messages in conversations]
            return self.decoder.write(prompts, options, self._grammar(options))

    def _prompt(self, messages: Sequence[BaseMessage]) -> str:
        unknown = sorted({m.type for m in messages} - set(ROLES))
        if unknown:
            raise ValueError(f"a local model takes no messages of the kinds {', '.join(unknown)}")
        said = [{"role": ROLES[m.type], "content": str(m.text)} for m in messages]
        return rendered(self.decoder.tokenizer, said)

    def _grammar(self, options: Options) -> str:
        schema = options.schema_of_answer
        if schema is None:
            return ""
        from labwright.models.grammar import schema_grammar

        key = repr(schema)
        if key not in self._grammars:
            self._grammars[key] = schema_grammar(schema, self.decoder.grammar_tokenizer)
        return self._grammars[key]

    def _message(self, answer: Answer) -> AIMessage:
        metadata: dict[str, Any] = {"finish_reason": answer.finish, "model_name": self.model_name}
        if answer.logprobs is not None:
            metadata["logprobs"] = {"content": answer.logprobs}
        usage = UsageMetadata(
            input_tokens=answer.prompt_tokens,
            output_tokens=answer.generated_tokens,
            total_tokens=answer.prompt_tokens + answer.generated_tokens,
        )
        return AIMessage(answer.text, response_metadata=metadata, usage_metadata=usage)


def local_chat(checkpoint: Checkpoint, *, context_tokens: int = 8192, repetition_penalty: float = 1.0) -> LocalChat:
    """A chat model over a loaded checkpoint; on the graphics card where there is one.

    Args:
        checkpoint: of `load_checkpoint`.
        context_tokens: longest prompt and answer together; the model's own limit where that is lower.
        repetition_penalty: used where a request names none; 1 is none.
    """
    import torch

    from labwright.models.decoding import Decoder, turn_ends
    from labwright.models.grammar import grammar_tokenizer

    model = checkpoint.model.to("cuda") if torch.cuda.is_available() else checkpoint.model  # type: ignore[arg-type]
    text_config = model.config.get_text_config()
    longest = int(getattr(text_config, "max_position_embeddings", context_tokens))
    chat = LocalChat(model_name=str(checkpoint.facts["model"]))
    chat._decoder = Decoder(
        model=model,
        tokenizer=checkpoint.tokenizer,
        grammar_tokenizer=grammar_tokenizer(checkpoint.tokenizer, int(text_config.vocab_size)),
        context_tokens=min(context_tokens, longest),
        repetition_penalty=repetition_penalty,
        ends=turn_ends(model, checkpoint.tokenizer),
    )
    return chat
