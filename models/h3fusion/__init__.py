"""Three aligned models fused into one mixture of experts (H3Fusion, arXiv 2411.17792).

Importing this package needs the extra `local` and registers the mixture with transformers: AutoConfig and
AutoModelForCausalLM load it from then on.
"""

from __future__ import annotations

from importlib.util import find_spec

from labwright.errors import SomethingMissing

if missing := [name for name in ("torch", "transformers", "peft") if find_spec(name) is None]:
    raise SomethingMissing(f"a fusion needs {', '.join(missing)}; install with: pip install 'labwright[local]'")

from labwright.models.h3fusion.modeling import PROPERTIES, H3FusionConfig, H3FusionForCausalLM

__all__ = ["PROPERTIES", "H3FusionConfig", "H3FusionForCausalLM"]
