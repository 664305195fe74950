"""Mutation testing of functions that are drawn by seed; run by `ops/mutants --draw N --seed S`.

The mutants are those of `cargo mutants --list`. It would build once for each. Here all go into one copy of the sources (below
the target folder), where the body of each drawn function is a choice between the original and its mutants:

    match crate::drawn_mutants::at(FUNCTION, FIRST..=LAST) { 0 => { the original }, 17 => { a mutant }, ... }

The variable `DRAWN_MUTANT` says which mutant is active in a process and in those that it starts. The copy is built once.
Then each test runs once, without a mutant, and records in `DRAWN_MUTANT_REACHED` which drawn functions it reaches; a
mutant is tried on these tests alone, one process each, until one fails twice. Tests of the own crate's library come first.

Drawn are functions that cargo-mutants has a value for, in the libraries of storage, raft/api, raft (without `state`, which
has a run of its own, and the simulation), node and ops; not `fmt::Debug`, not what only fuzz targets use, and no `const fn`,
which cannot choose. Functions are ranked by a hash of seed and name, so that a change elsewhere does not change the draw.
"""

import argparse
import collections
import concurrent.futures
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CRATES = {"storage": "twm-storage", "raft/api": "twm-api", "raft": "twm-raft", "node": "twm-node", "ops": "twm-ops"}
LEFT_OUT = re.compile(r"^raft/src/(state|sim)/|/fuzz\.rs$|/src/bin/")
# Tests beside those of the libraries: what runs without clusters of many processes.
OTHERS = {
    "twm-storage": ["state_growth"], "twm-raft": ["cluster"], "twm-node": ["program", "crawl"],
    "twm-ops": ["certs", "command_line", "dataset", "tracker"], "twm-tests": ["backends", "edges", "emulator", "consumers"],
}
# Of the others, the shortest that reach a mutant are tried, up to so many seconds in sum.
SECONDS_OF_OTHERS = 60
# A test that takes longer without a mutant is left out, seconds.
LONGEST_TEST = 60
MEMORY = 8 << 30
AT_ONCE = 4
WITHOUT_OPTIMIZATION = [f"--config=profile.dev.package.{name}.{setting}" for name in [*CRATES.values(), "twm-tests"]
                        for setting in ("opt-level=0", "debug=false")]
ALLOWED = "#![allow(warnings, arithmetic_overflow, unconditional_panic, overflowing_literals)] "
CHOICE = """
#[doc(hidden)]
pub mod drawn_mutants {
    use std::{collections::BTreeSet, env, fs, io::Write as _, ops::RangeInclusive, sync::{LazyLock, Mutex}};
    static ACTIVE: LazyLock<u32> = LazyLock::new(|| env::var("DRAWN_MUTANT").map_or(0, |n| n.parse().unwrap()));
    static RECORD: LazyLock<Option<String>> = LazyLock::new(|| env::var("DRAWN_MUTANT_REACHED").ok());
    static REACHED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    pub fn at(function: u32, mutants: RangeInclusive<u32>) -> u32 {
        if let Some(path) = &*RECORD {
            if REACHED.lock().unwrap().insert(function) {
                let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
                file.write_all(format!("{function}\\n").as_bytes()).unwrap();
            }
        }
        if mutants.contains(&*ACTIVE) { *ACTIVE } else { 0 }
    }
}
"""


def say(words):
    print(f"[{time.strftime('%H:%M:%S')}] {words}", file=sys.stderr, flush=True)


class Source:
    """The text of a file, cut at the spans (1-based line and column, the end excluded) of cargo-mutants."""

    def __init__(self, path):
        self.text = path.read_text()
        self.starts = [0] + [at.end() for at in re.finditer("\n", self.text)]

    def span(self, span):
        return tuple(self.starts[end["line"] - 1] + end["column"] - 1 for end in (span["start"], span["end"]))


class Function:
    """A function that can be drawn: its place in the file, and its mutants as replacements within its body."""

    def __init__(self, file, name, package):
        self.file, self.name, self.package = file, name, package
        self.body, self.mutants, self.number = None, [], 0

    def rank(self, seed):
        return hashlib.sha256(f"{seed} {self.file} {self.name}".encode()).digest()


class Mutant:
    def __init__(self, number, function, listed, cut):
        self.number, self.function, self.cut, self.replacement = number, function, cut, listed["replacement"]
        self.name = listed["name"]
        self.viable, self.verdict, self.by, self.tried = True, None, None, 0

    def body(self, text):
        start, end = self.function.body
        return text[start:self.cut[0]] + self.replacement + text[self.cut[1]:end]


