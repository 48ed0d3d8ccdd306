"""Attacks on the kernel's interfaces: name spaces, mounts, keys, sockets, system settings."""

import ctypes
import os
import socket
import stat
from functools import partial

from labwright.sandbox.attacks.inside_common import (
    LIBC,
    all_denied,
    call,
    given,
    name_of,
    report,
    tried,
    writable,
)

CLONE_NEWUSER = 0x10000000
NAMESPACES = {"user": 0x10000000, "mount": 0x00020000, "network": 0x40000000, "pid": 0x20000000, "ipc": 0x08000000}
MS_REMOUNT, MS_BIND = 32, 4096
SETTINGS = ("kernel/core_pattern", "kernel/panic", "kernel/hostname", "vm/drop_caches", "vm/overcommit_memory",
            "net/ipv4/ip_forward", "fs/binfmt_misc/register", "kernel/modprobe", "kernel/yama/ptrace_scope")  # fmt: skip


def _libc(name: str, *arguments: object) -> str:
    ctypes.set_errno(0)
    done = getattr(LIBC, name)(*arguments)
    return name_of(ctypes.get_errno()) if done == -1 else "ok"


def mount() -> None:
    """Mount a file system, bind a folder, and open a mount by the new calls."""
    all_denied({
        "tmpfs": _libc("mount", b"none", b"/tmp", b"tmpfs", 0, None),
        "proc": _libc("mount", b"proc", b"/tmp", b"proc", 0, None),
        "bind": _libc("mount", b"/", b"/tmp", None, MS_BIND, None),
        "fsopen": call("fsopen", b"tmpfs", 0),
        "open_tree": call("open_tree", -100, b"/", 1),
    })  # fmt: skip


def remount() -> None:
    """Make what is read-only writable, and take mounts away."""
    all_denied({
        "root": _libc("mount", None, b"/", None, MS_REMOUNT, None),
        "inputs": _libc("mount", None, b"/in", None, MS_REMOUNT | MS_BIND, None),
        "umount inputs": _libc("umount2", b"/in", 2),
        "umount proc": _libc("umount2", b"/proc/sys", 2),
    })  # fmt: skip


def unshare() -> None:
    """Enter new name spaces, where one would be root."""
    all_denied({name: call("unshare", flag) for name, flag in NAMESPACES.items()})


def clone_namespace() -> None:
    """Start a child in a new user name space by clone, past a filter on unshare."""
    numbers = {"x86_64": 56, "aarch64": 220}
    ctypes.set_errno(0)
    child = LIBC.syscall(numbers[os.uname().machine], CLONE_NEWUSER | 17, None, None, None, None)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    outcome = name_of(ctypes.get_errno()) if child == -1 else "ok"
    all_denied({"clone": outcome})


def setns() -> None:
    """Join the name spaces of process 1, which may be those of the host in a careless set-up."""
    found = {}
    for kind in ("mnt", "net", "pid", "user"):
        try:
            descriptor = os.open(f"/proc/1/ns/{kind}", os.O_RDONLY)
        except OSError as error:
            found[kind] = name_of(error.errno or 0)
            continue
        found[kind] = call("setns", descriptor, 0)
    all_denied(found)


def chroot() -> None:
    """Change the root and climb out of it."""
    found = {"chroot": tried(lambda: os.chroot("/tmp")), "pivot_root": call("pivot_root", b"/tmp", b"/tmp")}
    all_denied(found)


def ptrace() -> None:
    """Trace process 1, and ask to be traced."""
    all_denied({"traceme": call("ptrace", 0, 0, 0, 0), "seize": call("ptrace", 0x4206, 1, 0, 0)})


def process_memory() -> None:
    """Read the memory and the open files of process 1."""
    buffer = ctypes.create_string_buffer(64)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 64)
    all_denied({
        "process_vm_readv": call("process_vm_readv", 1, vector, 1, vector, 1, 0),
        "mem": tried(lambda: os.close(os.open("/proc/1/mem", os.O_RDONLY))),
        "pidfd_getfd": call("pidfd_getfd", 3, 0, 0),
        "root": tried(lambda: os.listdir("/proc/1/root/")),
        "fd": tried(lambda: os.listdir("/proc/1/fd")),
    })  # fmt: skip


