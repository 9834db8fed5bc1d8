"""The style rules that a program can check. Those that need an eye are in docs/architecture.md."""
import os
import re
import subprocess

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FILE_LINES, HEADER_LINES, FUNCTION_LINES, COLUMNS = 600, 200, 60, 120

# What is longer, and why that is right.
LONG_FILES = {
    "rules/model/model.h": "the whole configuration as one type: its contract is read in one piece",
    "rules/state/state.h": "the one state type, with what each expression means",
}
LONG_FUNCTIONS = {
    "rules/state/digest.c:mix_expr": "one case for each kind of expression",
}

# Headers that speak to the kernel's tables, and the only folders that may.
KERNEL_HEADERS = re.compile(r"#include <(linux/netfilter|libnftnl|libmnl|libnetfilter_conntrack|linux/bpf|bpf/|"
                            r"linux/wireguard|linux/rtnetlink|linux/netlink)")
KERNEL_FOLDERS = ("daemon/kernel/", "daemon/bpf/", "tests/")

# All that the pure core may call: no file, socket, clock, log, environment or random number.
PURE = re.compile(r"""^(
    mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)|str(len|nlen|cmp|ncmp|casecmp|ncasecmp|chr|chrnul|rchr|str|spn|cspn|pbrk|dup|ndup)
    |stpcpy|strto(l|ul|ll|ull|imax|umax)|__isoc23_strto\w+|v?snprintf|malloc|calloc|realloc(array)?|free|qsort|bsearch
    |inet_(pton|ntop)
    |__(v?snprintf|mem(cpy|move|set|pcpy)|str(cpy|cat|ncpy|ncat)|stpcpy)_chk
    |__stack_chk_fail|__assert_fail|__errno_location|__ctype_(b|tolower|toupper)_loc|abort
    |_GLOBAL_OFFSET_TABLE_|strerrordesc_np|yaml_\w+|EVP_\w+|SHA256\w*
)$""", re.X)


def sources(*suffixes):
    tracked = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"], cwd=TOP,
                             capture_output=True, text=True, check=True).stdout.split()
    return sorted(path for path in tracked if path.endswith(suffixes) and os.path.exists(os.path.join(TOP, path)))


def read(path, errors="strict"):
    with open(os.path.join(TOP, path), encoding="utf-8", errors=errors) as file:
        return file.read()


def functions(text):
    """(name, first line, lines) of each function: its braces stand in the first column."""
    lines, start, name = text.split("\n"), None, ""
    for number, line in enumerate(lines, 1):
        if line == "{" and start is None:
            header = next((lines[i] for i in range(number - 2, max(-1, number - 8), -1)
                           if re.match(r"\w.*\(", lines[i])), "")
            match = re.search(r"(\w+)\(", header)
            start, name = number, match[1] if match else "?"
        elif line.startswith("}") and start is not None:
            yield name, start, number - start - 1
            start = None


def assert_none(found, rule):
    assert not found, rule + ":\n" + "\n".join(found)


def test_python_tests_have_names_of_their_own():
    """pytest imports them by these: two of one name cannot be collected together."""
    names = [os.path.basename(path) for path in sources(".py") if os.path.basename(path).startswith("test_")]
    assert_none(sorted({name for name in names if names.count(name) > 1}), "two test files have one name")


def test_files_hold_one_responsibility():
    found = []
    for path in sources(".c", ".h"):
        count, most = read(path).count("\n"), HEADER_LINES if path.endswith(".h") else FILE_LINES
        if count > most and path not in LONG_FILES:
            found.append(f"{path}: {count} lines")
    assert_none(found, f"a file has at most {FILE_LINES} lines, a header {HEADER_LINES}")


def test_functions_are_short():
    found = []
    for path in sources(".c"):
        for name, line, count in functions(read(path)):
            if count > FUNCTION_LINES and f"{path}:{name}" not in LONG_FUNCTIONS:
                found.append(f"{path}:{line}: {name} has {count} lines")
    assert_none(found, f"a function has at most {FUNCTION_LINES} lines")


def test_the_function_finder_finds():
    assert list(functions("static int a(int b)\n{\n\treturn b;\n}\n")) == [("a", 2, 1)]
    assert list(functions("int a(int b,\n      int c)\n{\n" + "\tx;\n" * 61 + "}\n")) == [("a", 3, 61)]