def functions(listed, sources):
    """All functions that can be drawn, with what cargo-mutants listed for each."""
    found = {}
    for mutant in listed:
        file, function = mutant["file"], mutant["function"]
        if mutant["package"] in CRATES.values() and function and not LEFT_OUT.search(file) and "Debug for" not in function["function_name"]:
            place = sources.setdefault(file, Source(Path(file))).span(function["span"])
            found.setdefault((file, place), []).append(mutant)
    drawable, ends = [], {}
    for (file, (start, end)), mutants in sorted(found.items()):
        source = sources[file]
        values = [source.span(mutant["span"]) for mutant in mutants if mutant["genre"] == "FnValue"]
        inner, ends[file] = end <= ends.get(file, 0), max(end, ends.get(file, 0))
        if inner or not values or re.search(r"\bconst (async )?fn |cfg\(fuzzing\)", source.text[start:values[0][0]]):
            continue
        function = Function(file, mutants[0]["function"]["function_name"], mutants[0]["package"])
        function.body, function.listed = values[0], mutants
        drawable.append(function)
    return drawable


def draw(listed, count, seed, sources):
    drawn = sorted(functions(listed, sources), key=lambda function: function.rank(seed))[:count]
    drawn.sort(key=lambda function: (function.file, function.body))
    number = 0
    for at, function in enumerate(drawn, 1):
        function.number = at
        for mutant in function.listed:
            number += 1
            function.mutants.append(Mutant(number, function, mutant, sources[function.file].span(mutant["span"])))
    return drawn


def write(path, text):
    """Only where it differs, so that cargo does not build again what did not change."""
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def copy_sources(copy):
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    # The copy is below the repository, whose configuration cargo finds there; a second one would give each flag twice.
    files = [file for file in files if not file.startswith(".cargo/")]
    for file in filter(os.path.isfile, files):
        into = copy / file
        if not into.exists() or (not file.endswith(".rs") and into.read_bytes() != Path(file).read_bytes()):
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, into)
    if not (copy / ".cache").exists():
        (copy / ".cache").symlink_to(Path(".cache").resolve())
    return [file for file in files if file.endswith(".rs") and os.path.isfile(file)]


def write_choices(copy, rust_files, drawn, sources):
    """Writes all Rust files of the copy; returns which lines of it are which mutant's."""
    by_file, lines = collections.defaultdict(list), collections.defaultdict(list)
    for function in drawn:
        by_file[function.file].append(function)
    for file in rust_files:
        text = sources[file].text if file in sources else Path(file).read_text()
        whole, done = ALLOWED * (file in libraries()), 0
        for function in by_file[file]:
            start, end = function.body
            viable = [mutant for mutant in function.mutants if mutant.viable]
            whole, done = whole + text[done:start], end
            range_ = f"{function.mutants[0].number}..={function.mutants[-1].number}"
            whole += f"match crate::drawn_mutants::at({function.number}, {range_}) {{ 0 => {{ {text[start:end]} }}\n"
            for mutant in viable:
                first = whole.count("\n") + 1
                whole += f"{mutant.number} => {{ {mutant.body(text)} }}\n"
                lines[file].append((first, whole.count("\n"), mutant))
            whole += "_ => std::process::abort() }"
        write(copy / file, whole + text[done:] + CHOICE * (file in libraries()))
    return lines


def libraries():
    return {f"{folder}/src/lib.rs" for folder in CRATES}


