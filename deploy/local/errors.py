"""The one error that `make run` shows to a person.

Whatever keeps the local stack from running and can be mended by the person in front of it (a busy
port, a missing tool, a folder that cannot be written) is raised as `LocalError`. Its text is one
line: what is wrong, then what to do about it. The command line prints that line and exits 1;
anything else that escapes is a bug and keeps its traceback.
"""


class LocalError(Exception):
    """Something about this machine that its user can mend; `str()` is one line for a terminal."""
