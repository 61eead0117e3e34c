"""Whether a tor that runs as another user can come to the sockets behind our onions."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

from chattor_bridge.errors import TorUnusable

ROOT = 0


def check_entrance(directory: Path, visitor: int, owner: int) -> None:
    """``visitor`` is the user id that tor runs as, ``owner`` ours. Nothing is said of a user this machine does not
    know: tor is in a container then, and only a dial will tell.

    Raises: TorUnusable.
    """
    if visitor in (ROOT, owner):
        return
    try:
        account = pwd.getpwuid(visitor)
    except KeyError:
        return
    groups = set(os.getgrouplist(account.pw_name, account.pw_gid))
    found = directory.stat()
    if not (found.st_mode & stat.S_ISGID and found.st_gid in groups and found.st_mode & stat.S_IXGRP):
        group = grp.getgrgid(account.pw_gid).gr_name
        raise TorUnusable(
            f"tor runs as {account.pw_name} and cannot come to the onions' sockets in {directory}: stop this, remove "
            f"that directory, and make it with install -d -m 2750 -o {pwd.getpwuid(owner).pw_name} -g {group} "
            f"{directory}"
        )
    for above in directory.resolve().parents:
        if not _may_pass(above.stat(), visitor, groups):
            raise TorUnusable(
                f"tor runs as {account.pw_name} and cannot pass through {above} to the onions' sockets: choose another "
                "tor.socket_directory"
            )


def _may_pass(found: os.stat_result, visitor: int, groups: set[int]) -> bool:
    if found.st_uid == visitor:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid in groups else stat.S_IXOTH))
