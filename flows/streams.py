"""Standard input, output and error as they are handed to a process: closed, full, or of few letters."""

import io
import os
import sys

from flows.terminal import say


def secure_streams() -> None:
    """Make sure that no file of ours takes the number of a closed stream, and that every letter can be written."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def answer(text: str) -> bool:
    """Print `text` on standard output; False, and said on standard error, if it could not be written.

    A reader that has left, as of `zarrmill inspect ... | head -1`, is no failure.
    """
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as fault:
        # What is still in the buffer goes nowhere, instead of failing once more when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(fault, BrokenPipeError):
            return True
        say(f"zarrmill: the answer could not be written to standard output: {fault.strerror}")
        return False
    return True
