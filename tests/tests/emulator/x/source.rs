//! The crawler's source against the double, through real connections.

use std::collections::BTreeSet;
use std::sync::Arc;

use node::http_client::{ClientTls, HttpClient, HttpSettings};
use node::source::x::{Prices, Terms, Wording, XApp, XSettings, XSource};
use node::source::{Answer, Endpoint, GoneReason, Source, SourceError};
use serde_json::Value;
use storage::env::SystemClock;
use storage::ids::UserId;
use twm_tests::emulator::x::{Overdraft, Wording as Spoken, XEmulator, XFault};

use super::{double, json, prolific};

pub fn via() -> HttpClient {
    let settings = HttpSettings { request_timeout: super::DEADLINE, ..HttpSettings::default() };
    HttpClient::new(None, &settings, &ClientTls::new().unwrap(), Arc::new(SystemClock::new())).unwrap()
}

pub fn settings(double: &XEmulator) -> XSettings {
    let apps = vec![XApp::new("one", "first").unwrap(), XApp::new("two", "second").unwrap()];
    XSettings { base_url: format!("{}/2/", double.url()), ..XSettings::new(apps) }
}

fn source(double: &XEmulator) -> XSource {
    XSource::new(settings(double)).unwrap()
}

/// What the double has charged both apps.
fn billed(double: &XEmulator) -> u64 {
    let prices = double.billing().prices;
    ["one", "two"].iter().map(|app| double.bill(app, None).micros(&prices)).sum()
}

