//! Pages, gone accounts and limits.

use std::sync::Arc;
use std::time::Duration;

use storage::env::ManualClock;
use twm_tests::emulator::x::{Wording, XEndpoint};

use super::{ask, double, ids, json, pages, prolific, try_ask};

#[tokio::test]
async fn pages_of_every_size_hold_each_post_and_each_follower_once() {
    let double = double().start().await.unwrap();
    for user in double.users(0, 6) {
        for size in [5, 7, 100] {
            let (posts, _) = pages(&double, &format!("/2/users/{user}/tweets?max_results={size}")).await;
            assert_eq!(ids(&posts), double.expected_posts(user), "user {user}, pages of {size}");
        }
        for size in [1, 3, 1000] {
            let path = format!("/2/users/{user}/followers?max_results={size}");
            let (followers, _) = pages(&double, &path).await;
            assert_eq!(ids(&followers), double.expected_followers(user), "user {user}, pages of {size}");
        }
    }
}

#[tokio::test]
async fn since_and_until_are_exclusive() {
    let double = double().start().await.unwrap();
    let user = prolific(&double);
    let all = double.expected_posts(user);
    let path = format!("/2/users/{user}/tweets?max_results=100&since_id={}&until_id={}", all[4], all[1]);
    let page = json(&double, &path).await;
    assert_eq!(ids(page["data"].as_array().unwrap()), all[2..4]);
    assert_eq!(
        (&page["meta"]["newest_id"], &page["meta"]["oldest_id"]),
        (&all[2].to_string().into(), &all[3].to_string().into())
    );
    let nothing = json(&double, &format!("/2/users/{user}/tweets?since_id={}", all[0])).await;
    assert_eq!(nothing, serde_json::json!({"meta": {"result_count": 0}}));
}

#[tokio::test]
async fn what_is_excluded_makes_pages_short_and_they_go_on() {
    let double = double().start().await.unwrap();
    let user = prolific(&double);
    let excluded = "exclude=retweets,replies&tweet.fields=referenced_tweets";
    let (posts, sizes) = pages(&double, &format!("/2/users/{user}/tweets?max_results=5&{excluded}")).await;
    assert!(posts.len() < double.expected_posts(user).len());
    assert!(sizes.iter().rev().skip(1).any(|size| *size < 5), "{sizes:?}");
    // Those that quote here also reply.
    assert!(posts.iter().all(|post| post.get("referenced_tweets").is_none()));
}

#[tokio::test]
async fn an_account_that_cannot_be_read_is_200_with_nothing_but_errors() {
    for host in ["api.x.com", "api.twitter.com"] {
        let double =
            double().protected([2]).suspended([3]).missing([4]).problem_host(host).start().await.unwrap();
        for (user, kind, title) in [
            (2, "not-authorized-for-resource", "Authorization Error"),
            (3, "resource-not-found", "Forbidden"),
            (4, "resource-not-found", "Not Found Error"),
        ] {
            for list in ["tweets", "followers"] {
                let answer = json(&double, &format!("/2/users/{user}/{list}")).await;
                assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
                let problem = &answer["errors"][0];
                assert_eq!(problem["type"], format!("https://{host}/2/problems/{kind}"));
                assert_eq!(
                    (&problem["title"], &problem["resource_id"]),
                    (&title.into(), &user.to_string().into())
                );
            }
        }
        let looked_up = json(&double, "/2/users?ids=2,3,4,5&user.fields=protected").await;
        assert_eq!(ids(looked_up["data"].as_array().unwrap()), [2, 5]);
        assert_eq!(looked_up["data"][0]["protected"], true);
        assert_eq!(looked_up["errors"].as_array().map(Vec::len), Some(2));
    }
}

#[tokio::test]
async fn each_app_and_endpoint_has_a_window_that_does_not_move() {
    let start = 1_790_000_000;
    let clock = Arc::new(ManualClock::at_wall(Duration::from_secs(start)));
    let builder = double().clock(Arc::clone(&clock) as Arc<_>);
    let double = builder.limit(XEndpoint::Posts, "2/15m".parse().unwrap()).start().await.unwrap();
    let reset = (start + 900).to_string();
    for (left, status) in [("1", 200), ("0", 200), ("0", 429)] {
        let answer = ask(&double, "/2/users/3/tweets").await;
        assert_eq!((answer.status, answer.header("x-rate-limit-remaining")), (status, Some(left)));
        assert_eq!(answer.header("x-rate-limit-limit"), Some("2"));
        assert_eq!(answer.header("x-rate-limit-reset"), Some(reset.as_str()));
        clock.advance(Duration::from_secs(200));
    }
    assert_eq!(try_ask(&double, "second", "/2/users/3/tweets").await.unwrap().status, 200);
    let other = ask(&double, "/2/users/3/followers").await;
    assert_eq!((other.status, other.header("x-rate-limit-reset")), (200, None));
    assert_eq!(other.header("date"), Some("Mon, 21 Sep 2026 14:23:20 GMT"));
    clock.advance(Duration::from_secs(300));
    assert_eq!(ask(&double, "/2/users/3/tweets").await.status, 200);
    assert_eq!((double.violations("one"), double.violations("two")), (1, 0));
    assert_eq!(double.requests("one", XEndpoint::Posts), 4);
    assert_eq!(try_ask(&double, "stolen", "/2/users/3/tweets").await.unwrap().status, 401);
}

#[tokio::test]
async fn the_two_wordings_differ_in_names_alone() {
    let tweets = double().start().await.unwrap();
    let posts = double().wording(Wording::Posts).start().await.unwrap();
    let user = prolific(&tweets);
    let path = |fields, expansion| {
        let fields = format!("{fields}.fields=public_metrics,lang");
        format!("/2/users/{user}/tweets?max_results=100&{fields}&expansions={expansion}")
    };
    let old = ask(&tweets, &path("tweet", "referenced_tweets.id")).await;
    let new = ask(&posts, &path("post", "referenced_posts")).await;
    let text = String::from_utf8(old.body.to_vec()).unwrap();
    assert!(text.contains("referenced_tweets") && text.contains("retweet_count"));
    let mut renamed: serde_json::Value = serde_json::from_str(
        &text
            .replace("referenced_tweets", "referenced_posts")
            .replace("edit_history_tweet_ids", "edit_history_post_ids")
            .replace("retweet_count", "repost_count"),
    )
    .unwrap();
    let included = renamed["includes"].as_object_mut().unwrap().remove("tweets").unwrap();
    renamed["includes"]["posts"] = included;
    assert_eq!(renamed, new.json());
}
