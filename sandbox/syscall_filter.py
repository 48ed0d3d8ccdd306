"""Our own seccomp profile as a BPF program, for a backend that has no container engine to translate it."""

from __future__ import annotations

import json
import tempfile
from typing import Any

from labwright.errors import EngineMissing
from labwright.sandbox import settings

INSTALL = "apt-get install bubblewrap util-linux libseccomp2"
_EPERM = 1


def compiled() -> bytes:
    """The profile of seccomp.json for this machine's architecture, as the kernel takes it.

    A name that the installed libseccomp does not know yet stays out of the filter and is so denied.

    Raises:
        EngineMissing: libseccomp is absent, or refuses the profile.
    """
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:  # it raises RuntimeError when the library is absent
        raise EngineMissing(f"no seccomp filter can be made ({error}); {INSTALL}") from error
    profile = json.loads(settings.seccomp_profile())
    try:
        made = pyseccomp.SyscallFilter(pyseccomp.ERRNO(int(profile["defaultErrnoRet"])))
        for rule in profile["syscalls"]:
            _add(made, rule, pyseccomp)
        with tempfile.TemporaryFile() as file:
            made.export_bpf(file)
            file.seek(0)
            return file.read()
    except (OSError, KeyError) as error:
        raise EngineMissing(f"libseccomp refuses the sandbox's profile: {error}; {INSTALL}") from error


def _add(made: Any, rule: dict[str, Any], library: Any) -> None:
    allowed = rule["action"] == "SCMP_ACT_ALLOW"
    action = library.ALLOW if allowed else library.ERRNO(int(rule.get("errnoRet", _EPERM)))
    arguments = [
        library.Arg(a["index"], getattr(library, a["op"].removeprefix("SCMP_CMP_")), a["value"], a.get("valueTwo", 0))
        for a in rule.get("args", [])
    ]
    for name in rule["names"]:
        try:
            number = library.resolve_syscall(library.Arch.NATIVE, name)
        except OSError:
            continue
        if number >= 0:  # below zero: a call that this architecture does not have
            made.add_rule(action, number, *arguments)