def test_lines_fit():
    found = []
    for path in sources(".c", ".h", ".py", ".mk", ".sh"):
        for number, line in enumerate(read(path).split("\n"), 1):
            if len(line.expandtabs(8)) > COLUMNS + 8:
                found.append(f"{path}:{number}: {len(line.expandtabs(8))} columns")
            if line != line.rstrip():
                found.append(f"{path}:{number}: white space at the end")
    assert_none(found, f"lines have at most {COLUMNS} columns")


def test_files_say_what_they_own():
    found = []
    for path in sources(".c"):
        text = read(path)
        comment = text[:text.find("*/")].count("\n") + 1 if text.startswith("/*") else 0
        if not 2 <= comment <= 14:
            found.append(f"{path}: opens with {comment} lines of comment")
    assert_none(found, "a .c file opens with a comment of three to ten lines: what it owns, what it never does")


def test_nothing_is_left_to_do():
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3)) + r")\b")
    found = [f"{path}:{number}: {line.strip()}" for path in sources(".c", ".h", ".py", ".sh", ".md", ".mk", "Makefile")
             for number, line in enumerate(read(path).split("\n"), 1) if marks.search(line)]
    assert_none(found, "no notes of unfinished work")


def test_only_the_kernel_folder_speaks_netfilter():
    found = [f"{path}:{number}: {line}" for path in sources(".c", ".h") if not path.startswith(KERNEL_FOLDERS)
             for number, line in enumerate(read(path).split("\n"), 1) if KERNEL_HEADERS.match(line)]
    assert_none(found, "netfilter, WireGuard and BPF headers appear only in daemon/kernel and daemon/bpf")


def includes(path):
    for number, line in enumerate(read(path).split("\n"), 1):
        match = re.match(r'#include "([^"]+)"', line)
        if match:
            yield number, os.path.normpath(os.path.join(os.path.dirname(path), match[1]))


def test_the_core_stands_on_the_ground():
    found = [f"{path}:{number}: {target}" for path in sources(".c", ".h") if path.startswith("rules/")
             for number, target in includes(path) if not target.startswith("rules/")]
    found += [f"{path}:{number}: {target}" for path in sources(".c", ".h") if path.startswith("cli/")
              for number, target in includes(path) if target.startswith("daemon/")]
    assert_none(found, "rules/ includes nothing of daemon/ or cli/, and cli/ nothing of daemon/")


def test_a_source_includes_its_own_header_first():
    found = []
    for path in sources(".c"):
        own = path[:-2] + ".h"
        if os.path.exists(os.path.join(TOP, own)):
            first = re.search(r'#include [<"]([^>"]+)[>"]', read(path))
            if not first or os.path.normpath(os.path.join(os.path.dirname(path), first[1])) != own:
                found.append(f"{path}: the first include is not {own}")
    assert_none(found, "a .c includes its own header first")


def test_goto_goes_forward_to_one_label():
    found = []
    for path in sources(".c"):
        lines = read(path).split("\n")
        for name, start, count in functions(read(path)):
            body = lines[start:start + count]
            labels = {line[:-1]: i for i, line in enumerate(body) if re.fullmatch(r"[a-z_]+:", line)}
            jumps = [(re.search(r"\bgoto (\w+);", line)[1], i) for i, line in enumerate(body) if "goto " in line
                     and re.search(r"\bgoto (\w+);", line)]
            if len(labels) > 1 or any(labels.get(label, -1) < i for label, i in jumps):
                found.append(f"{path}:{start}: {name}")
    assert_none(found, "goto goes forward only, to one label")


def test_nothing_names_a_place_of_the_developers():
    place = re.compile(r"(?<![\w.])/(work|home/\w+)/")
    found = [f"{path}:{number}: {line.strip()}" for path in sources(".c", ".h", ".py", ".md", ".mk", ".sh", ".yaml", "Makefile")
             if path != "tests/style/test_style.py"
             for number, line in enumerate(read(path, "replace").split("\n"), 1) if place.search(line)]
    assert_none(found, "no absolute paths of a developer's machine")


def test_the_core_is_pure():
    library = os.path.join(TOP, "build", "librules.a")
    if not os.path.exists(library):
        pytest.skip("build/librules.a is not built")
    defined, wanted = set(), {}
    for line in subprocess.run(["nm", "-A", library], capture_output=True, text=True, check=True).stdout.splitlines():
        words = line.split(":")[-1].split()
        if len(words) >= 2 and words[-2] == "U":
            wanted.setdefault(words[-1].split("@")[0], line.split(":")[1])
        elif len(words) == 3:
            defined.add(words[-1])
    found = [f"{place}: {name}" for name, place in sorted(wanted.items()) if name not in defined and not PURE.match(name)]
    assert wanted
    assert_none(found, "the pure core calls only what is on the list")