def messages(copy, *command):
    """What cargo says of a build, as JSON."""
    run = subprocess.run(["cargo", command[0], "--workspace", "--locked", "-j2", "--message-format=json", *WITHOUT_OPTIMIZATION,
                          *command[1:]], cwd=copy, capture_output=True, text=True, env={**os.environ, "CARGO_TARGET_DIR": str(copy.parent / "target")})
    return run, [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def places(message):
    """All places that an error names, the one it is about first, with those of the macros in which it is."""
    spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
    while spans:
        span = spans.pop(0)
        yield span["file_name"], span["line_start"]
        if span["expansion"]:
            spans.append(span["expansion"]["span"])
    for child in message["children"]:
        yield from places(child)


def remove_what_does_not_compile(copy, rust_files, drawn, sources):
    """Builds until no mutant is an error. What was one is remembered for the next run."""
    known_file = copy.parent / "unviable.json"
    known = json.loads(known_file.read_text()) if known_file.exists() else {}
    for mutant in (mutant for function in drawn for mutant in function.mutants):
        mutant.key = hashlib.sha256(f"{mutant.function.file} {mutant.function.name} {mutant.body(sources[mutant.function.file].text)}".encode()).hexdigest()
        mutant.viable, mutant.by = mutant.key not in known, known.get(mutant.key)
    while True:
        lines = write_choices(copy, rust_files, drawn, sources)
        run, said = messages(copy, "check", "--keep-going", "--lib")
        if run.returncode == 0:
            return
        errors = [message["message"] for message in said if message["reason"] == "compiler-message" and message["message"]["level"] == "error"]
        removed = 0
        for error in errors:
            of = (mutant for file, line in places(error) for first, last, mutant in lines[file] if first <= line <= last)
            mutant = next(of, None)
            if mutant and mutant.viable:
                mutant.viable, mutant.by, removed = False, error["message"].split("\n")[0], removed + 1
        say(f"{removed} mutants do not compile")
        known_file.write_text(json.dumps({m.key: m.by for function in drawn for m in function.mutants if not m.viable}))
        if not removed:
            sys.exit("the copy does not compile:\n" + "\n".join(error["rendered"] for error in errors) + run.stderr[-2000:])


def executables(copy, *targets):
    """Test programs as (package, kind, program, folder to run it in). The programs that tests start are built with them."""
    say("building the tests " + " ".join(targets))
    run, said = messages(copy, "test", "--no-run", *targets)
    if run.returncode != 0:
        sys.exit("\n".join(m["message"]["rendered"] for m in said if m["reason"] == "compiler-message") + run.stderr)
    for message in said:
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            folder, target = Path(message["manifest_path"]).parent, message["target"]
            package = CRATES.get(str(folder.relative_to(copy)), "twm-tests")
            if target["kind"] == ["lib"] and package in CRATES.values():
                yield package, "lib", message["executable"], folder
            elif target["name"] in OTHERS.get(package, ()):
                yield package, target["name"], message["executable"], folder


class Test:
    def __init__(self, package, kind, program, folder, name, seconds=0.0, reached=()):
        self.package, self.kind, self.program, self.folder, self.name = package, kind, program, folder, name
        self.seconds, self.reached = seconds, reached

    def title(self):
        return f"{self.package} {self.kind} {self.name}"

    def run(self, limit, **variables):
        """How it ended ("passed", "failed", "timed out"), with its output."""
        token = f"drawn-mutants-{os.getpid()}-{id(self)}-{time.monotonic_ns()}"
        environment = {**os.environ, "DRAWN_MUTANTS_RUN": token, "CARGO_MANIFEST_DIR": str(self.folder), "RUST_BACKTRACE": "0", **variables}
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen([self.program, "--exact", self.name, "--test-threads=1"], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)))
            try:
                ended = "passed" if process.wait(limit) == 0 else "failed"
            except subprocess.TimeoutExpired:
                ended = "timed out"
            if ended != "passed":
                kill_all(token)
            process.wait()
            output.seek(0)
            return ended, output.read()


def kill_all(token):
    """Kills the processes of one run: those that carry its token in their environment."""
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and token.encode() in Path(f"/proc/{entry}/environ").read_bytes():
                os.kill(int(entry), signal.SIGKILL)
        except OSError:
            pass  # It has ended.


def trace(program):
    """All tests of a program that pass without a mutant, with what they reach. The same program is not traced again."""
    package, kind, path, folder = program
    kept = Path(path + ".traced.json")
    if kept.exists() and kept.stat().st_mtime > Path(path).stat().st_mtime:
        return [Test(package, kind, path, folder, *row) for row in json.loads(kept.read_text())]
    say(f"tracing {package} {kind}")
    listed = subprocess.run([path, "--list", "--format=terse"], cwd=folder, check=True, capture_output=True, text=True).stdout
    tests = [Test(package, kind, path, folder, line.removesuffix(": test")) for line in listed.splitlines() if line.endswith(": test")]
    tests = [test for test in at_once(trace_one, tests) if test]
    kept.write_text(json.dumps([(test.name, test.seconds, sorted(test.reached)) for test in tests]))
    return tests


def trace_one(test):
    with tempfile.TemporaryDirectory() as folder:
        record, begun = Path(folder) / "reached", time.monotonic()
        ended, output = test.run(LONGEST_TEST, DRAWN_MUTANT_REACHED=str(record))
        test.seconds = time.monotonic() - begun
        test.reached = [int(line) for line in record.read_text().split()] if record.exists() else []
    if ended != "passed":
        say(f"left out, as it {ended} without a mutant: {test.title()}\n" + "\n".join(output.splitlines()[-12:]))
        return None
    return test


