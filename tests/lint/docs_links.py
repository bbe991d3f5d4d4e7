#!/usr/bin/env python3
"""Every path that a page of the docs names exists. Usage: docs_links.py SOURCE

Looked at: Markdown links to files, and paths in `code` that begin with a folder of the tree.
"""
import pathlib
import re
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
CODE = re.compile(r"`((?:cri|runtime|imageservice|cni|tests|deploy|docs|\.ci)/[A-Za-z0-9_./-]+)`")


def names(text):
    for target, _ in LINK.findall(text):
        if "://" not in target and not target.startswith("mailto:"):
            yield target, True
    for target in CODE.findall(text):
        yield target, False


def main(source):
    root = pathlib.Path(source)
    found = []
    pages = [root / name for name in ("README.md", "SECURITY.md")] + sorted((root / "docs").rglob("*.md"))
    for page in pages:
        if not page.exists():
            continue
        for target, relative in names(page.read_text()):
            base = page.parent if relative else root
            path = base / target
            if not path.exists() and not list(base.glob(target + ".*")):
                found.append(f"{page.relative_to(root)}: {target} does not exist")
    print("\n".join(found) or "every path named in the docs exists")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
