"""The folder that a training leaves: adapter or weights, tokenizer, training.json and a model card."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labwright.models.training.card import model_card
from labwright.models.training.files import disk, flush, new_folder, write_json, write_text
from labwright.models.training.run import TrainingRun
from labwright.models.weights import manifest, models_dir
from labwright.packages import sha256_of

if TYPE_CHECKING:
    from labwright.models.checkpoints import Checkpoint

RECORD = "training.json"
CARD = "README.md"


def weights_sha256(model: nn.Module) -> str:
    """Hash of a model's parameters in the order of their names, with names, shapes and types."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}\n".encode())
        # numpy has no bfloat16: bytes are taken as they are.
        digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers, which would mix with ours."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def base_name(checkpoint: Checkpoint) -> str:
    """What an adapter names as its base: a name of `labwright models list`, else the path."""
    path = checkpoint.path.resolve()
    if path.parent.parent == models_dir().resolve() and path.parent.name in manifest():
        return path.parent.name
    return str(path)


def write_model(run: TrainingRun, checkpoint: Checkpoint, folder: Path, facts: dict[str, Any]) -> None:
    """Write the model and what is to be known about it; training.json comes last and says that all is there.

    Raises:
        DiskFull: it cannot be written.
    """
    (folder / RECORD).unlink(missing_ok=True)
    with quiet(), new_folder(folder / "model") as scratch:
        _save(run.model, checkpoint, scratch, merged=run.config.save == "merged")
        checkpoint.tokenizer.save_pretrained(scratch)
        for path in scratch.iterdir():
            flush(path)
    written = folder / "model"
    facts["files"] = {}
    with disk(folder):
        for path in sorted(written.iterdir()):
            facts["files"][path.name] = sha256_of(path)
            path.replace(folder / path.name)
        shutil.rmtree(written)
        flush(folder)
    facts["base"]["name"] = base_name(checkpoint)
    write_text(folder / CARD, model_card(facts, folder.name))
    write_json(folder / RECORD, facts)


def _save(model: Any, checkpoint: Checkpoint, folder: Path, *, merged: bool) -> None:
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        model.save_pretrained(str(folder))
        return
    if merged:
        model.merge_and_unload().save_pretrained(str(folder))
        return
    model.peft_config["default"].base_model_name_or_path = base_name(checkpoint)
    # The rows of the embeddings are those of the base: none was added, so none is saved.
    model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / CARD).unlink(missing_ok=True)  # peft's is empty; ours follows
