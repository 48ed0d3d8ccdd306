"""How much memory a process may still take here, and how much a model's weights need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from transformers import PretrainedConfig

GIB = 2**30
CGROUP = Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = CGROUP) -> int:
    """Bytes that can be taken without swapping: the machine's, or the container's where it is allowed less.

    Args:
        cgroup: folder of the process's control group (version 2).
    """
    available = int(psutil.virtual_memory().available)
    try:
        limit = (cgroup / "memory.max").read_text(encoding="ascii").strip()
        used = int((cgroup / "memory.current").read_text(encoding="ascii"))
        # The page cache counts as used though the kernel gives it back: a model just downloaded fills it.
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text(encoding="ascii").splitlines())
        used -= int(stat.get("inactive_file", 0))
    except (OSError, ValueError):
        return available
    return available if limit == "max" else max(0, min(available, int(limit) - used))


def parameter_count(config: PretrainedConfig) -> int:
    """Parameters of a language or vision-language model of this configuration, counted without memory for them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    with torch.device("meta"):
        loader: Any = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
        model = loader.from_config(config)
    return sum(p.numel() for p in model.parameters())


def parameters_of(source: str) -> int:
    """Parameters of a checkpoint, from its configuration alone.

    Args:
        source: a folder, a GGUF file, or a name of `labwright models list`.

    Raises:
        ModelMissing, HashMismatch: as for loading it.
    """
    from labwright.models.checkpoints import configuration_of

    return parameter_count(configuration_of(source))