def keyring() -> None:
    """Add a key to a kernel keyring and list one."""
    all_denied({
        "add_key": call("add_key", b"user", b"x", b"y", 1, -3),
        "keyctl": call("keyctl", 0, -3, 0, 0, 0),
    })  # fmt: skip


def ebpf() -> None:
    """Load a program into the kernel, and watch it."""
    all_denied({
        "bpf": call("bpf", 0, None, 0),
        "perf_event_open": call("perf_event_open", None, 0, -1, -1, 0),
        "userfaultfd": call("userfaultfd", 0),
    })  # fmt: skip


def io_uring() -> None:
    """Open the queue by which system calls pass a filter."""
    all_denied({"io_uring_setup": call("io_uring_setup", 1, None)})


def file_handles() -> None:
    """Open a file by its handle, past all paths."""
    all_denied({"open_by_handle_at": call("open_by_handle_at", -100, None, 0)})


def personality() -> None:
    """Turn address randomisation off."""
    all_denied({"personality": call("personality", 0x0040000)})


def modules() -> None:
    """Load a module, another kernel; reboot; swap; account."""
    all_denied({
        "init_module": call("init_module", None, 0, b""),
        "kexec_load": call("kexec_load", 0, 0, None, 0),
        "reboot": call("reboot", 0, 0, 0, None),
        "swapon": call("swapon", b"/out/none", 0),
        "quotactl": call("quotactl", 0, None, 0, None),
        "acct": call("acct", b"/out/none"),
    })  # fmt: skip


def clock() -> None:
    """Set the clock."""
    now = (ctypes.c_long * 2)(0, 0)
    all_denied({
        "clock_settime": call("clock_settime", 0, now),
        "settimeofday": call("settimeofday", now, None),
    })  # fmt: skip


def identity() -> None:
    """Become another user, and ask for capabilities."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    wanted = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
    all_denied({
        "setuid": tried(lambda: os.setuid(0)),
        "setgid": tried(lambda: os.setgid(0)),
        "setgroups": tried(lambda: os.setgroups([0])),
        "setresuid": tried(lambda: os.setresuid(0, 0, 0)),
        "capset": call("capset", header, wanted),
        "chown": tried(lambda: os.chown("/out", 0, 0)),
    })  # fmt: skip


def setuid_files() -> None:
    """Find a file that lends its owner's rights, and make one."""
    lent = []
    for folder, _, names in os.walk("/"):
        if folder.startswith(("/proc", "/sys")):
            continue
        for name in names:
            try:
                mode = os.lstat(os.path.join(folder, name)).st_mode
            except OSError:
                continue
            if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
                lent.append(name)
    ignored = all(os.statvfs(place).f_flag & os.ST_NOSUID for place in ("/out", "/tmp", "/dev/shm"))
    report(not lent and ignored, "no such file; nosuid on every writable place", f"{len(lent)} files")


def dropped_binary() -> None:
    """Write a program to every writable place and run it."""
    found = {}
    for place in ("/out", "/tmp", "/dev/shm"):
        path = f"{place}/program"
        with open("/proc/self/exe", "rb") as source, open(path, "wb") as target:
            target.write(source.read(1 << 20))
        os.chmod(path, 0o755)
        found[place] = tried(partial(os.execv, path, [path, "-c", ""]))
    all_denied(found)


def _socket(family: int, kind: int, protocol: int = 0) -> str:
    return tried(lambda: socket.socket(family, kind, protocol).close())


def raw_sockets() -> None:
    """Make sockets that see or forge packets."""
    all_denied({
        "raw": _socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "raw6": _socket(socket.AF_INET6, socket.SOCK_RAW, 58),
        "packet": _socket(17, socket.SOCK_RAW),
    })  # fmt: skip


