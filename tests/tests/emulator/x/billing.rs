//! What apps are charged, and how accounts over their limit are refused.

use std::sync::Arc;
use std::time::Duration;

use storage::env::ManualClock;
use twm_tests::emulator::x::{Bill, Billing, Overdraft, Prices, XFault};

use super::{ask, double, json, try_ask};

/// Everything that an answer holds and that costs something.
fn charged(answer: &serde_json::Value, kind: &str) -> Bill {
    let count = |value: &serde_json::Value| value.as_array().map_or(0, |items| items.len() as u64);
    let (data, included) = (count(&answer["data"]), &answer["includes"]);
    let mut bill = Bill { posts: count(&included["tweets"]), users: count(&included["users"]), followers: 0 };
    match kind {
        "tweets" => bill.posts += data,
        "followers" => bill.followers += data,
        _ => bill.users += data,
    }
    bill
}

#[tokio::test]
async fn each_object_in_data_and_includes_is_charged_and_refusals_are_not() {
    let double = double().missing([9]).start().await.unwrap();
    let mut expected = Bill::default();
    let all = "expansions=author_id,referenced_tweets.id,referenced_tweets.id.author_id";
    for user in 1..=9 {
        let answer = json(&double, &format!("/2/users/{user}/tweets?max_results=100&{all}")).await;
        expected.add(charged(&answer, "tweets"));
        let answer = json(&double, &format!("/2/users/{user}/followers?expansions=pinned_tweet_id")).await;
        expected.add(charged(&answer, "followers"));
    }
    let answer = json(&double, "/2/users?ids=1,2,9").await;
    expected.add(charged(&answer, "users"));
    assert_eq!(ask(&double, "/2/users/1/tweets?max_results=1").await.status, 400);
    assert!(expected.posts > 0 && expected.users > 0 && expected.followers > 0);
    assert_eq!(double.bill("one", None), expected);
    assert_eq!(double.bill("two", None), Bill::default());
    assert_eq!(double.bill("one", Some(double.cycle())), expected);
}

#[tokio::test]
async fn an_answer_that_is_lost_is_charged_all_the_same() {
    let double = double().start().await.unwrap();
    let path = "/2/users/1/followers?max_results=2";
    double.plan_faults([Some(XFault::LoseAnswer), Some(XFault::CutShort), Some(XFault::Unavailable)]);
    assert!(try_ask(&double, "first", path).await.is_err());
    assert!(try_ask(&double, "first", path).await.is_err());
    assert_eq!(ask(&double, path).await.status, 503);
    assert_eq!(double.bill("one", None).followers, 4);
    assert_eq!(ask(&double, path).await.status, 200);
    assert_eq!(double.bill("one", None).followers, 6);
}

#[tokio::test]
async fn the_request_that_crosses_the_limit_is_charged_whole_and_the_next_is_refused_until_the_cycle_turns() {
    for (overdraft, status, title) in [
        (Overdraft::Credits, 402, "CreditsDepleted"),
        (Overdraft::SpendCap, 403, "SpendCapReached"),
        (Overdraft::UsageCap, 429, "UsageCapExceeded"),
    ] {
        let clock = Arc::new(ManualClock::at_wall(Duration::from_secs(1_000 * 3600 + 3590)));
        let prices = Prices { post: 1, user: 1, follower: 10 };
        let cycle = Duration::from_secs(3600);
        let billing = Billing { prices, limit: Some(45), cycle, overdraft, ..Billing::default() };
        let double = double().billing(billing).clock(Arc::clone(&clock) as Arc<_>).start().await.unwrap();
        let path = "/2/users/1/followers?max_results=3";
        assert_eq!(ask(&double, path).await.status, 200);
        assert_eq!(try_ask(&double, "second", path).await.unwrap().status, 200);
        assert_eq!(double.bill("one", Some(1000)).micros(&prices), 30);
        let refused = ask(&double, path).await;
        assert_eq!((refused.status, refused.json()["title"].as_str()), (status, Some(title)));
        if overdraft == Overdraft::SpendCap {
            assert_eq!(refused.json()["reset_date"], "1970-02-11");
        }
        clock.advance(Duration::from_secs(10));
        assert_eq!(ask(&double, path).await.status, 200);
        assert_eq!(double.bill("one", Some(1001)).followers, 3);
    }
}

#[tokio::test]
async fn with_deduplication_an_object_is_charged_once_in_a_day() {
    let clock = Arc::new(ManualClock::at_wall(Duration::from_secs(500 * 86_400 - 10)));
    let billing = Billing { daily_deduplication: true, ..Billing::default() };
    let double = double().billing(billing).clock(Arc::clone(&clock) as Arc<_>).start().await.unwrap();
    let path = "/2/users/1/followers?max_results=2";
    ask(&double, path).await;
    ask(&double, path).await;
    assert_eq!(double.bill("one", None).followers, 2);
    clock.advance(Duration::from_secs(10));
    ask(&double, path).await;
    assert_eq!(double.bill("one", None).followers, 4);
}
