"""Mutation testing of functions that are drawn by seed, or of the state machine; run by `ops/mutants --draw N --seed S` or `--state`.

The mutants are those of `cargo mutants --list`. It would build once for each. Here all go into one copy of the sources (below
the target folder), where the body of each drawn function is a choice between the original and its mutants:

    match crate::drawn_mutants::at(FUNCTION, FIRST..=LAST) { 0 => { the original }, 17 => { a mutant }, ... }

The variable `DRAWN_MUTANT` says which mutant is active in a process and in those that it starts. The copy is built once.
Then each test runs once, without a mutant, and records in `DRAWN_MUTANT_REACHED` which drawn functions it reaches; a
mutant is tried on these tests alone, until one fails twice: short ones and those that catch much come first, and several
short ones share a process. Tests of the own crate's library come before others.

Drawn are functions that cargo-mutants has a value for, in the libraries of storage, raft/api, raft (without `state`, which
has a run of its own, and the simulation), node and ops; not `fmt::Debug`, not what only fuzz targets use, and no `const fn`,
which cannot choose. Functions are ranked by a hash of seed and name, so that a change elsewhere does not change the draw.

With `--state`, these are all functions of `raft/src/state`, and the tests are its own, `state::`. What is outside of functions
(constants) cannot choose either: the number of these mutants is printed, and `ops/mutants --file` tries them.

An arm whose type has no name (`impl Iterator`, `impl FnOnce`) is put into a box, so that all arms have one type.
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
STATE = "raft/src/state/"
LEFT_OUT = re.compile(r"^raft/src/(state|sim)/|/fuzz\.rs$|/src/bin/")
# Tests beside those of the libraries: what runs without clusters of many processes.
OTHERS = {
    "twm-storage": ["state_growth"], "twm-raft": ["cluster"], "twm-node": ["program", "crawl"],
    "twm-ops": ["certs", "command_line", "dataset", "tracker"], "twm-tests": ["backends", "edges", "emulator", "consumers"],
}
# Of the others, the shortest that reach a mutant are tried, up to so many seconds in sum.
SECONDS_OF_OTHERS = 60
# A test that takes longer without a mutant is left out, seconds.
LONGEST_TEST = 120
# Tests share a process up to so many seconds in sum.
SECONDS_OF_A_PROCESS = 0.5
MEMORY = 8 << 30
AT_ONCE = 4
NICENESS = 8
SKIPPED = None
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

    def arm(self, number, body):
        """One arm of the choice. All arms have one type, though each closure and most iterators have one of their own."""
        nameless = re.match(r"-> impl ((?:Iterator|FnOnce)\b.*?)(?:\+ *use<.*>)?$", self.listed[0]["function"]["return_type"])
        if nameless:
            lifetime = "" if "'" in nameless[1] or "+ use<" in nameless[0] else " + '_"
            body = f"Box::new({{ {body} }}) as Box<dyn {nameless[1].strip()}{lifetime}>"
        return f"{number} => {{ {body} }}\n"


class Mutant:
    def __init__(self, number, function, listed, cut):
        self.number, self.function, self.cut, self.replacement = number, function, cut, listed["replacement"]
        self.name = listed["name"]
        self.viable, self.verdict, self.by, self.tried = True, None, None, 0

    def body(self, text):
        start, end = self.function.body
        return text[start:self.cut[0]] + self.replacement + text[self.cut[1]:end]


def whole_body(text, start, end):
    """What is between the braces of a function for which cargo-mutants has no value."""
    return start + text[start:end].index("{") + 1, end - 1


def functions(listed, sources):
    """All functions that can choose, with what cargo-mutants listed for each."""
    found = {}
    for mutant in listed:
        file, function = mutant["file"], mutant["function"]
        if function and "Debug for" not in function["function_name"]:
            place = sources.setdefault(file, Source(Path(file))).span(function["span"])
            found.setdefault((file, place), []).append(mutant)
    drawable, ends = [], {}
    for (file, (start, end)), mutants in sorted(found.items()):
        source = sources[file]
        values = [source.span(mutant["span"]) for mutant in mutants if mutant["genre"] == "FnValue"]
        inner, ends[file] = end <= ends.get(file, 0), max(end, ends.get(file, 0))
        body = values[0] if values else whole_body(source.text, start, end)
        if inner or re.search(r"\bconst (async )?fn |cfg\(fuzzing\)", source.text[start:body[0]]):
            continue
        function = Function(file, mutants[0]["function"]["function_name"], mutants[0]["package"])
        function.body, function.listed, function.has_value = body, mutants, bool(values)
        drawable.append(function)
    return drawable


def draw(listed, count, seed, sources):
    listed = [mutant for mutant in listed if mutant["package"] in CRATES.values() and not LEFT_OUT.search(mutant["file"])]
    drawable = [function for function in functions(listed, sources) if function.has_value]
    return numbered(sorted(drawable, key=lambda function: function.rank(seed))[:count], sources)


def of_the_state(listed, sources):
    listed = [mutant for mutant in listed if mutant["file"].startswith(STATE)]
    taken = numbered(functions(listed, sources), sources)
    left = len(listed) - sum(len(function.mutants) for function in taken)
    say(f"{left} mutants are outside of functions, or in some that cannot choose")
    return taken


def numbered(drawn, sources):
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
            whole += f"match crate::drawn_mutants::at({function.number}, {range_}) {{ {function.arm(0, text[start:end])}"
            for mutant in viable:
                first = whole.count("\n") + 1
                whole += function.arm(mutant.number, mutant.body(text))
                lines[file].append((first, whole.count("\n"), mutant))
            whole += "_ => std::process::abort() }"
        write(copy / file, whole + text[done:] + CHOICE * (file in libraries()))
    return lines


def libraries():
    return {f"{folder}/src/lib.rs" for folder in CRATES}


def messages(copy, *command):
    """What cargo says of a build, as JSON."""
    packages = [] if "--package" in command else ["--workspace"]
    run = subprocess.run(["cargo", command[0], *packages, "--locked", "-j2", "--message-format=json", *WITHOUT_OPTIMIZATION,
                          *command[1:]], cwd=copy, capture_output=True, text=True, env={**os.environ, "CARGO_TARGET_DIR": str(copy.parent.parent / "target")})
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


def remove_what_does_not_compile(copy, rust_files, drawn, sources, targets):
    """Builds until no mutant is an error. What was one is remembered for the next run."""
    known_file = copy.parent / "unviable.json"
    known = json.loads(known_file.read_text()) if known_file.exists() else {}
    for mutant in (mutant for function in drawn for mutant in function.mutants):
        mutant.key = hashlib.sha256(f"{mutant.function.file} {mutant.function.name} {mutant.body(sources[mutant.function.file].text)}".encode()).hexdigest()
        mutant.viable, mutant.by = mutant.key not in known, known.get(mutant.key)
    while True:
        lines = write_choices(copy, rust_files, drawn, sources)
        run, said = messages(copy, "check", "--keep-going", *targets)
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
        self.seconds, self.reached, self.tries, self.catches = seconds, reached, 0, 0

    def price(self):
        """Seconds for each mutant that it catches, as far as that is known; the cheapest test is tried first."""
        return self.seconds * (1 + self.tries) / (1 + self.catches)

    def title(self):
        return f"{self.package} {self.kind} {self.name}"

    def run(self, limit, others=(), **variables):
        """How it ended ("passed", "failed", "timed out"), with its output; in one process with other tests of its program."""
        token = f"drawn-mutants-{os.getpid()}-{id(self)}-{time.monotonic_ns()}"
        environment = {**os.environ, "DRAWN_MUTANTS_RUN": token, "CARGO_MANIFEST_DIR": str(self.folder), "RUST_BACKTRACE": "0", **variables}
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            process = subprocess.Popen([self.program, "--exact", self.name, *(test.name for test in others), "--test-threads=1"], cwd=self.folder, env=environment, stdin=subprocess.DEVNULL,
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


def trace(program, prefix=""):
    """All tests of a program that pass without a mutant, with what they reach. The same program is not traced again."""
    package, kind, path, folder = program
    kept = Path(path + ".traced.json")
    if kept.exists() and kept.stat().st_mtime > Path(path).stat().st_mtime:
        return [Test(package, kind, path, folder, *row) for row in json.loads(kept.read_text())]
    say(f"tracing {package} {kind}")
    listed = subprocess.run([path, "--list", "--format=terse"], cwd=folder, check=True, capture_output=True, text=True).stdout
    tests = [Test(package, kind, path, folder, line.removesuffix(": test")) for line in listed.splitlines()
             if line.endswith(": test") and line.startswith(prefix) and not (SKIPPED and SKIPPED.search(line))]
    tests = [test for test in at_once(trace_one, tests) if test]
    if not SKIPPED:
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


def chosen(tests, seconds):
    """Tests in the order of their price, as many as take so long together, in groups that share a process."""
    group, of_group = [], 0.0
    for test in sorted(tests, key=Test.price):
        seconds -= test.seconds
        if seconds < 0:
            break
        if group and (group[0].program != test.program or of_group + test.seconds > SECONDS_OF_A_PROCESS):
            yield group
            group, of_group = [], 0.0
        group.append(test)
        of_group += test.seconds
    if group:
        yield group


def catches(group, mutant):
    """Which of these tests notices the mutant, and how; twice, because a test that fails by chance has caught nothing."""
    limit = 10 + 10 * sum(test.seconds for test in group)
    ended, output = group[0].run(limit, group[1:], DRAWN_MUTANT=str(mutant.number))
    if ended == "passed":
        return None, None
    if len(group) > 1:
        # The one that was running when the process was ended has no result.
        failed = set(re.findall(r"^test (\S+) (?:.*FAILED$|\.\.\. (?!ok$))", output, re.M))
        for test in [test for test in group if test.name in failed] or group:
            found = catches([test], mutant)
            if found[0]:
                return found
        return None, None
    if ended == "failed" and group[0].run(limit, DRAWN_MUTANT=str(mutant.number))[0] == "passed":
        return None, None
    group[0].catches += 1
    return {"failed": "caught", "timed out": "timed out"}[ended], group[0].title()


def try_mutant(mutant, groups, record):
    """Tries a mutant on the tests that reach it, and records the verdict."""
    mutant.verdict = "survived"
    for group in groups:
        mutant.tried += len(group)
        for test in group:
            test.tries += 1
        verdict, by = catches(group, mutant)
        if verdict:
            mutant.verdict, mutant.by = verdict, by
            break
    with record.open("a") as file:
        file.write(json.dumps([mutant.key, mutant.verdict, mutant.by, mutant.tried]) + "\n")
    if mutant.verdict == "survived" and mutant.tried:
        say(f"not noticed by {mutant.tried} tests: {mutant.number} {mutant.name}")


def try_all(mutants, tests, seconds, record):
    def one(mutant):
        try_mutant(mutant, chosen([test for test in tests if mutant.function.number in test.reached], seconds), record)

    at_once(one, [mutant for mutant in mutants if mutant.verdict in (None, "survived")])


def try_libraries(mutants, targets, prefix, seconds, copy, record):
    """Tries mutants on all tests of their own library that reach them; returns all tests of the libraries."""
    tests = []
    for program in list(executables(copy, *targets)):
        tests += trace(program, prefix)
        try_all([m for m in mutants if m.function.package == program[0]], [test for test in tests if test.package == program[0]], seconds, record)
    return tests


def try_others(mutants, tests, copy, record):
    """Tries what is left on tests outside of the libraries, then on those of the libraries above."""
    for program in list(executables(copy, *(f"--test={name}" for names in OTHERS.values() for name in names))):
        tests += trace(program)
        try_all(mutants, [test for test in tests if test.program == program[2]], SECONDS_OF_OTHERS, record)
    for crate in CRATES.values():
        try_all([m for m in mutants if m.function.package == crate], [test for test in tests if test.kind == "lib" and test.package != crate],
                SECONDS_OF_OTHERS, record)


def arguments():
    words = argparse.ArgumentParser(prog="ops/mutants")
    which = words.add_mutually_exclusive_group(required=True)
    which.add_argument("--draw", type=int, metavar="N", help="functions outside of the state machine")
    which.add_argument("--state", action="store_true", help="all functions of the state machine")
    words.add_argument("--seed", default="1")
    words.add_argument("--values-only", action="store_true", help="only mutants that replace a whole body")
    words.add_argument("--again", action="store_true", help="keep what an earlier run caught; try the rest")
    words.add_argument("--only", metavar="REGEX", default="", help="try only mutants whose name contains this")
    words.add_argument("--skip", metavar="REGEX", help="leave these tests out, such as the longest")
    words.add_argument("--at-once", type=int, default=AT_ONCE, metavar="N", help=f"tests at a time; {AT_ONCE} without it")
    words.add_argument("--seconds", type=float, default=1e9, metavar="N", help="tests of the own library for each mutant; all without it")
    return words.parse_args()


def report(functions, mutants, tests):
    count = collections.Counter(mutant.verdict or "not tried" for mutant in mutants)
    print(f"{functions} functions, {len(mutants)} mutants, {len(tests)} tests: " + ", ".join(f"{count[verdict]} {verdict}" for verdict in sorted(count)))
    for mutant in mutants:
        if mutant.verdict == "survived":
            print(f"{mutant.number} {mutant.name}: " + (f"{mutant.tried} tests" if mutant.tried else "no test reaches it"))


def main():
    global AT_ONCE, SKIPPED
    words = arguments()
    AT_ONCE, SKIPPED = words.at_once, words.skip and re.compile(words.skip)
    folder = Path("target/drawn-mutants").resolve()
    # One folder for each kind of run: the copies differ, and so do their verdicts.
    folder = folder / ("state" if words.state else "drawn")
    copy, record, sources = folder / "copy", folder / "verdicts.jsonl", {}
    listed = subprocess.run(["cargo", "mutants", "--list", "--json", "--workspace"], check=True, capture_output=True, text=True).stdout
    listed = [m for m in json.loads(listed) if m["genre"] == "FnValue" or not words.values_only]
    drawn = of_the_state(listed, sources) if words.state else draw(listed, words.draw, words.seed, sources)
    mutants = [mutant for function in drawn for mutant in function.mutants]
    say(f"{len(drawn)} functions with {len(mutants)} mutants")
    targets = ["--lib", "--package", "twm-raft"] if words.state else ["--lib"]
    remove_what_does_not_compile(copy, copy_sources(copy), drawn, sources, targets)
    earlier = [json.loads(line) for line in record.read_text().splitlines()] if words.again and record.exists() else []
    caught = {key: (verdict, by, tried) for key, verdict, by, tried in earlier if verdict != "survived"}
    record.write_text("".join(json.dumps([key, *rest]) + "\n" for key, rest in caught.items()))
    for mutant in mutants:
        mutant.verdict, mutant.by, mutant.tried = caught.get(mutant.key, (None if mutant.viable else "unviable", mutant.by, 0))
    tried = [mutant for mutant in mutants if re.search(words.only, mutant.name)]
    tests = try_libraries(tried, targets, "state::" if words.state else "", words.seconds, copy, record)
    if not words.state:
        try_others(tried, tests, copy, record)
    report(len(drawn), mutants, tests)


if __name__ == "__main__":
    os.nice(max(0, NICENESS - os.nice(0)))
    main()