def vsock() -> None:
    """Make a socket to the machine's host."""
    all_denied({"stream": _socket(40, socket.SOCK_STREAM), "datagram": _socket(40, socket.SOCK_DGRAM)})


def netlink() -> None:
    """Make sockets to the kernel's configuration."""
    all_denied({str(protocol): _socket(16, socket.SOCK_RAW, protocol) for protocol in (0, 9, 12, 15, 16)})


def rare_sockets() -> None:
    """Make sockets of families that kernels had holes in."""
    families = {"alg": 38, "can": 29, "tipc": 30, "bluetooth": 31, "rds": 21, "llc": 26, "kcm": 41, "xdp": 44}
    refusals = ("EAFNOSUPPORT", "ESOCKTNOSUPPORT", "EPROTONOSUPPORT")
    all_denied({name: _socket(family, socket.SOCK_DGRAM) for name, family in families.items()}, refusals)


def loopback_of_host() -> None:
    """Reach a service that listens on the host's loopback."""
    outcome = tried(lambda: socket.create_connection(("127.0.0.1", given()["port"]), timeout=2).close())
    report(outcome in ("ECONNREFUSED", "ENETUNREACH", "EPERM"), outcome)


def abstract_socket_of_host() -> None:
    """Reach a service of the host by a Unix socket without a path."""
    with socket.socket(socket.AF_UNIX) as link:
        outcome = tried(lambda: link.connect("\0" + given()["abstract"]))
    report(outcome in ("ECONNREFUSED", "EPERM"), outcome)


def network_routes() -> None:
    """Look for a way out: an interface beside the loopback, or a route."""
    with open("/proc/net/dev", encoding="ascii") as file:
        interfaces = [line.split(":")[0].strip() for line in file.readlines()[2:]]
    with open("/proc/net/route", encoding="ascii") as file:
        routes = len(file.readlines()) - 1
    report(
        interfaces == ["lo"] and routes == 0, "own network name space", f"{len(interfaces)} interface, {routes} routes"
    )


def system_settings() -> None:
    """Open system settings for writing."""
    all_denied({name: writable(f"/proc/sys/{name}") for name in SETTINGS})


def kernel_files() -> None:
    """Open the kernel's memory, log and triggers."""
    paths = ("/proc/kcore", "/proc/sysrq-trigger", "/proc/kmsg", "/proc/kallsyms", "/sys/kernel/uevent_helper",
             "/sys/power/state", "/sys/kernel/mm/ksm/run", "/sys/module/kernel/parameters/panic")  # fmt: skip
    found = {path: writable(path) for path in paths}
    found["read kcore"] = tried(lambda: open("/proc/kcore", "rb").read(4)[0])
    found["read kcore"] = "ENOENT" if found["read kcore"] == "IndexError" else found["read kcore"]
    all_denied(found)


def control_groups() -> None:
    """Open the files that hold the container's own limits for writing."""
    found = {}
    for folder, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name in ("memory.max", "pids.max", "cpu.max", "cgroup.procs", "release_agent", "notify_on_release",
                        "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "tasks"):  # fmt: skip
                found[f"{folder}/{name}"] = writable(f"{folder}/{name}")
    all_denied(found)


def devices() -> None:
    """Make device files, and find ones that should not be there."""
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue",
                "fd", "stdin", "stdout", "stderr", "core"}  # fmt: skip
    found = {f"mknod {place}": tried(partial(os.mknod, f"{place}/d", 0o600 | stat.S_IFBLK, os.makedev(8, 0)))
             for place in ("/out", "/tmp", "/dev/shm")}  # fmt: skip
    found |= {f"/dev/{name}": "ok" for name in os.listdir("/dev") if name not in harmless}
    all_denied(found)


def terminal() -> None:
    """Type into a terminal that is not ours."""
    import fcntl

    outcome = tried(lambda: fcntl.ioctl(0, 0x5412, b"x"))
    all_denied({"TIOCSTI": outcome}, ("ENOTTY", "EBADF", "EINVAL", "EIO"))