def at_once(work, items):
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, items))


def shortest(tests, seconds):
    """Tests in the order of their length, as many as take so long together."""
    for test in sorted(tests, key=lambda test: test.seconds):
        seconds -= test.seconds
        if seconds < 0:
            return
        yield test


def try_mutant(mutant, tests, record):
    """Tries a mutant on the tests that reach it, and records the verdict."""
    mutant.verdict = "survived"
    for test in tests:
        mutant.tried += 1
        limit = 20 + 10 * test.seconds
        ended, _ = test.run(limit, DRAWN_MUTANT=str(mutant.number))
        # A second time: a test that fails by chance has caught nothing.
        if ended == "failed" and test.run(limit, DRAWN_MUTANT=str(mutant.number))[0] == "passed":
            ended = "passed"
        if ended != "passed":
            mutant.verdict, mutant.by = {"failed": "caught", "timed out": "timed out"}[ended], test.title()
            break
    with record.open("a") as file:
        file.write(json.dumps([mutant.key, mutant.verdict, mutant.by, mutant.tried]) + "\n")
    if mutant.verdict == "survived" and mutant.tried:
        say(f"not noticed by {mutant.tried} tests: {mutant.number} {mutant.name}")


def try_all(mutants, tests, seconds, record):
    def one(mutant):
        try_mutant(mutant, shortest([test for test in tests if mutant.function.number in test.reached], seconds), record)

    at_once(one, [mutant for mutant in mutants if mutant.verdict in (None, "survived")])


def main():
    words = argparse.ArgumentParser(prog="ops/mutants")
    words.add_argument("--draw", type=int, required=True, metavar="N", help="functions")
    words.add_argument("--seed", default="1")
    words.add_argument("--values-only", action="store_true", help="only mutants that replace a whole body")
    words.add_argument("--again", action="store_true", help="keep what an earlier run caught; try the rest")
    words = words.parse_args()
    folder = Path("target/drawn-mutants").resolve()
    copy, record, sources = folder / "copy", folder / "verdicts.jsonl", {}
    listed = subprocess.run(["cargo", "mutants", "--list", "--json", "--workspace"], check=True, capture_output=True, text=True).stdout
    drawn = draw([m for m in json.loads(listed) if m["genre"] == "FnValue" or not words.values_only], words.draw, words.seed, sources)
    mutants = [mutant for function in drawn for mutant in function.mutants]
    say(f"{len(drawn)} functions with {len(mutants)} mutants")
    remove_what_does_not_compile(copy, copy_sources(copy), drawn, sources)
    earlier = [json.loads(line) for line in record.read_text().splitlines()] if words.again and record.exists() else []
    caught = {key: (verdict, by, tried) for key, verdict, by, tried in earlier if verdict != "survived"}
    record.write_text("".join(json.dumps([key, *rest]) + "\n" for key, rest in caught.items()))
    for mutant in mutants:
        mutant.verdict, mutant.by, mutant.tried = caught.get(mutant.key, (None if mutant.viable else "unviable", mutant.by, 0))
    tests = []
    # The own library's tests first, all that reach a mutant; then the others.
    for program in list(executables(copy, "--lib")):
        tests += trace(program)
        try_all([m for m in mutants if m.function.package == program[0]], [test for test in tests if test.package == program[0]], 1e9, record)
    for program in list(executables(copy, *(f"--test={name}" for names in OTHERS.values() for name in names))):
        tests += trace(program)
        try_all(mutants, [test for test in tests if test.program == program[2]], SECONDS_OF_OTHERS, record)
    for crate in CRATES.values():
        try_all([m for m in mutants if m.function.package == crate], [test for test in tests if test.kind == "lib" and test.package != crate],
                SECONDS_OF_OTHERS, record)
    count = collections.Counter(mutant.verdict for mutant in mutants)
    print(f"{len(drawn)} functions, {len(mutants)} mutants, {len(tests)} tests: " + ", ".join(f"{count[verdict]} {verdict}" for verdict in sorted(count)))
    for mutant in mutants:
        if mutant.verdict == "survived":
            print(f"{mutant.number} {mutant.name}: " + (f"{mutant.tried} tests" if mutant.tried else "no test reaches it"))


if __name__ == "__main__":
    os.nice(10)
    main()
