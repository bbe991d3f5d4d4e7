#!/usr/bin/env python3
"""No file over 700 lines, no function over 80. Usage: sizes.py SOURCE

Functions are found by their braces: with clang-format's Google style a definition's body opens at the end of a line and
closes with "}" in the column where the definition began.
"""
import pathlib
import re
import sys

FILE_LIMIT, FUNCTION_LIMIT = 700, 80
NOT_FUNCTION = re.compile(r"^\s*(namespace|class|struct|union|enum|extern|switch|if|for|while|do|else|try|=)\b|=\s*\{$|^\s*(constexpr|const|static const)[^()]*\{$")
GENERATED = ("syscall_table",)


def long_functions(path, lines):
    found = []
    depth_open = []  # (indent, line number, text)
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if line.rstrip().endswith("{") and "(" in head(lines, number) and not NOT_FUNCTION.search(line):
            depth_open.append((head_indent(lines, number), number, line.strip()))
        elif line.strip() in ("}", "};", "});") and depth_open and indent == depth_open[-1][0]:
            _, start, text = depth_open.pop()
            if number - start + 1 > FUNCTION_LIMIT:
                found.append(f"{path}:{start}: {number - start + 1} lines (at most {FUNCTION_LIMIT}): {text[:80]}")
    return found


def head(lines, number):
    """The definition's text up to its opening brace: it may stand on several lines."""
    first = number - 1
    while first > 0 and lines[first - 1].strip() and not lines[first - 1].rstrip().endswith((";", "}", "{", ":")):
        first -= 1
    return "\n".join(lines[first:number])


def head_indent(lines, number):
    text = head(lines, number).split("\n")[0]
    return len(text) - len(text.lstrip())


def problems_in(path, text):
    lines = text.split("\n")
    found = []
    if len(lines) - 1 > FILE_LIMIT:
        found.append(f"{path}: {len(lines) - 1} lines (at most {FILE_LIMIT})")
    if path.endswith((".cc", ".h", ".go")):
        found += long_functions(path, lines)
    return found


def main(source):
    root = pathlib.Path(source)
    found = []
    for top in ("cri", "runtime", "imageservice", "cni", "deploy", "tests"):
        for file in sorted((root / top).rglob("*")):
            if file.is_file() and file.suffix in (".cc", ".h", ".go", ".py", ".sh", ""):
                if any(mark in file.name for mark in GENERATED) or "corpus" in file.parts:
                    continue
                try:
                    found += problems_in(str(file.relative_to(root)), file.read_text())
                except UnicodeDecodeError:
                    continue
    print("\n".join(found) or "no file and no function is too long")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
