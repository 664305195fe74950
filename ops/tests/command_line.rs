//! `twm-ctl` as a process: exit codes, and the output on each stream.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn ctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twm-ctl"));
    command.env_remove("TWM_ENDPOINTS").env_remove("TWM_TIMEOUT").args(args);
    command.stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    ctl(args).output().unwrap()
}

/// An address on which no process listens.
fn closed_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_cluster_that_cannot_be_reached_is_exit_code_4() {
    let endpoint = closed_endpoint();
    for command in
        [&["status"][..], &["crawl", "list"], &["workers"], &["leader", "show"], &["errors", "list", "1"]]
    {
        let output = run(&[&["--endpoints", &endpoint, "--timeout", "0.3"], command].concat());
        assert_eq!(output.status.code(), Some(4), "{command:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{command:?}");
        let message = stderr(&output);
        assert!(message.contains(&endpoint) && message.contains("--endpoints"), "{message}");
    }
}

#[test]
fn the_environment_names_the_endpoints_and_the_flag_wins() {
    let (from_environment, from_flag) = (closed_endpoint(), closed_endpoint());
    let by_environment =
        ctl(&["status", "--timeout", "0.2"]).env("TWM_ENDPOINTS", &from_environment).output().unwrap();
    assert!(stderr(&by_environment).contains(&from_environment));
    let by_flag = ctl(&["status", "--timeout", "0.2", "--endpoints", &from_flag])
        .env("TWM_ENDPOINTS", &from_environment)
        .output()
        .unwrap();
    let message = stderr(&by_flag);
    assert!(message.contains(&from_flag) && !message.contains(&from_environment), "{message}");
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    for command in [
        &["no-such-command"][..],
        &["status", "--no-such-flag"],
        &["status", "--endpoints", "no-port"],
        &["status", "--timeout", "0"],
        &["crawl", "show", "x"],
        &["submit"],
        &["submit", "list", "--traverse", "sideways"],
        &["submit", "-", "--seeds", "-"],
        &["errors", "retry", "1", "--user", "@jack"],
        &[],
    ] {
        let output = run(command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{command:?}");
    }
}

#[test]
fn help_and_completions_go_to_standard_output() {
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("submit"));
    let completions = run(&["completions", "bash"]);
    assert!(completions.status.success() && String::from_utf8_lossy(&completions.stdout).contains("twm-ctl"));
}

#[test]
fn a_list_without_an_account_fails_and_names_its_bad_lines() {
    let mut child = ctl(&["submit", "-", "--endpoints", &closed_endpoint()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut list = "# comment\n".to_owned();
    list.extend((0..30).map(|_| "-5\n"));
    child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("standard input:2: ") && message.contains("standard input:21: "), "{message}");
    assert!(!message.contains("standard input:22: ") && message.contains("10 more bad lines"), "{message}");
    assert!(message.contains("30 bad lines") && message.contains("nothing was submitted"), "{message}");
}

#[test]
fn a_list_that_is_missing_is_named() {
    let output = run(&["submit", "/nowhere/list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere/list"));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child =
        ctl(&["completions", "zsh"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn whole_timelines_and_updates_in_one_crawl_are_refused_before_a_node_is_asked() {
    let output = run(&["submit", "-", "-T", "-U", "--endpoints", &closed_endpoint()]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("'--timeline' cannot be used with '--update'"), "{said}");
}
