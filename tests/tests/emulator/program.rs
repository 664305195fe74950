//! The emulator as a process.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use twm_tests::emulator::{Emulator, SyntheticOptions};

use super::client::{DEADLINE, get, try_get_with};

fn program(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twm-emulator"));
    command.args(arguments.split_whitespace()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn it_says_where_it_listens_and_serves_there() {
    let arguments = "--synthetic 50 --seed 4 --listen 127.0.0.1:0 --rate-limit timeline=1/900s --headers v1 \
                     --limited-status 420 --faults status=500,endpoint=followers --protected 7 --count-users";
    let mut child = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, output.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap();
    let timeline = format!("{url}/1.1/statuses/user_timeline.json?user_id=3");
    assert_eq!(get(&timeline).await.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(get(&timeline).await.status, 420);
    assert_eq!(get(&format!("{url}/1/followers/ids.json?user_id=3")).await.status, 500);
    assert_eq!(get(&format!("{url}/1/users/show.json?user_id=7")).await.json()["protected"], true);
    assert_eq!(get(&format!("{url}/_emulator/stats")).await.json()["users"]["timeline"]["3"], 2);
}

#[tokio::test]
async fn it_serves_many_hosts_of_mastodon() {
    let arguments = "--mastodon 3 --mastodon-accounts 2 --mastodon-kinds 2=token --listen 127.0.0.1:0";
    let mut child = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, output.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap();
    let accounts = get(&format!("{url}/_emulator/accounts")).await;
    let accounts = String::from_utf8(accounts.body.to_vec()).unwrap();
    assert_eq!(accounts.lines().count(), 6);
    let expected = format!("{url}/_emulator/expected/timeline/{}", accounts.lines().next().unwrap());
    assert_eq!(get(&expected).await.status, 200);
    let lookup = format!("{url}/api/v1/accounts/lookup?acct=nobody");
    let answer = try_get_with(&lookup, &[("host", "h2.test")]).await.unwrap();
    assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (401, Some("300")));
    assert_eq!(get(&format!("{url}/_emulator/stats")).await.json()["hosts"]["h2.test"], 1);
}

#[tokio::test]
async fn it_serves_the_x_api_to_apps_with_tokens() {
    let arguments =
        "--synthetic 9 --seed 4 --x main=secret,other=key --x-cycle 60 --missing 3 --listen 127.0.0.1:0";
    let mut child = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(DEADLINE, output.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.strip_prefix("listening on ").unwrap();
    let users = format!("{url}/2/users?ids=1,2,3");
    let answer = try_get_with(&users, &[("authorization", "Bearer secret")]).await.unwrap();
    assert_eq!((answer.status, answer.json()["data"].as_array().unwrap().len()), (200, 2));
    assert_eq!(get(&users).await.status, 401);
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let bill = timeout(DEADLINE, output.next_line()).await.unwrap().unwrap().unwrap();
    assert_eq!(bill, "app main: 0 posts, 2 users, 0 followers: 0.02 dollars in all");
    assert!(!program("--x main=secret").status().await.unwrap().success(), "without a population");
}

#[tokio::test]
async fn what_it_exports_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().to_str().unwrap();
    let arguments =
        format!("--synthetic 40 --seed 4 --tweets-mean 20 --protected 7 --missing 8 --export {export}");
    assert!(program(&arguments).status().await.unwrap().success());
    let options = SyntheticOptions { tweets_mean: 20.0, ..SyntheticOptions::new(40, 4) };
    let made = Emulator::builder().synthetic(options).protected([7]).missing([8]).start().await.unwrap();
    let read = Emulator::builder().dataset(folder.path()).start().await.unwrap();
    assert_eq!(read.users(0, 99), made.users(0, 99));
    for user in made.users(0, 99) {
        assert_eq!(read.expected_timeline(user), made.expected_timeline(user));
        assert_eq!(read.expected_followers(user), made.expected_followers(user));
        assert_eq!(read.profile(user), made.profile(user));
    }
    assert_eq!(std::fs::read_to_string(folder.path().join("gone")).unwrap(), "7 401\n8 404\n");
}

#[tokio::test]
async fn it_says_what_is_wrong() {
    for (arguments, complaint) in [
        ("", "--dataset"),
        ("--synthetic 0", "between 1 and 2^48"),
        ("--dataset /no/such/folder", "/no/such/folder"),
        ("--synthetic 5 --rate-limit timeline", "ENDPOINT=REQUESTS/WINDOW"),
        ("--synthetic 5 --faults explode", "explode"),
        ("--synthetic 5 --limited-status 200", "--limited-status"),
        ("--synthetic 5 --protected 1 --missing 1", "both protected and missing"),
        ("--synthetic 5 --listen 192.0.2.1:1", "192.0.2.1:1"),
        ("--mastodon 3 --synthetic 5", "cannot be used with"),
        ("--mastodon 3 --mastodon-kinds 1=broken", "choose among open"),
        ("--mastodon 3 --mastodon-kinds 4=hang --listen 127.0.0.1:0", "host 4 has a kind"),
    ] {
        let output = timeout(DEADLINE, program(arguments).output()).await.unwrap().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(complaint), "{arguments}: {error}");
    }
}
