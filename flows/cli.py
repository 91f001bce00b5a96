"""The command `zarrmill`.

What takes time to import is imported by the command that needs it: `zarrmill inspect` answers at once.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from extractors.errors import ZarrmillError
from flows import archive, commands, streams
from flows.every import parse_every

DONE, REFUSED, USAGE, INTERRUPTED = 0, 1, 2, 130

_EPILOG = """\
examples:
  zarrmill inspect mouse7.raw                      what is known of a recording, at once
  zarrmill convert mouse7.raw mouse7.zarr          one recording to one verified store
  zarrmill verify mouse7.zarr --source mouse7.raw  every pixel, against its digest and against the source
  zarrmill serve landing archive --every 5m        every new recording, on a schedule, with a dashboard
  zarrmill example demo                            a small made recording, through the Prefect flow

exit codes:
  0    done
  1    refused, failed or differing; the message says where, what was expected, what was found, and what to do
  2    the command line was not understood
  130  interrupted; the same command goes on where this one stopped
"""


class _Parser(argparse.ArgumentParser):
    """Raises where argparse would print and exit, so that `--json` holds for these errors too."""

    def error(self, message: str) -> NoReturn:
        raise commands.Usage(f"{message}\n{self.format_usage().rstrip()}")


def main() -> NoReturn:
    """Run the command that the process was started with, and exit with its code."""
    streams.secure_streams()
    sys.exit(run(sys.argv[1:]))


def run(words: Sequence[str]) -> int:
    """Run one command; gives its exit code."""
    as_json = "--json" in words
    # SIGTERM is what `kill`, service managers and containers send: it ends a run as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments = vars(build_parser().parse_args(words))
        answer: commands.Answer = arguments.pop("command")(**arguments)
    except commands.Usage as fault:
        return _fail(USAGE, {"code": "usage", "message": str(fault)}, str(fault), as_json=as_json)
    except ZarrmillError as fault:
        return _fail(REFUSED, fault.as_dict(), str(fault), as_json=as_json)
    except KeyboardInterrupt as fault:
        message = str(fault) or "interrupted"
        return _fail(INTERRUPTED, {"code": "interrupted", "message": message}, message, as_json=as_json)
    except Exception as fault:
        # A fault of ours: its traceback goes to standard error, and who reads standard output still gets an object.
        if as_json:
            streams.answer(json.dumps({"error": {"code": "internal", "message": repr(fault)}}))
        raise
    written = streams.answer(json.dumps(answer.data) if as_json else answer.text)
    return DONE if answer.good and written else REFUSED


def _fail(exit_code: int, fault: dict[str, Any], message: str, *, as_json: bool) -> int:
    if as_json:
        streams.answer(json.dumps({"error": fault}))
    else:
        print(f"zarrmill: {message}", file=sys.stderr)
    return exit_code


def build_parser() -> argparse.ArgumentParser:
    """Every command and option of the command line."""
    parser = _Parser(
        prog="zarrmill",
        description="Raw imaging recordings in, verified OME-Zarr stores out.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, dest=argparse.SUPPRESS, help="print the version and exit"
    )
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    inspect = _verb(
        verbs, "inspect", commands.inspect, "say what is known of a recording", "inspect mouse7.layout.toml"
    )
    _recording(inspect)

    convert = _verb(
        verbs,
        "convert",
        commands.convert,
        "write one recording to one verified store",
        "convert mouse7.raw /archive/mouse7.zarr --sampling-frequency 30",
        "PREFECT_API_URL=http://127.0.0.1:4200/api zarrmill convert mouse7.raw mouse7.zarr",
    )
    _recording(convert)
    convert.add_argument("target", metavar="TARGET", type=_path, help="the store; there must be nothing there yet")
    convert.add_argument(
        "--codec", metavar="NAME", help="blosc-lz4 (default), blosc-zstd, zstd or none; crc32c follows"
    )
    convert.add_argument("--chunk-bytes", metavar="N", type=int, help="uncompressed size of a chunk, at most (8 MiB)")
    convert.add_argument("--shard-bytes", metavar="N", type=int, help="uncompressed size of a shard, about (128 MiB)")
    convert.add_argument("--workers", metavar="N", type=int, help="threads (as many as there are cores)")

    verify = _verb(
        verbs,
        "verify",
        commands.verify,
        "read a store back, every pixel",
        "verify mouse7.zarr",
        "verify mouse7.zarr --source mouse7.raw",
    )
    verify.add_argument("target", metavar="TARGET", type=_path, help="the store")
    verify.add_argument("--source", metavar="PATH", type=_path, help="the recording; compared pixel by pixel")

    _add_archive_verbs(verbs)

    serve = _verb(
        verbs,
        "serve",
        commands.serve,
        "sweep a landing folder on a schedule, with a dashboard, until Ctrl-C",
        "serve /data/landing /data/archive --every 5m",
    )
    serve.add_argument("landing", metavar="LANDING", type=_path, help="recordings are dropped here; it is only read")
    serve.add_argument("archive", metavar="ARCHIVE", type=_path, help="stores are published here")
    serve.add_argument(
        "--every",
        metavar="TIME",
        type=_every,
        default="5m",
        help="from one sweep to the next: 30s, 5m (default), 2h, 1d",
    )
    serve.add_argument("--port", metavar="N", type=_port, default=4200, help="of the dashboard (4200)")
    serve.add_argument(
        "--state", metavar="DIR", type=_path, help="for the server's database and the logs (~/.local/share/zarrmill)"
    )

    example = _verb(
        verbs,
        "example",
        commands.example,
        "make a small recording, and convert it by the Prefect flow",
        "example demo",
    )
    example.add_argument("folder", metavar="DIR", type=_path, help="where the recording and its store will be")
    return parser


def _add_archive_verbs(verbs: Any) -> None:
    ingest = _verb(
        verbs,
        "ingest",
        archive.ingest,
        "sweep a landing folder once: every new and complete recording to the archive",
        "ingest /data/landing /data/archive",
        "ingest /data/landing /data/archive --minimum-age 0 --settle 1",
    )
    ingest.add_argument("landing", metavar="LANDING", type=_path, help="the recordings, at any depth; it is only read")
    ingest.add_argument("archive", metavar="ARCHIVE", type=_path, help="stores are published here")
    for name, help_text in (
        ("minimum-age", "a recording that changed more recently is waited for (60)"),
        ("settle", "two looks this far apart must find the same files (5)"),
        ("patience", "a recording with too few bytes is refused when nothing came for so long (3600)"),
    ):
        ingest.add_argument(
            f"--{name}", metavar="S", type=float, dest=f"{name.replace('-', '_')}_seconds", help=help_text
        )
    ingest.add_argument("--sentinel", metavar="NAME", help="a file that marks its folder, or with {name} a recording")

    status = _verb(
        verbs, "status", archive.status, "tell what is stored, refused and in progress", "status /data/archive"
    )
    status.add_argument("archive", metavar="ARCHIVE", type=_path, help="the folder of the stores")

    audit = _verb(
        verbs,
        "audit",
        archive.audit,
        "read stores back, those first that were not for the longest time",
        "audit /data/archive",
        "audit /data/archive --oldest 20",
    )
    audit.add_argument("archive", metavar="ARCHIVE", type=_path, help="the folder of the stores")
    audit.add_argument("--oldest", metavar="N", type=int, help="only so many stores (all)")

    repair = _verb(
        verbs,
        "repair",
        archive.repair,
        "write the damaged windows of a store again, from its recording",
        "repair /data/archive/mouse7.zarr",
    )
    repair.add_argument("target", metavar="TARGET", type=_path, help="the store")
    repair.add_argument("--source", metavar="PATH", type=_path, help="the recording, where it is not where it was")


def _verb(verbs: Any, name: str, command: Any, summary: str, *examples: str) -> argparse.ArgumentParser:
    shown = "\n".join(f"  {example if 'zarrmill' in example else f'zarrmill {example}'}" for example in examples)
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary.capitalize()}.",
        epilog=f"examples:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", dest="quiet", action="store_true", help="one JSON object on standard output, also for errors"
    )
    parser.set_defaults(command=command)
    return parser


def _recording(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", type=_path, help="a data file or layout file")
    parser.add_argument(
        "--sampling-frequency",
        metavar="HZ",
        dest="sampling_frequency_hz",
        type=float,
        help="samples per second, in place of the recording's own",
    )


def _path(word: str) -> Path:
    if not word:
        raise argparse.ArgumentTypeError("an empty path")
    return Path(word).absolute()


def _every(word: str) -> timedelta:
    try:
        return parse_every(word)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def _port(word: str) -> int:
    if not (word.isdecimal() and 0 < int(word) < 65536):  # noqa: PLR2004 - ports have 16 bits
        raise argparse.ArgumentTypeError(f"expected 1 to 65535; found {word!r}")
    return int(word)


class _Version(argparse.Action):
    def __call__(self, *_: object) -> NoReturn:
        from importlib.metadata import version

        print(f"zarrmill {version('zarrmill')}")
        sys.exit(DONE)
