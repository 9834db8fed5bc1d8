"""Run the tests and count them: run.py [NAME].

Unit test programs (cmocka, TAP) of the normal and of the sanitizer build, then the
pytest suites. NAME: only that unit test program, or what `pytest -k` takes. The last
line is always "N passed, N failed, N skipped"; the exit status is 0 only when none failed.
"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
UNIT_SECONDS = 600
TAP_LINE = re.compile(r"^(not )?ok \d+(?: - )?(.*)$")


class Counts:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def sanitizer_options():
    return {"ASAN_OPTIONS": "abort_on_error=0:detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1",
            "LSAN_OPTIONS": "print_suppressions=0"}


def run_unit(program, counts):
    """One program; a crash, a missing plan and a case that never reported are failures too."""
    name = os.path.relpath(program, TOP)
    environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", **sanitizer_options())
    try:
        result = subprocess.run([program], capture_output=True, text=True, errors="replace", cwd=TOP, env=environment,
                                timeout=UNIT_SECONDS)
        output, status = result.stdout + result.stderr, result.returncode
    except subprocess.TimeoutExpired as expired:
        output, status = f"{expired.stdout or ''}\nstill running after {UNIT_SECONDS} s", -1
    planned = sum(int(count) for count in re.findall(r"^1\.\.(\d+)", output, re.M))
    passed = failed = skipped = 0
    for line in output.splitlines():
        match = TAP_LINE.match(line)
        # cmocka says "not ok N # SKIP": by TAP that is no failure.
        if match and "# SKIP" in match[2].upper():
            skipped += 1
        elif match and match[1]:
            failed += 1
        elif match:
            passed += 1
    missing = max(0, planned - passed - failed - skipped)
    if missing or (status and not failed) or not planned:
        failed += max(1, missing)
    print(f"{name}: {passed} passed" + (f", {failed} FAILED" if failed else "") +
          (f", {skipped} skipped" if skipped else ""), flush=True)
    if failed:
        print(output + f"\n{name}: exit status {status}", flush=True)
    counts.passed, counts.failed, counts.skipped = (counts.passed + passed, counts.failed + failed,
                                                    counts.skipped + skipped)


def run_pytest(arguments, counts):
    """pytest over all suites; returns its exit status."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        status = subprocess.run([sys.executable, "-B", "-m", "pytest", f"--junitxml={report.name}", *arguments], cwd=TOP,
                                check=False).returncode
        try:
            suites = xml.etree.ElementTree.parse(report.name).getroot().iter("testsuite")
        except xml.etree.ElementTree.ParseError:
            counts.failed += 1
            return status
        total = failed = skipped = 0
        for suite in suites:
            total += int(suite.get("tests", 0))
            failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
            skipped += int(suite.get("skipped", 0))
    if status not in (0, 5) and not failed:
        failed, total = 1, total + 1
    counts.passed, counts.failed, counts.skipped = (counts.passed + max(0, total - failed - skipped),
                                                    counts.failed + failed, counts.skipped + skipped)
    return status


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    counts = Counts()
    units = sorted(path for build in ("build", "build/san") for path in glob.glob(f"{TOP}/{build}/tests/unit/*_test"))
    # Programs of sources that are gone would be run for ever.
    units = [path for path in units if os.path.exists(f"{TOP}/tests/unit/{os.path.basename(path)}.c")]
    if name:
        units = [path for path in units if os.path.basename(path) in (name, name + "_test")]
    for program in units:
        run_unit(program, counts)
    if not (name and units):
        status = run_pytest(["-k", name] if name else [], counts)
        if status == 5:
            print(f"no test is called {name!r}", file=sys.stderr)
            return 2
    print(counts, flush=True)
    return 1 if counts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
