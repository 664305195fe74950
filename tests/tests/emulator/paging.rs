//! Pages join to exactly the expected data.

use std::collections::HashSet;

use serde_json::{Value, json};
use twm_tests::emulator::{Emulator, IdScheme, SyntheticOptions};

use super::client::{get, post};

pub async fn synthetic(options: SyntheticOptions) -> Emulator {
    Emulator::builder().synthetic(options).page_size(7).start().await.unwrap()
}

fn tweet_ids(page: &Value) -> Vec<u64> {
    page.as_array().unwrap().iter().map(|tweet| tweet["id"].as_u64().unwrap()).collect()
}

/// Walks a timeline as a crawler does: each page starts below the last tweet of the previous one.
pub async fn walk_timeline(emulator: &Emulator, user: u64) -> Vec<u64> {
    let url = format!("{}/1/statuses/user_timeline.json?count=200&user_id={user}", emulator.url());
    let mut all = tweet_ids(&get(&url).await.json());
    while let Some(last) = all.last() {
        let page = tweet_ids(&get(&format!("{url}&max_id={}", last - 1)).await.json());
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 200);
        all.extend(page);
    }
    all
}

pub async fn walk_followers(emulator: &Emulator, user: u64) -> Vec<u64> {
    let mut all = Vec::new();
    let mut cursor = "-1".to_owned();
    while cursor != "0" {
        let url = format!(
            "{}/1.1/followers/ids.json?user_id={user}&stringify_ids=true&cursor={cursor}",
            emulator.url()
        );
        let page = get(&url).await.json();
        all.extend(
            page["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().parse::<u64>().unwrap()),
        );
        assert_eq!(page["next_cursor"].to_string(), page["next_cursor_str"].as_str().unwrap());
        cursor = page["next_cursor_str"].as_str().unwrap().to_owned();
    }
    all
}

/// The account with the most tweets, so that the walk has several pages.
fn busiest(emulator: &Emulator) -> u64 {
    let users = emulator.users(0, u64::MAX);
    users.into_iter().max_by_key(|user| emulator.expected_timeline(*user).len()).unwrap()
}

#[tokio::test]
async fn pages_of_a_timeline_join_to_the_whole() {
    for ids in [IdScheme::Ascending, IdScheme::Hashed] {
        let emulator = synthetic(SyntheticOptions { ids, ..SyntheticOptions::new(100, 3) }).await;
        let busy = busiest(&emulator);
        let expected = emulator.expected_timeline(busy);
        assert!(expected.len() > 600, "{} tweets are not several pages", expected.len());
        assert_eq!(walk_timeline(&emulator, busy).await, expected);
        let quiet = emulator.users(0, 100).into_iter().find(|u| emulator.expected_timeline(*u).is_empty());
        assert!(walk_timeline(&emulator, quiet.unwrap()).await.is_empty());
    }
}

#[tokio::test]
async fn max_id_is_inclusive_and_since_id_exclusive() {
    let emulator = synthetic(SyntheticOptions::new(100, 3)).await;
    let user = busiest(&emulator);
    let ids = emulator.expected_timeline(user);
    let url = format!("{}/1.1/statuses/user_timeline.json?user_id={user}", emulator.url());
    let page = async |rest: String| tweet_ids(&get(&format!("{url}{rest}")).await.json());
    assert_eq!(page(String::new()).await, ids[..20]);
    assert_eq!(page("&count=1000".into()).await, ids[..200]);
    assert_eq!(page(format!("&count=3&max_id={}", ids[5])).await, ids[5..8]);
    assert_eq!(page(format!("&count=200&since_id={}", ids[5])).await, ids[..5]);
    assert_eq!(page(format!("&count=200&since_id={}&max_id={}", ids[9], ids[4])).await, ids[4..9]);
    assert!(page("&max_id=0".into()).await.is_empty());
    assert_eq!(get(&format!("{url}&max_id=-4")).await.status, 400);
    assert_eq!(get(&format!("{url}&count=many")).await.status, 400);
}

#[tokio::test]
async fn pages_of_followers_join_to_the_whole() {
    let options =
        SyntheticOptions { celebrity: Some(100), outside_percent: 10.0, ..SyntheticOptions::new(300, 2) };
    let emulator = synthetic(options).await;
    for user in emulator.users(0, 30) {
        let expected = emulator.expected_followers(user);
        let walked = walk_followers(&emulator, user).await;
        assert_eq!(walked, expected);
        assert_eq!(walked.iter().collect::<HashSet<_>>().len(), walked.len());
    }
    assert_eq!(emulator.expected_followers(1).len(), 100);
    let url = format!("{}/1/followers/ids.json?user_id=1", emulator.url());
    let page = get(&format!("{url}&count=2")).await.json();
    assert!(page["ids"][1].is_u64(), "without stringify_ids ids are numbers");
    assert_eq!(page["ids"].as_array().unwrap().len(), 2);
    assert_eq!(get(&format!("{url}&cursor=17")).await.status, 400);
}

#[tokio::test]
async fn a_lookup_drops_whom_nobody_knows() {
    let options = SyntheticOptions::new(300, 2);
    let emulator = Emulator::builder().synthetic(options).protected([8]).missing([9]).start().await.unwrap();
    let url = format!("{}/1.1/users/lookup.json", emulator.url());
    let name = |id| {
        let profile: Value = serde_json::from_str(&emulator.profile(id).unwrap()).unwrap();
        profile["screen_name"].as_str().unwrap().to_owned()
    };
    let form =
        format!("user_id=5,301,0,x,8,9,5&include_entities=f&screen_name={},nobody77", name(4).to_uppercase());
    let found = post(&url, &form).await.json();
    let ids: Vec<_> = found.as_array().unwrap().iter().map(|user| user["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [5, 8, 4]);
    assert_eq!(found[1]["protected"], true);
    assert_eq!(found[0], serde_json::from_str::<Value>(&emulator.profile(5).unwrap()).unwrap());
    assert_eq!(get(&format!("{url}?user_id=5")).await.json()[0], found[0]);
    assert_eq!(get(&format!("{url}?user_id=9,301")).await.json(), json!([]));

    let many = |n: u64| (1..=n).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(post(&url, &format!("user_id={}", many(100))).await.json().as_array().unwrap().len(), 99);
    assert_eq!(post(&url, &format!("user_id={}", many(101))).await.status, 403);
    assert_eq!(post(&url, "").await.status, 400);
}

#[tokio::test]
async fn accounts_that_are_gone_say_so() {
    let options = SyntheticOptions::new(300, 2);
    let emulator = Emulator::builder().synthetic(options).protected([8]).missing([9]).start().await.unwrap();
    for (user, status) in [(8, 401), (9, 404), (301, 404)] {
        for path in ["1/statuses/user_timeline.json", "1.1/followers/ids.json"] {
            let reply = get(&format!("{}/{path}?user_id={user}", emulator.url())).await;
            assert_eq!(reply.status, status, "{path} of {user}");
            assert!(reply.json().is_object());
        }
        assert!(emulator.expected_timeline(user).is_empty());
        assert!(emulator.expected_followers(user).is_empty());
    }
    let show = async |id: u64| get(&format!("{}/1.1/users/show.json?user_id={id}", emulator.url())).await;
    assert_eq!(show(7).await.json()["id"], 7);
    assert_eq!(show(8).await.json()["protected"], true);
    assert_eq!(show(9).await.status, 404);
    assert_eq!(emulator.profile(9), None);
}

#[tokio::test]
async fn a_share_of_all_accounts_can_be_gone() {
    let builder = Emulator::builder().synthetic(SyntheticOptions::new(2000, 2)).gone_percent(10.0, 5.0);
    let emulator = builder.start().await.unwrap();
    let profiles: Vec<_> = emulator.users(0, 2000).into_iter().map(|id| emulator.profile(id)).collect();
    let missing = profiles.iter().filter(|profile| profile.is_none()).count();
    let protected = profiles.iter().flatten().filter(|p| p.contains("\"protected\":true")).count();
    assert!((60..140).contains(&missing), "{missing} missing");
    assert!((140..260).contains(&protected), "{protected} protected");
}

#[tokio::test]
async fn tests_in_other_processes_get_the_truth_too() {
    let options = SyntheticOptions { celebrity: Some(25_000), ..SyntheticOptions::new(30_000, 3) };
    let emulator = synthetic(options).await;
    let ask = async |path: &str| get(&format!("{}/_emulator/{path}", emulator.url())).await;
    assert_eq!(ask("users?limit=3&offset=5").await.lines(), emulator.users(5, 3));
    assert_eq!(ask("users").await.lines().len(), 30_000);
    assert_eq!(ask("expected/followers/1").await.lines(), emulator.expected_followers(1));
    let busy =
        emulator.users(0, 100).into_iter().max_by_key(|u| emulator.expected_timeline(*u).len()).unwrap();
    assert_eq!(ask(&format!("expected/timeline/{busy}")).await.lines(), emulator.expected_timeline(busy));
    assert_eq!(ask("profile/3").await.json()["id"], 3);
    for nothing in ["expected/timeline/30001", "expected/likes/1", "users/1", "nothing", "users?limit=x"] {
        assert!(ask(nothing).await.status >= 400, "{nothing}");
    }
}
