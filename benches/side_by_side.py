#!/usr/bin/env python3
"""Runs commands side by side and compares them with the first one.

    side_by_side.py TITLE ROUNDS NAME=COMMAND NAME=COMMAND [--before COMMAND]

Each command is a line for bash. In each round every command runs once, in turn, so that whatever else the
machine is doing meets all of them. Prints a table in Markdown: medians of the wall-clock time, of the
processor time and of the peak memory of the largest process, and the median over the rounds of what the command took,
divided by what the first one took in the same round.
"""

import os
import statistics
import subprocess
import sys
import time


def run(command):
    """Wall-clock seconds, processor seconds, and the peak of resident MiB of the largest process."""
    started = time.monotonic()
    process = subprocess.Popen(["bash", "-c", command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    if status != 0:
        sys.exit(f"failed: {command}\n{said.decode(errors='replace')}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    arguments = sys.argv[1:]
    before = None
    if "--before" in arguments:
        at = arguments.index("--before")
        before = arguments[at + 1]
        del arguments[at : at + 2]
    title, rounds = arguments[0], int(arguments[1])
    commands = [argument.split("=", 1) for argument in arguments[2:]]
    measured = {name: [] for name, _ in commands}
    for _ in range(rounds):
        for name, command in commands:
            if before:
                subprocess.run(["bash", "-c", before], check=True, stdout=subprocess.DEVNULL)
            measured[name].append(run(command))
    first = measured[commands[0][0]]
    print(f"\n| {title} | seconds | × the first | CPU s | MiB |\n|---|---|---|---|---|")
    for name, _ in commands:
        wall, cpu, memory = (statistics.median(column) for column in zip(*measured[name]))
        ratio = statistics.median(one[0] / other[0] for one, other in zip(measured[name], first))
        print(f"| {name} | {wall:.3g} | {ratio:.2f} | {cpu:.2g} | {memory:.0f} |")


main()
