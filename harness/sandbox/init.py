"""PID 1 of a box: opens the endpoints, drops privileges, starts the one command, and reports how it ended.

It runs inside, and needs only the standard library: `python -I -S -E init.py SOCKET [FILTER]`. SOCKET is the descriptor
of a SOCK_SEQPACKET socket to the harness, or the path of one to connect to. FILTER is the file of the filter of system
calls, if nothing else has put that on. Each packet is a list of texts, separated by NUL. The first one says what the
packet is.

1. Init sends `up`: the box's file system is complete.
2. The harness sends `setup`, the uid (or nothing), the ports, and the limits: `RLIMIT_NPROC=512 …`. The answer is
   `ready`, with the listening sockets in the order of the ports.
3. The harness sends `run`, the directory, the number of arguments, the arguments, and the variables: `HOME=…`. Standard
   input, output and error come with it as descriptors. The answer is `started`, or `error` and the reason.
4. The harness may send `terminate`, which has no answer.
5. When the command ends, init sends `exited` and the code. The code is negative for a signal.

End of file means that the harness has ended. Init then exits, and the kernel kills everything in the box.

A box opens as fast as init starts. Therefore init imports none of the modules that load `collections` or `enum`, such
as `socket`, `subprocess` and `json`: they take twice as long as the interpreter itself.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the core of `signal`, not in typeshed
import _socket
import ctypes
import os
import resource
import select
import sys

LARGEST_REQUEST = 1 << 20
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP = 1, 4, 22, 24
SECCOMP_MODE_FILTER = 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
WRITABLE = ("/sandbox/workspace", "/sandbox/home", "/tmp", "/dev/shm")  # noqa: S108 - mount points of the box
LIBC = ctypes.CDLL(None, use_errno=True)
_INT = 4
"""The size of a descriptor in a packet, in bytes."""


class Init:
    """The control socket to the harness, the Landlock ruleset for the command, and its pid while it runs."""

    def __init__(self, control: _socket.socket, ruleset: int | None) -> None:
        self.control = control
        self.ruleset = ruleset
        self.command: int | None = None

    def send(self, *texts: str, descriptors: tuple[int, ...] = ()) -> None:
        """Send one packet, and descriptors with it."""
        numbers = b"".join(descriptor.to_bytes(_INT, sys.byteorder) for descriptor in descriptors)
        rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)
        self.control.sendmsg([os.fsencode("\0".join(texts))], [rights] if descriptors else [])

    def serve(self, woken: int) -> None:
        """Answer requests and collect ended processes until the harness hangs up."""
        while True:
            readable, _, _ = select.select([self.control.fileno(), woken], [], [])
            if woken in readable:
                os.read(woken, 4096)
                self.reap()
            if self.control.fileno() in readable:
                texts, descriptors = receive(self.control)
                if texts == [""]:
                    return
                self.answer(texts, descriptors)

    def answer(self, texts: list[str], descriptors: list[int]) -> None:
        """Do what a request asks for."""
        if texts[0] == "run":
            directory, count, *words = texts[1:]
            arguments, variables = words[: int(count)], words[int(count) :]
            self.start(directory, arguments, dict(variable.split("=", 1) for variable in variables), descriptors)
        elif self.command is not None:
            os.kill(self.command, _signal.SIGTERM)

    def start(self, directory: str, arguments: list[str], variables: dict[str, str], standard: list[int]) -> None:
        """Start the command, and answer that it started or why it did not."""
        told, telling = os.pipe()  # closed by the exec, so that nothing to read means that it succeeded
        self.command = os.fork()
        if self.command == 0:
            become(directory, arguments, variables, standard, telling, self.ruleset)
        for descriptor in (telling, *standard):
            os.close(descriptor)
        with os.fdopen(told, encoding="utf-8", errors="surrogateescape") as reasons:
            reason = reasons.read()
        if reason:
            os.waitpid(self.command, 0)
            self.command = None
            self.send("error", reason)
        else:
            self.send("started")

    def reap(self) -> None:
        """Collect every ended child: the command, and orphans that became children of PID 1."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.command:
                self.send("exited", str(os.waitstatus_to_exitcode(status)))
                self.command = None


def become(
    directory: str,
    arguments: list[str],
    variables: dict[str, str],
    standard: list[int],
    telling: int,
    ruleset: int | None,
) -> None:
    """Turn this process into the command. If that fails, write the reason to the descriptor `telling` and exit."""
    try:
        os.setsid()
        if ruleset is not None:
            call(LANDLOCK_RESTRICT_SELF, ruleset, 0)
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):  # Python's own choice, which a command would inherit
            _signal.signal(ignored, _signal.SIG_DFL)
        os.chdir(directory)
        os.execvpe(arguments[0], arguments, variables)  # noqa: S606 - the command is what the harness asked for
    except OSError as error:
        os.write(telling, os.fsencode(str(error)))
    finally:
        os._exit(127)


