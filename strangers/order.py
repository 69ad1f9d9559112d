"""Whether a pulled plug could do harm: reads what strace saw a program do, and says where it built on what
was not on the disk yet.

    strace -f -y -o LOG -e trace=openat,fsync,fdatasync,rename,symlink,mkdir,sendto,sendmsg,writev AGENT ..
    order.py LOG STATE

A file has to be synced before it gets its name, a directory before it gets its own, and a name before
anything is said to the server that counts on it.
"""

import os
import re
import sys


def main(log, state):
    state = os.path.realpath(state)
    files, names, said, renames = set(), set(), 0, 0
    for line in open(log, encoding="utf-8", errors="replace"):
        if " = -1 " in line:
            continue
        line = re.sub(r"^\d+\s+", "", line)
        call = line.split("(", 1)[0]
        quoted = [os.path.join(os.getcwd(), path) for path in re.findall(r'"([^"]*)"', line)]
        opened = re.search(r"= \d+<([^>]*)>", line)
        held = re.search(r"\(\d+<([^>]*)>", line)
        if call == "openat" and "O_CREAT" in line and opened and opened[1].startswith(state):
            if not opened[1].endswith("/lock"):
                files.add(opened[1])
                names.add(os.path.dirname(opened[1]))
        elif call in ("fsync", "fdatasync") and held:
            files.discard(held[1])
            names.discard(held[1])
        elif call == "mkdir" and quoted[0].startswith(state):
            names.add(os.path.dirname(quoted[0]))
        elif call == "rename":
            old, new = (os.path.normpath(path) for path in quoted[:2])
            loose = [path for path in files if path == old or path.startswith(old + "/")]
            assert not loose, f"{new} got its name before {loose} was synced"
            assert old not in names, f"{new} got its name before what is in it was synced"
            names.add(os.path.dirname(new))
            renames += 1
        elif call in ("sendto", "sendmsg", "writev") and held and "socket" in held[1]:
            assert not names, f"something was said while {names} was not synced"
            said += 1
    assert not names and not files, f"never synced: {names | files}"
    assert said > 3 and renames > 5, f"{said} messages, {renames} renames: not what was expected"
    print(f"{renames} renames, each synced before the next of {said} messages")


main(*sys.argv[1:])