fn list(names: &str) -> Vec<String> {
    names.split(',').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_walk_finds_each_post_and_follower_once_and_its_cost_is_what_was_charged() {
    let double = double().start().await.unwrap();
    let (source, via, mut cost) = (source(&double), via(), 0);
    for user in double.users(0, 8) {
        let id = UserId::Number(user);
        for size in [5, 100] {
            let (mut posts, mut cursor) = (Vec::new(), None::<String>);
            loop {
                let terms = Terms { size, ..source.terms(Endpoint::Timeline, Some(&id)) };
                let answer = source.posts(&via, &id, cursor.as_deref(), None, terms).await;
                cost += answer.cost;
                let page = answer.outcome.unwrap();
                posts.extend(page.posts().map(|(id, _)| id.to_string().parse::<u64>().unwrap()));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(posts, double.expected_posts(user), "user {user}, pages of {size}");
        }
        let answer = source.followers_page(&via, &id, None).await;
        cost += answer.cost;
        let page = answer.outcome.unwrap();
        let expected: Vec<UserId> = double.expected_followers(user).into_iter().map(UserId::Number).collect();
        assert_eq!((page.ids, page.next), (expected, None));
        assert!(page.profiles.iter().all(|profile| profile.screen_name.is_some()));
    }
    assert!(cost > 0);
    assert_eq!(cost, billed(&double));
    assert!(double.bill("one", None).posts > 0 && double.bill("two", None).posts > 0, "both apps work");
}

#[tokio::test]
async fn an_update_goes_down_to_the_newest_saved_post() {
    let double = double().start().await.unwrap();
    let user = prolific(&double);
    let all = double.expected_posts(user);
    let (source, id, since) = (source(&double), UserId::Number(user), all[3].to_string());
    let page = source.timeline_page(&via(), &id, None, Some(&since)).await.outcome.unwrap();
    let found: Vec<String> = page.posts().map(|(id, _)| id.to_string()).collect();
    assert_eq!(found, all[..3].iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(page.next, None);
}

#[tokio::test]
async fn each_line_is_the_object_as_it_came_with_the_parts_that_it_names() {
    for (spoken, wording, expansions, references, included) in [
        (
            Spoken::Tweets,
            Wording::Tweets,
            "author_id,in_reply_to_user_id,referenced_tweets.id,referenced_tweets.id.author_id,attachments.media_keys,geo.place_id",
            "referenced_tweets",
            "tweets",
        ),
        (
            Spoken::Posts,
            Wording::Posts,
            "author_id,in_reply_to_user_id,referenced_posts,attachments.media_keys,geo.place_id",
            "referenced_posts",
            "posts",
        ),
    ] {
        let double = double().wording(spoken).start().await.unwrap();
        let user = prolific(&double);
        let base = settings(&double);
        let base = if wording == Wording::Posts { base.in_words_of_posts() } else { base };
        let expanded = XSettings { post_expansions: list(expansions), ..base };
        let source = XSource::new(expanded).unwrap();
        let id = UserId::Number(user);
        let answer = source.timeline_page(&via(), &id, None, None).await;
        let worst = source.worst_cost(Endpoint::Timeline, 100).micros(source.prices());
        assert!(answer.cost <= worst);
        assert_eq!(answer.cost, billed(&double));
        let page = answer.outcome.unwrap();
        let mut referring = 0;
        for (_, line) in page.posts() {
            let mut post: Value = serde_json::from_str(line).unwrap();
            let parts = post.as_object_mut().unwrap().remove("includes").unwrap();
            let names: BTreeSet<&str> = ids(&parts[included]).collect();
            let referenced: BTreeSet<&str> = ids(&post[references]).collect();
            assert_eq!(names, referenced, "{line}");
            assert!(ids(&parts["users"]).any(|author| author == user.to_string()));
            let media = post["attachments"]["media_keys"].as_array().map_or(0, Vec::len);
            assert_eq!(parts["media"].as_array().map_or(0, Vec::len), media, "{line}");
            referring += names.len();
        }
        assert!(referring > 0);
    }
}

fn ids(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(|one| one["id"].as_str())
}

#[tokio::test]
async fn a_line_without_includes_is_the_very_text_that_the_api_sent() {
    let double = double().start().await.unwrap();
    let user = prolific(&double);
    let plain = XSettings { post_fields: list("lang"), post_expansions: Vec::new(), ..settings(&double) };
    let source = XSource::new(plain).unwrap();
    let page = source.timeline_page(&via(), &UserId::Number(user), None, None).await.outcome.unwrap();
    let path = format!("/2/users/{user}/tweets?max_results=100&tweet.fields=lang");
    let sent = json(&double, &path).await;
    let sent: Vec<String> = sent["data"].as_array().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(page.posts().map(|(_, line)| line.to_owned()).collect::<Vec<_>>(), sent);
}

#[tokio::test]
async fn gone_accounts_keep_their_reason_on_both_hosts() {
    for host in ["api.x.com", "api.twitter.com"] {
        let builder = double().protected([2]).suspended([3]).missing([4]).problem_host(host);
        let double = builder.start().await.unwrap();
        let (source, via) = (source(&double), via());
        for (user, expected) in
            [(2, GoneReason::Protected), (3, GoneReason::Suspended), (4, GoneReason::NotFound)]
        {
            let id = UserId::Number(user);
            let timeline = source.timeline_page(&via, &id, None, None).await;
            let followers = source.followers_page(&via, &id, None).await;
            assert_eq!((timeline.cost, followers.cost), (0, 0));
            for error in [timeline.outcome.unwrap_err(), followers.outcome.unwrap_err()] {
                assert!(matches!(&error, SourceError::Gone { reason, .. } if *reason == expected), "{error}");
            }
        }
        let all: Vec<UserId> = (1..=5).map(UserId::Number).collect();
        let answer = source.lookup(&via, &all).await;
        assert_eq!(answer.cost, billed(&double));
        let found: Vec<UserId> = answer.outcome.unwrap().into_iter().map(|profile| profile.id).collect();
        assert_eq!(found, [1, 2, 5].map(UserId::Number));
        let nobody = source.lookup(&via, &[UserId::Number(3)]).await.outcome.unwrap();
        assert!(nobody.is_empty());
    }
}

#[tokio::test]
async fn names_are_resolved_and_unknown_ones_are_missing() {
    let double = double().start().await.unwrap();
    let (source, via) = (source(&double), via());
    let profiles = source.lookup(&via, &[UserId::Number(7)]).await.outcome.unwrap();
    let name = profiles[0].screen_name.clone().unwrap();
    let found = source.resolve(&via, &[name, "nobody_at_all".to_owned()]).await.outcome.unwrap();
    assert_eq!(found.iter().map(|profile| profile.id.clone()).collect::<Vec<_>>(), [UserId::Number(7)]);
}

fn failed<T: std::fmt::Debug>(answer: Answer<T>) -> (SourceError, u64) {
    (answer.outcome.unwrap_err(), answer.cost)
}

#[tokio::test]
async fn an_app_with_a_revoked_token_is_set_aside_and_the_others_take_its_accounts() {
    let double = double().start().await.unwrap();
    let (source, via) = (source(&double), via());
    let of_one = |user: &u64| source.terms(Endpoint::Timeline, Some(&UserId::Number(*user))).app == 0;
    let user = UserId::Number(double.users(0, 60).into_iter().find(of_one).unwrap());
    assert!(double.revoke("one"));
    let (error, cost) = failed(source.timeline_page(&via, &user, None, None).await);
    assert!(error.is_retryable() && error.to_string().contains("app one") && cost == 0, "{error}");
    assert_eq!(source.set_aside()[0].0, "one");
    source.timeline_page(&via, &user, None, None).await.outcome.unwrap();
    assert!(double.strike_off("two"));
    let (error, _) = failed(source.timeline_page(&via, &user, None, None).await);
    assert!(!error.is_retryable() && error.to_string().contains("app two"), "{error}");
    assert_eq!(source.set_aside().len(), 2);
    let shown = format!("{source:?} {:?}", source.set_aside());
    assert!(!shown.contains("first") && !shown.contains("second"), "{shown}");
}

#[tokio::test]
async fn limits_and_caps_wait_for_the_moment_that_the_api_names() {
    let builder = double().limit(twm_tests::emulator::x::XEndpoint::Posts, "1/15m".parse().unwrap());
    let double = builder.start().await.unwrap();
    let (source, via, user) = (source(&double), via(), UserId::Number(5));
    source.timeline_page(&via, &user, None, None).await.outcome.unwrap();
    let (error, cost) = failed(source.timeline_page(&via, &user, None, None).await);
    let wait = error.retry_in().unwrap().as_secs();
    assert!(
        matches!(error, SourceError::Limited { status: 429, .. }) && (890..=901).contains(&wait) && cost == 0
    );
    for (overdraft, status) in
        [(Overdraft::Credits, 402), (Overdraft::SpendCap, 403), (Overdraft::UsageCap, 429)]
    {
        double.change_billing(|billing| (billing.limit, billing.overdraft) = (Some(0), overdraft));
        let answer = source.followers_page(&via, &user, None).await;
        assert!(answer.rate.limited && answer.rate.date.is_some());
        let (error, cost) = failed(answer);
        assert!(matches!(error, SourceError::Limited { status: got, .. } if got == status), "{error}");
        assert!(error.retry_in().unwrap().as_secs() >= 900 && cost == 0);
    }
}

#[tokio::test]
async fn a_request_whose_answer_is_lost_is_counted_with_its_worst_case() {
    let double = double().start().await.unwrap();
    let (source, via) = (source(&double), via());
    let user = UserId::Number(prolific(&double));
    let terms = Terms { app: 0, size: 5 };
    let worst = source.worst_cost(Endpoint::Timeline, 5).micros(&Prices::default());
    for fault in [XFault::LoseAnswer, XFault::CutShort, XFault::Unavailable] {
        double.plan_faults([Some(fault)]);
        let (error, cost) = failed(source.posts(&via, &user, None, None, terms).await);
        assert!(error.is_retryable(), "{error}");
        assert_eq!(cost, worst, "{fault:?}");
    }
    // The last one was not charged, which only the API knows.
    assert_eq!(billed(&double), 2 * worst);
}