def receive(control: _socket.socket) -> tuple[list[str], list[int]]:
    """Return the texts and the descriptors of the next packet. The texts are `[""]` at the end of file."""
    packet, rights, _, _ = control.recvmsg(LARGEST_REQUEST, _socket.CMSG_SPACE(3 * _INT), _socket.MSG_CMSG_CLOEXEC)
    numbers = b"".join(data for _, _, data in rights)
    parts = (numbers[start : start + _INT] for start in range(0, len(numbers), _INT))
    return os.fsdecode(packet).split("\0"), [int.from_bytes(part, sys.byteorder) for part in parts]


def drop_privileges(uid: int | None) -> None:
    """Become `uid`, unless that is `None`, without any capability. Then set init to die with bwrap, and hide it.

    Otherwise processes of its uid could read init's memory and descriptors. A change of uid resets both settings, so it
    comes first.
    """
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    version = 0x20080522
    if LIBC.capset(version.to_bytes(4, sys.byteorder) + bytes(4), bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    for option, value in ((PR_SET_PDEATHSIG, _signal.SIGKILL), (PR_SET_DUMPABLE, 0)):
        if LIBC.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def drop_bounding_set() -> None:
    """Take every capability out of the bounding set, so that no program can ever gain one. Only root has any in it."""
    capability = 0
    while LIBC.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) == 0:
        capability += 1


def call(number: int, *arguments: int | bytes | None) -> int:
    """Make a system call without a function in libc, and return its result. Raise `OSError`."""
    result = LIBC.syscall(number, *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(result)


def ruleset() -> int | None:
    """Return a Landlock ruleset for the command, or `None` if the kernel lacks Landlock (before 5.19, or off).

    With it, the command and its children may write only to `WRITABLE` and to the devices in /dev. They may not write to
    /proc, for example to each other's memory. They may not signal or trace init, which is outside the ruleset.
    """
    try:
        version = call(LANDLOCK_CREATE_RULESET, None, 0, 1)
    except OSError:
        return None
    if version < 2:  # the first version forbids moving a file to another folder
        return None
    write_file, refer, truncate = 1 << 1, 1 << 13, 1 << 14
    make_nodes = 1 << 6 | 1 << 11  # character and block devices, which nothing in a box may make
    make_and_remove = sum(1 << bit for bit in range(4, 13)) & ~make_nodes
    change = write_file | make_and_remove | refer | (truncate if version >= 3 else 0)
    scoped = 3 if version >= 6 else 0  # abstract unix sockets and signals
    wanted = (change | make_nodes, 0, scoped)
    found = call(LANDLOCK_CREATE_RULESET, b"".join(part.to_bytes(8, sys.byteorder) for part in wanted), 24, 0)
    for path, rights in (*((path, change) for path in WRITABLE), ("/dev", change & (write_file | truncate))):
        folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        rule = rights.to_bytes(8, sys.byteorder) + folder.to_bytes(_INT, sys.byteorder)
        call(LANDLOCK_ADD_RULE, found, 1, rule, 0)
        os.close(folder)
    return found


def set_limits(limits: list[str]) -> None:
    """Set soft and hard limits, written as `RLIMIT_…=NUMBER`, but never above the hard limit that holds now."""
    for limit in limits:
        name, _, number = limit.partition("=")
        kind, wanted = getattr(resource, name), int(number)
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def listen(port: int) -> _socket.socket:
    """Return a socket that listens on a port of the box's loopback interface."""
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    return listener


def connected(place: str) -> _socket.socket:
    """Return the control socket: that of an inherited descriptor, or one that is connected to a path."""
    if place.isdecimal():
        os.set_inheritable(int(place), False)
        return _socket.socket(fileno=int(place))
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    control.connect(place)
    return control


def put_on_filter(path: str) -> None:
    """Put a filter of system calls on this process and all that come from it, for good. Raise `OSError`."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib takes too long to import
        program = ctypes.create_string_buffer(file.read())
    length = (ctypes.sizeof(program) - 1) // 8
    address = ctypes.addressof(program).to_bytes(8, sys.byteorder)
    described = length.to_bytes(2, sys.byteorder) + bytes(6) + address  # a `struct sock_fprog`
    if LIBC.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), described) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


def main() -> None:
    """Set the box up and serve."""
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    _signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # the kernel gives PID 1 no signal from inside without a handler
    os.umask(0o022)
    control = connected(sys.argv[1])
    for path in sys.argv[2:]:
        put_on_filter(path)
    control.send(b"up")
    (_, uid, ports, limits), _ = receive(control)
    listeners = [listen(int(port)) for port in ports.split()]
    drop_bounding_set()
    drop_privileges(int(uid) if uid else None)
    set_limits(limits.split())
    init = Init(control, ruleset())
    init.send("ready", descriptors=tuple(listener.fileno() for listener in listeners))
    for listener in listeners:
        listener.close()
    init.serve(woken)


if __name__ == "__main__":
    main()
