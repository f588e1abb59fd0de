"""Prints the lines of every source file, the largest folders first, and fails if a file has more than its room."""

import sys
from collections import defaultdict
from pathlib import Path

FOLDERS = ("src", "runtime", "tests", "recipes", "benchmarks", ".ci")
SUFFIXES = {".py", ".cc", ".h", ".cu"}
ROOM = 300


def main() -> int:
    lines = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for folder in FOLDERS
        for path in sorted(Path(folder).rglob("*"))
        if path.suffix in SUFFIXES
    }
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in lines:
        folders[path.parent].append(path)
    for folder, paths in sorted(folders.items(), key=lambda item: -sum(lines[path] for path in item[1])):
        print(f"{sum(lines[path] for path in paths):6} {folder}/")
        for path in sorted(paths, key=lambda path: -lines[path]):
            print(f"{lines[path]:12} {path.name}")
    print(f"{sum(lines.values()):6} in {len(lines)} files")
    long = [path for path, count in lines.items() if count > ROOM]
    for path in long:
        print(f"{path}: {lines[path]} lines, more than {ROOM}: split it", file=sys.stderr)
    return int(bool(long))


if __name__ == "__main__":
    sys.exit(main())
