"""`zarrmill serve`: server, schedule and worker on one machine, in one command, without Docker.

The server's database and the logs are in a state folder. All of it can be lost: what is stored is known by the archive.
"""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from extractors.errors import Code, InputRefused, StorageFailed
from flows.children import Kept, python
from stores.lock import hold

HOST = "127.0.0.1"
SERVER_STARTS_SECONDS = 300.0
SERVER_ENDS_SECONDS = 20.0
WORKER_ENDS_SECONDS = 90.0
PORT_FREED_SECONDS = 10.0
LOOK_SECONDS = 0.5

Say = Callable[[str], None]


def default_state() -> Path:
    """Where the state folder is by default: with the user's data."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "zarrmill"


def environment(state: Path, port: int, landing: Path, archive: Path, every: timedelta) -> dict[str, str]:
    """Give the environment of server and worker: ours alone, whatever Prefect the user has set up."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return inherited | {
        "PREFECT_HOME": str(state / "prefect"),
        "PREFECT_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        # `--port` would not change the address that the dashboard calls.
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # In memory, a restart of the server would end the runs of limited deployments.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        # One by one, the server falls behind a sweep.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "ZARRMILL_LANDING": str(landing),
        "ZARRMILL_ARCHIVE": str(archive),
        "ZARRMILL_EVERY": f"{every.total_seconds():.0f}s",
    }


def serve(landing: Path, archive: Path, every: timedelta, *, port: int, state: Path, say: Say) -> None:
    """Sweep `landing` into `archive` at once and then on schedule, until KeyboardInterrupt.

    Parameters
    ----------
    landing, archive
        Folders; the archive is made if it is not there.
    every
        Time from one sweep to the next.
    port
        Of the dashboard, on this machine only.
    state
        Folder for the server's database and the logs; one `serve` at a time.
    say
        Told each line that is for the user.

    Raises
    ------
    InputRefused
        There is no landing folder, or the port is taken.
    TargetRefused
        Another `serve` uses the state folder.
    StorageFailed
        The server does not start, or does not take the deployments.
    """
    if not landing.is_dir():
        raise InputRefused(
            Code.SOURCE_MISSING,
            path=landing,
            expected="a folder that recordings are dropped into",
            found="no folder",
            todo="Make it, or mount it.",
        )
    archive.mkdir(parents=True, exist_ok=True)
    state.mkdir(parents=True, exist_ok=True)
    # A terminal that is closed ends it as Ctrl-C does, but for `nohup`.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    with hold(state / "lock", state), suppress(KeyboardInterrupt), ExitStack() as children:
        _run(children, environment(state, port, landing, archive, every), port, state, say)


def _run(children: ExitStack, variables: Mapping[str, str], port: int, state: Path, say: Say) -> NoReturn:
    _await_port(port)
    say("starting the Prefect server: about 15 s the first time ...")
    kept = [Kept(python("flows.server"), variables, state / "server.log", SERVER_ENDS_SECONDS)]
    children.enter_context(kept[0])
    _await_server(kept[0], port)
    _deploy(variables, state / "deploy.log")
    work = python("flows.process_worker", "--pool", "zarrmill")
    kept.append(children.enter_context(Kept(work, variables, state / "worker.log", WORKER_ENDS_SECONDS)))
    say(f"dashboard  http://{HOST}:{port}")
    say(f"landing    {variables['ZARRMILL_LANDING']}, looked through now and every {variables['ZARRMILL_EVERY']}")
    say(f"archive    {variables['ZARRMILL_ARCHIVE']}")
    say(f"logs       {state}")
    say("Ctrl-C ends it.")
    try:
        while True:
            time.sleep(LOOK_SECONDS)
            for child in kept:
                child.keep(say)
    finally:
        say("ending: runs stop after the window they are at ...")


def _await_port(port: int) -> None:
    """Wait until the port is free: the server of a `serve` that was killed takes a moment to end."""
    deadline = time.monotonic() + PORT_FREED_SECONDS
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as fault:
                if time.monotonic() > deadline:
                    raise InputRefused(
                        Code.PORT_TAKEN,
                        path=None,
                        expected=f"port {port} of {HOST} to be free",
                        found=str(fault.strerror).lower(),
                        todo="Choose another by --port.",
                    ) from None
            else:
                return
        time.sleep(LOOK_SECONDS)


def _await_server(server: Kept, port: int) -> None:
    deadline = time.monotonic() + SERVER_STARTS_SECONDS
    while time.monotonic() < deadline and server.is_there():
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/api/health", timeout=LOOK_SECONDS):
                return
        except OSError:
            time.sleep(LOOK_SECONDS)
    raise _failed(server.log, "the Prefect server to start")


def _deploy(variables: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as output:
        command = python("flows.deploy", "--alone")
        done = subprocess.run(command, env=variables, stdout=output, stderr=output, check=False)  # noqa: S603 - our own
        if done.returncode:
            raise _failed(log, "the Prefect server to take the deployments")


def _failed(log: Path, expected: str) -> StorageFailed:
    return StorageFailed(
        Code.SERVER_FAILED,
        path=log,
        expected=expected,
        found="an error",
        todo="This log says why. The folder it is in can be moved away, to begin afresh: stores are not in it.",
    )
