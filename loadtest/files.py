"""Open files: a load of many connections needs more of them than a shell usually allows."""

import resource


def allow_files(count: int) -> None:
    """Raise the soft limit of this process, which children inherit, to `count`. Raises OSError, in one line."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise OSError(f"{count} open files are needed, and the limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
