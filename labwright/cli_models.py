"""Commands on models: fetching them, talking to them, serving and exporting them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labwright.cli_screen import Screen, emit, printable, table

if TYPE_CHECKING:
    from labwright.workflows.backends import Backend

models_app = typer.Typer(no_args_is_help=True, help="Language models on this machine.")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Source = Annotated[
    str, typer.Argument(help="A backend of labwright.toml, a checkpoint or adapter folder, a GGUF file or a name.")
]
Adapter = Annotated[str, typer.Option(help="Folder of a LoRA adapter over it.")]


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """List the models that labwright knows by name."""
    from labwright.models.weights import is_present, manifest

    rows = [
        (n, e.use, f"{sum(f.size for f in e.files) / 1e6:.0f}", "yes" if is_present(n) else "no", e.licence)
        for n, e in manifest().items()
    ]
    if as_json:
        emit([dict(zip(("name", "use", "mb", "here", "licence"), row, strict=True)) for row in rows])
    else:
        table(("model", "use", "MB", "here", "licence"), rows)


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str], typer.Argument(help="Names of `labwright models list`.")],
) -> None:
    """Fetch models; each file is checked against its pinned sha256."""
    from labwright.errors import WrongUse
    from labwright.models.weights import manifest, pull

    unknown = sorted(set(names) - set(manifest()))
    if unknown:
        raise WrongUse(f"unknown models: {', '.join(unknown)}; see `labwright models list`")
    with Screen() as screen:
        for name in names:
            screen.say(f"{name}: {pull(name, progress=screen.download)}")


@models_app.command("chat")
def models_chat(
    model: Source = "",
    message: Annotated[str, typer.Option("--message", "-m", help="Say one thing and print the reply.")] = "",
    adapter: Adapter = "",
) -> None:
    """Talk to a model; each line of standard input is one message."""
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

    from labwright.models.reply import send

    backend = _open(model, adapter)
    history: list[BaseMessage] = []
    try:
        for line in [message] if message else sys.stdin:
            history.append(HumanMessage(line.strip()))
            with backend.lease():
                reply = send(backend.chat, backend.name, history, {"max_tokens": 512, "temperature": 0.7})
            history.append(AIMessage(str(reply.text)))
            typer.echo("\n".join(map(printable, str(reply.text).split("\n"))))
    finally:
        backend.close()


@models_app.command("export")
def models_export(
    folder: Annotated[str, typer.Argument(help="A checkpoint or adapter folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.gguf", help="The file to write.")],
    dtype: Annotated[str, typer.Option(help="Type of the matrices: f32, f16 or q8_0.")] = "f16",
    adapter: Adapter = "",
    as_json: Json = False,
) -> None:
    """Write a checkpoint as a GGUF file, which `kind = "embedded"` runs several times faster."""
    from labwright.models.checkpoints import load_checkpoint
    from labwright.models.extras import require
    from labwright.models.weights import fingerprint

    require("local", "labwright models export")
    from labwright.models.gguf_export import export_gguf, read_dtype

    wanted = read_dtype(dtype)
    checkpoint = load_checkpoint(folder, adapter=adapter)
    export_gguf(checkpoint, out, wanted)
    if as_json:
        emit({"file": str(out.resolve()), "sha256": fingerprint(out), "dtype": wanted, "source": checkpoint.facts})
    else:
        typer.echo(f'{out}: {out.stat().st_size / 1e6:.0f} MB; use it as kind = "embedded", model = "{out}"')


@models_app.command("serve")
def models_serve(
    name: Source = "",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 8080,
    key_env: Annotated[str, typer.Option(help="Variable that holds the key; without one a random key is made.")] = "",
    adapter: Adapter = "",
    config: Annotated[Path | None, typer.Option(help="labwright.toml to use.")] = None,
) -> None:
    """Serve a model to programs on this machine, as OpenAI's interface: /v1/chat/completions and /v1/models."""
    import secrets

    from labwright.models.extras import require

    require("serve", "labwright models serve")
    from labwright.models.serving import key_of, listen

    given = key_of(key_env) if key_env else ""
    backend = _open(name, adapter, config)
    key = given or secrets.token_urlsafe(24)

    def ready(bound: int) -> None:
        typer.echo(f"{backend.facts['model']} at http://127.0.0.1:{bound}/v1", err=True)
        typer.echo("key: that of " + key_env if given else f"key, shown this once: {key}", err=True)

    try:
        listen(backend.chat, str(backend.facts["model"]), (port, key), lease=backend.lease, ready=ready)
    finally:
        backend.close()


def _open(name: str, adapter: str, config: Path | None = None) -> Backend:
    """The backend of that name; else the model of that place: folders in this process, GGUF files by llama.cpp."""
    from labwright.config import DEFAULT_MODEL, BackendConfig, load_config
    from labwright.errors import WrongUse
    from labwright.workflows.backends import OpenBackends, open_backend

    loaded = load_config(config)
    with Screen() as screen:
        if name in loaded.backends:
            if adapter:
                raise WrongUse(f"--adapter: [backends.{name}] says which adapter it has")
            return OpenBackends(loaded, screen.download).alone(name)
        if adapter and not name:
            raise WrongUse("--adapter needs the base that it is over")
        local = bool(adapter) or (bool(name) and Path(name).expanduser().is_dir())
        table = BackendConfig(kind="local" if local else "embedded", model=name or DEFAULT_MODEL, adapter=adapter)
        return open_backend(name or DEFAULT_MODEL, table, screen.download)
