//! `twm-node` as a process: exit codes, start and stop.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test's way to fail")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use storage::env::{Clock, SystemClock};

/// Timeout of every wait in a test.
const PATIENCE: Duration = Duration::from_secs(20);

fn node(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twm-node"));
    command.current_dir(folder).env_clear().args(arguments).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = node(folder, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// A running node. Killed when dropped.
struct Running {
    process: Child,
    http: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Running {
    /// Starts a single node on free ports and waits until it logs the address of its HTTP port.
    fn start(folder: &Path, listen: &str) -> Self {
        let arguments = ["--http", "127.0.0.1:0", "--listen", listen, "--log-format", "json"];
        let mut process = node(folder, &arguments).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(process.stderr.take().unwrap());
        let mut lines =
            log.lines().map(|line| serde_json::from_str::<serde_json::Value>(&line.unwrap()).unwrap());
        let runs = lines.find(|line| line["message"] == "node runs").expect("the node runs");
        // Drain the rest of the log, so that the pipe does not fill up.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, http: runs["http"].as_str().unwrap().to_owned() }
    }

    /// The status line and body of a page.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) -> Option<i32> {
        let pid = Pid::from_raw(self.process.id() as i32).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        self.process.wait().unwrap().code()
    }
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn settings_are_checked_without_a_start() {
    let temp = tempfile::tempdir().unwrap();
    let (code, stdout, stderr) = run(temp.path(), &["--check-config", "--workers", "5"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(
        stdout.lines().any(|line| line.starts_with("workers = \"5\"") && line.ends_with("# flag --workers"))
    );
    let (code, stdout, stderr) = run(temp.path(), &["--check-config", "--workers", "many", "--ips", "x"]);
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    assert!(stderr.contains("workers (flag --workers)") && stderr.contains("ips (flag --ips)"), "{stderr}");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "nothing is made");
    assert_eq!(run(temp.path(), &["--help"]).0, Some(0));
    assert_eq!(run(temp.path(), &["--nonsense"]).0, Some(2));
}

#[test]
fn sources_are_read_from_the_settings_file_and_each_mistake_in_them_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        std::fs::write(temp.path().join("node.toml"), text).unwrap();
        run(temp.path(), &["--check-config", "--config", "node.toml"])
    };
    std::fs::write(temp.path().join("h.token"), "very-secret\n").unwrap();
    let (code, stdout, stderr) = check(
        "[source.fedi]\nkind = \"mastodon\"\ncontact = \"me@example.org\"\ntoken-files = { \"h.example\" = \"h.token\" }\n\
         [source.sky]\nkind = \"bluesky\"\ncontact = \"https://example.org/crawl\"\nrepository-limit-mib = 64\n\
         host-gone-after = \"90m\"\n",
    );
    assert_eq!(code, Some(0), "{stderr}");
    assert!(
        stdout.contains("[source.fedi]\nkind = \"mastodon\"") && stdout.contains("repository-limit-mib = 64"),
        "{stdout}"
    );
    assert!(stdout.contains("host-gone-after = \"1h 30m\""), "{stdout}");
    assert!(!stdout.contains("very-secret"), "{stdout}");
    for (text, said) in [
        ("source = 1", "write [source.NAME]"),
        ("[source.a]\nkind = \"mastodon\"", "[source.a]: \"a\" is no name of a source"),
        ("[source.twitter]\nkind = \"twitter\"", "that is the source of --api-url"),
        ("[source.sky]\nkind = \"skynet\"", "the kinds are bluesky, mastodon, twitter and x"),
        ("[source.sky]\ncontact = \"x\"", "kind is missing"),
        ("[source.sky]\nkind = \"bluesky\"", "[source.sky]: contact is missing"),
        ("[source.sky]\nkind = \"bluesky\"\ncontact = \"nobody\"", "give one by which you can be reached"),
        (
            "[source.sky]\nkind = \"bluesky\"\ncontact = \"a@b\"\nplcc = \"x\"",
            "there is no key \"plcc\" for the kind bluesky",
        ),
        (
            "[source.sky]\nkind = \"bluesky\"\ncontact = \"a@b\"\nrepository-limit-mib = 0",
            "give a number from 1 to 65536",
        ),
        (
            "[source.fedi]\nkind = \"mastodon\"\ncontact = \"a@b\"\ntoken-files = { \"h\" = \"absent\" }",
            "token-files.h: ",
        ),
        ("[source.old]\nkind = \"twitter\"\napi-url = \"ftp://x\"", "[source.old]: api-url: "),
        (
            "[source.sky]\nkind = \"bluesky\"\ncontact = \"a@b\"\nhost-gone-after = \"0s\"",
            "host-gone-after: 0s is out of bounds",
        ),
        (
            "[source.old]\nkind = \"twitter\"\napi-url = \"http://x/1/\"\nhost-gone-after = \"1h\"",
            "there is no key \"host-gone-after\" for the kind twitter",
        ),
    ] {
        let (code, _, stderr) = check(text);
        assert!(code == Some(2) && stderr.contains(said), "{text}\nexit {code:?}: {stderr}");
    }
}

#[test]
fn apps_that_cost_money_are_read_from_the_settings_file_and_each_mistake_in_them_is_named() {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("main.token"), "AAAA%2Fsecret\n").unwrap();
    std::fs::write(temp.path().join("bad.token"), "two words\n").unwrap();
    let check = |text: &str| {
        std::fs::write(temp.path().join("node.toml"), text).unwrap();
        run(temp.path(), &["--check-config", "--config", "node.toml"])
    };
    let source = "[source.net]\nkind = \"x\"\ncontact = \"me@example.org\"\n";
    let app = "[source.net.apps.main]\ntoken-file = \"main.token\"\nlimit = \"99.50\"\ncycle-day = 12\n";
    let (code, stdout, stderr) = check(&format!(
        "{source}posts-page = 50\nprices = {{ post = \"0.004\" }}\npost-expansions = [\"author_id\"]\n{app}"
    ));
    assert_eq!(code, Some(0), "{stderr}");
    for line in
        ["post = \"0.004\"", "apps.main.limit = \"99.50\"", "apps.main.cycle-day = 12", "posts-page = 50"]
    {
        assert!(stdout.contains(line), "{line}: {stdout}");
    }
    assert!(!stdout.contains("secret"), "{stdout}");
    let with = |more: &str| format!("{source}{more}\n{app}");
    let of_app = |lines: &str| format!("{source}[source.net.apps.main]\n{lines}");
    let token = "token-file = \"main.token\"\n";
    for (text, said) in [
        (source.to_owned(), "[source.net]: apps is missing; write [source.NAME.apps.APP]"),
        (format!("[source.net]\nkind = \"x\"\n{app}"), "[source.net]: contact is missing"),
        (with("api-url = \"http://api.x.com/2/\""), "tokens and money do not travel without TLS"),
        (with("wording = \"old\""), "wording: \"old\" was given; give tweets or posts"),
        (with("prices = { post = 0.005 }"), "prices.post: a float was given; give a text such as"),
        (with("prices = { like = \"1\" }"), "prices.like: only post, user and follower have a price"),
        (with("post-expansions = [\"entities.mentions.username\"]"), "nothing bounds what it adds"),
        (with("posts-page = 101"), "a page cannot have 101 posts; choose from 5 to 100"),
        (with("exclude = [\"likes\"]"), "exclude takes replies and retweets"),
        (with("pages = 3"), "there is no key \"pages\" for the kind x"),
        (of_app("limit = 5\ncycle-day = 1"), "apps.main: token-file is missing"),
        (of_app("token-file = \"absent\"\nlimit = 5\ncycle-day = 1"), "check the path and its permissions"),
        (
            of_app("token-file = \"bad.token\"\nlimit = 5\ncycle-day = 1"),
            "the token of the app main is empty or has",
        ),
        (of_app(&format!("{token}cycle-day = 1")), "apps.main: limit is missing"),
        (of_app(&format!("{token}limit = \"5 dollars\"\ncycle-day = 1")), "no amount of money"),
        (of_app(&format!("{token}limit = 5")), "apps.main: cycle-day is missing"),
        (of_app(&format!("{token}limit = 5\ncycle-day = 31")), "cycle-day: give a number from 1 to 28"),
        (of_app(&format!("{token}limit = 5\ncycle-day = 1\ncycle-seconds = 9")), "give one of them"),
        (
            of_app(&format!("{token}limit = 5\ncycle-day = 1\nlimits = 5")),
            "there is no key \"limits\" for an app",
        ),
        (
            format!("{}{}", with(""), with("").replace("source.net", "source.other").replace("99.50", "98")),
            "say different things about the app main",
        ),
    ] {
        let (code, _, stderr) = check(&text);
        assert!(code == Some(2) && stderr.contains(said), "{text}\nexit {code:?}: {stderr}");
    }
}

#[test]
fn a_node_alone_starts_becomes_ready_and_stops_when_told() {
    let temp = tempfile::tempdir().unwrap();
    let listen = free_port();
    for _start_and_restart in 0..2 {
        let node = Running::start(temp.path(), &listen);
        assert!(node.get("/livez").starts_with("HTTP/1.1 200"));
        let clock = SystemClock::new();
        while !node.get("/readyz").starts_with("HTTP/1.1 200") {
            assert!(clock.monotonic() < PATIENCE, "{}", node.get("/readyz"));
        }
        assert!(node.get("/metrics").contains("twm_raft_role{role=\"leader\"} 1"));
        assert_eq!(node.stop(), Some(0));
    }
    assert!(temp.path().join("twm-data-1").is_dir() && temp.path().join("twm-dataset").is_dir());
}

#[test]
fn what_keeps_a_node_from_starting_is_said_with_the_way_out() {
    let temp = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let (code, _, stderr) = run(temp.path(), &["--http", &taken]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&taken) && stderr.contains("--http 127.0.0.1:0"), "{stderr}");

    let (code, _, stderr) = run(temp.path(), &["--http", "127.0.0.1:0", "--listen", &taken]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&taken) && stderr.contains("--listen"), "{stderr}");

    let node = Running::start(temp.path(), &free_port());
    let (code, _, stderr) = run(temp.path(), &["--http", "127.0.0.1:0", "--listen", &free_port()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("another node runs there"), "{stderr}");
    drop(node);
}
