"""Static analysis: cppcheck, gcc's -fanalyzer and clang-tidy are clean, or a line says why not.

A finding that is wrong is silenced where it stands, with the reason: `cppcheck-suppress` or NOLINT.
"""
import concurrent.futures
import os
import re
import shutil
import subprocess

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FOLDERS = ("rules/", "daemon/", "cli/")
FLAGS = ["-std=gnu17", "-D_GNU_SOURCE", '-DEDGED_VERSION="0"']


def sources():
    tracked = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "*.c"], cwd=TOP,
                             capture_output=True, text=True, check=True).stdout.split()
    return sorted(path for path in tracked if path.startswith(FOLDERS) and os.path.exists(os.path.join(TOP, path)))


def run(command):
    return subprocess.run(command, cwd=TOP, capture_output=True, text=True, timeout=1800, check=False)


def over_all_files(command):
    """Run command(path) for every source, as many at once as there are cores; the findings, each once."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: run(command(path)), sources()))
    output = "".join(result.stdout + result.stderr for result in results)
    return sorted({line.replace(TOP + "/", "") for line in output.splitlines()
                   if re.search(r": (warning|error|fatal error): ", line)})


def need(program):
    if not shutil.which(program):
        pytest.skip(f"needs {program}")


def test_cppcheck():
    need("cppcheck")
    result = run(["cppcheck", "-q", "--enable=warning,performance,portability", "--inline-suppr", "--std=c11",
                  f"-j{os.cpu_count()}", "--error-exitcode=1", *FLAGS[1:], "-D__x86_64__",
                  "-Djson_array_foreach(a,i,v)=while(v=more(a,i))", "-Djson_object_foreach(a,i,v)=while(v=more(a,i))",
                  "-DLIST_FOREACH(v,h,f)=while(v=more(h))",
                  "--template={file}:{line}: {id}: {message}", *sources()])
    assert result.returncode == 0, result.stdout + result.stderr


def test_gcc_analyzer():
    need("gcc")
    found = over_all_files(lambda path: ["gcc", *FLAGS, "-O2", "-fanalyzer", "-c", "-o", "/dev/null", path])
    assert not found, "\n".join(found)


def test_clang_tidy():
    need("clang-tidy")
    found = over_all_files(lambda path: ["clang-tidy", "--quiet", path, "--", *FLAGS])
    assert not found, "\n".join(found)
