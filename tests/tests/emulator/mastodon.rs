//! Guarantees of the double of the Mastodon API.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions, HostKind, Limits, Standing, Window};

use super::client::{Reply, try_get_with};

pub async fn start(options: FediverseOptions) -> Fediverse {
    Fediverse::start(options).await.unwrap()
}

/// Asks a host, with its token if it wants one.
pub async fn ask(fediverse: &Fediverse, host: &str, path: &str) -> Reply {
    try_ask(fediverse, host, path, None).await.unwrap()
}

async fn try_ask(
    fediverse: &Fediverse,
    host: &str,
    path: &str,
    token: Option<&str>,
) -> anyhow::Result<Reply> {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("host", host)];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    try_get_with(&format!("{}{path}", fediverse.url()), &headers).await
}

/// The path and query of the link to the next page.
fn next(reply: &Reply, host: &str) -> Option<String> {
    let link = reply.header("link")?;
    let next = link.split(", ").find(|link| link.ends_with("; rel=\"next\""))?;
    let url = next.strip_prefix('<')?.split('>').next()?;
    Some(url.strip_prefix(&format!("https://{host}")).unwrap().to_owned())
}

/// All pages of a list, with the number of pages.
async fn walk(fediverse: &Fediverse, host: &str, path: String, token: Option<&str>) -> (Vec<Value>, usize) {
    let (mut all, mut pages, mut at) = (Vec::new(), 0, Some(path));
    while let Some(path) = at {
        let reply = try_ask(fediverse, host, &path, token).await.unwrap();
        assert_eq!(reply.status, 200, "{path}");
        all.extend(reply.json().as_array().unwrap().iter().cloned());
        pages += 1;
        at = next(&reply, host);
    }
    (all, pages)
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

async fn id_of(fediverse: &Fediverse, acct: &str, token: Option<&str>) -> String {
    let (user, host) = acct.split_once('@').unwrap();
    let path = format!("/api/v1/accounts/lookup?acct={user}");
    let account = try_ask(fediverse, host, &path, token).await.unwrap().json();
    assert_eq!(account["acct"], user);
    account["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn pages_join_to_whole_timelines_and_follower_lists() {
    let options = FediverseOptions { celebrity: Some(170), ..FediverseOptions::new(5, 40, 3) };
    let fediverse = start(options.with(2, HostKind::GoToSocial)).await;
    let token = Fediverse::token(2);
    let mut seen_pages = 0;
    for acct in fediverse.accounts() {
        let (_, host) = acct.split_once('@').unwrap();
        let token = (host == "h2.test").then_some(token.as_str());
        let id = id_of(&fediverse, &acct, token).await;
        let path = |what| format!("/api/v1/accounts/{id}/{what}");
        let (posts, pages) = walk(&fediverse, host, path("statuses?limit=40"), token).await;
        assert_eq!(ids(&posts), fediverse.expected_timeline(&acct));
        if host == "h2.test" {
            assert_eq!(pages, posts.len().div_ceil(40) + 1, "GoToSocial goes on until an empty page");
        }
        let (followers, _) = walk(&fediverse, host, path("followers?limit=80"), token).await;
        let whole = |follower: &Value| {
            let acct = follower["acct"].as_str().unwrap();
            if acct.contains('@') { acct.to_owned() } else { format!("{acct}@{host}") }
        };
        assert_eq!(followers.iter().map(whole).collect::<Vec<_>>(), fediverse.expected_followers(&acct));
        seen_pages += pages;
    }
    assert!(seen_pages > 300, "{seen_pages}");
}

#[tokio::test]
async fn a_page_has_a_next_one_only_if_it_is_full_and_its_cursor_is_no_account() {
    let options = FediverseOptions { celebrity: Some(90), ..FediverseOptions::new(2, 100, 5) };
    let fediverse = start(options).await;
    let first = fediverse.accounts()[0].clone();
    let id = id_of(&fediverse, &first, None).await;
    let path = format!("/api/v1/accounts/{id}/followers?limit=500");
    let page = ask(&fediverse, "h1.test", &path).await;
    let accounts = page.json();
    assert_eq!(accounts.as_array().unwrap().len(), 80, "the limit is 80");
    let link = page.header("link").unwrap();
    let cursor = link.split("max_id=").nth(1).unwrap().split('>').next().unwrap();
    assert_ne!(cursor, accounts[79]["id"].as_str().unwrap());
    assert!(cursor.parse::<u64>().unwrap() < 1 << 53);
    assert!(link.contains("; rel=\"prev\"") && link.contains("since_id="), "{link}");
    let last = ask(&fediverse, "h1.test", &next(&page, "h1.test").unwrap()).await;
    assert_eq!(last.json().as_array().unwrap().len(), 10);
    assert_eq!(next(&last, "h1.test"), None);
}

#[tokio::test]
async fn ids_since_and_below_select_posts() {
    let fediverse = start(FediverseOptions::new(1, 30, 9)).await;
    let longest = |acct: &String| fediverse.expected_timeline(acct).len();
    let acct = fediverse.accounts().into_iter().max_by_key(longest).unwrap();
    let (id, all) = (id_of(&fediverse, &acct, None).await, fediverse.expected_timeline(&acct));
    assert!(all.len() > 50);
    let select = async |query: String| {
        let path = format!("/api/v1/accounts/{id}/statuses?{query}");
        ids(ask(&fediverse, "h1.test", &path).await.json().as_array().unwrap())
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(select(format!("limit=5&max_id={}", all[3])).await, all[4..9]);
    assert_eq!(select(format!("limit=5&since_id={}", all[20])).await, all[..5]);
    assert_eq!(select(format!("limit=5&min_id={}", all[20])).await, all[15..20]);
    assert_eq!(select(String::new()).await.len(), 20);
    assert_eq!(select("limit=1000".to_owned()).await.len(), 40);
}

#[tokio::test]
async fn accounts_are_looked_up_by_name_and_by_ids_and_unknown_ones_are_missing() {
    let fediverse = start(FediverseOptions::new(2, 10, 9).with(2, HostKind::Old)).await;
    let accounts = fediverse.accounts();
    let (here, there) = (&accounts[0], &accounts[1]);
    let lookup =
        async |acct: &str| ask(&fediverse, "h1.test", &format!("/api/v1/accounts/lookup?acct={acct}")).await;
    let local = lookup(&here.to_uppercase().replace("TEST", "test")).await.json();
    assert_eq!(local["acct"], here.split('@').next().unwrap(), "the home's own spelling");
    let remote = lookup(there).await.json();
    assert_eq!(remote["acct"].as_str(), Some(there.as_str()));
    let at_home = id_of(&fediverse, there, None).await;
    assert_ne!(remote["id"].as_str(), Some(at_home.as_str()), "an id belongs to one host");
    let unknown = lookup("nobody99").await;
    assert_eq!((unknown.status, unknown.json()), (404, json!({"error": "Record not found"})));
    let several = format!(
        "/api/v1/accounts?id[]={}&id[]=5&id[]={}",
        local["id"].as_str().unwrap(),
        remote["id"].as_str().unwrap()
    );
    assert_eq!(ask(&fediverse, "h1.test", &several).await.json(), json!([local, remote]));
    assert_eq!(ask(&fediverse, "h2.test", &several).await.status, 404, "4.3 and later only");
    let shown =
        ask(&fediverse, "h1.test", &format!("/api/v1/accounts/{}", local["id"].as_str().unwrap())).await;
    assert_eq!(shown.json(), local);
}

#[tokio::test]
async fn each_kind_of_host_has_its_own_way() {
    let options = FediverseOptions::new(9, 5, 1);
    let kinds = "2=old,3=token,4=limited,5=gotosocial,6=other,7=web,8=gone";
    let options = FediverseOptions { kinds: FediverseOptions::parse_kinds(kinds).unwrap(), ..options };
    let fediverse = start(options).await;
    let name = |host: usize| fediverse.accounts()[host - 1].split('@').next().unwrap().to_owned();
    let lookup = async |host: usize, token: Option<&str>| {
        let path = format!("/api/v1/accounts/lookup?acct={}", name(host));
        try_ask(&fediverse, &format!("h{host}.test"), &path, token).await
    };
    let instance =
        async |host: usize| ask(&fediverse, &format!("h{host}.test"), "/api/v2/instance").await.status;
    for host in [3, 4, 5] {
        assert_eq!(lookup(host, None).await.unwrap().status, 401);
        assert_eq!(lookup(host, Some(&Fediverse::token(host as u32))).await.unwrap().status, 200);
        let wrong = lookup(host, Some("x")).await.unwrap();
        assert_eq!((wrong.status, wrong.json()), (401, json!({"error": "The access token is invalid"})));
    }
    assert_eq!((instance(3).await, instance(4).await, instance(5).await), (200, 401, 200));
    assert_eq!(lookup(6, None).await.unwrap().status, 404);
    let nodeinfo = ask(&fediverse, "h6.test", "/nodeinfo/2.0").await.json();
    assert_eq!(nodeinfo["software"]["name"], "misskey");
    assert_eq!(lookup(7, None).await.unwrap().header("content-type"), Some("text/html; charset=utf-8"));
    assert!(lookup(8, None).await.is_err());
    let several = try_ask(&fediverse, "h5.test", "/api/v1/accounts?id[]=1", Some(&Fediverse::token(5))).await;
    assert_eq!(several.unwrap().status, 405, "GoToSocial has no look-up by ids");
    let stats = fediverse.stats();
    assert_eq!((stats.broken, stats.hosts["h5.test"]), (1, 5));
}

#[tokio::test]
async fn suspended_accounts_and_hidden_lists_look_as_the_software_shows_them() {
    let options = FediverseOptions {
        suspended_percent: 30.0,
        hidden_percent: 30.0,
        ..FediverseOptions::new(3, 30, 4).with(2, HostKind::Old).with(3, HostKind::GoToSocial)
    };
    let fediverse = start(options).await;
    let mut seen = HashSet::new();
    for acct in fediverse.accounts() {
        let (user, host) = acct.split_once('@').unwrap();
        let token = (host == "h3.test").then(|| Fediverse::token(3));
        let get = async |path: String| try_ask(&fediverse, host, &path, token.as_deref()).await.unwrap();
        let standing = fediverse.standing(&acct).unwrap();
        let found = get(format!("/api/v1/accounts/lookup?acct={user}")).await;
        seen.insert((host.to_owned(), format!("{standing:?}")));
        if (host, standing) == ("h2.test", Standing::Suspended) {
            assert_eq!(found.status, 410);
            continue;
        }
        let account = found.json();
        assert_eq!(account["suspended"] == json!(true), standing == Standing::Suspended);
        let id = account["id"].as_str().unwrap();
        let (posts, followers) = (
            get(format!("/api/v1/accounts/{id}/statuses")).await,
            get(format!("/api/v1/accounts/{id}/followers")).await,
        );
        match (host, standing) {
            ("h3.test", Standing::Suspended) => {
                assert_eq!((posts.json(), followers.status), (json!([]), 404));
            }
            (_, Standing::Suspended) => assert_eq!((posts.json(), followers.json()), (json!([]), json!([]))),
            (_, Standing::HiddenFollowers) => assert_eq!(followers.json(), json!([])),
            (_, Standing::Open) => assert_eq!(
                followers.json().as_array().unwrap().is_empty(),
                account["followers_count"] == json!(0)
            ),
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
}

#[tokio::test]
async fn limits_count_pages_apart_and_say_no_more_than_mastodon() {
    let window = |requests| Window { requests, length: Duration::from_secs(3600) };
    let limits = Some(Limits { plain: window(7), paging: window(3) });
    let fediverse = start(FediverseOptions { limits, ..FediverseOptions::new(2, 5, 4) }).await;
    let acct = fediverse.accounts()[0].clone();
    let id = id_of(&fediverse, &acct, None).await;
    let path = format!("/api/v1/accounts/{id}/statuses?max_id=999999999999999999");
    let left = async |path: &str| {
        let reply = ask(&fediverse, "h1.test", path).await;
        let header = |name: &str| reply.header(name).unwrap().parse::<u64>().unwrap();
        (reply.status, header("x-ratelimit-limit"), header("x-ratelimit-remaining"))
    };
    assert_eq!(left(&path).await, (200, 3, 2));
    assert_eq!(left(&path).await, (200, 3, 1));
    assert_eq!(left(&path).await, (200, 3, 0));
    assert_eq!(left(&path).await, (429, 3, 0));
    let refused = ask(&fediverse, "h1.test", &path).await;
    assert_eq!(refused.json(), json!({"error": "Too many requests"}));
    assert_eq!(refused.header("retry-after"), None);
    let reset = refused.header("x-ratelimit-reset").unwrap();
    assert!(reset.ends_with('Z') && reset.contains(":00:00."), "{reset}");
    assert_eq!(left("/api/v2/instance").await, (200, 7, 0), "refused pages count as well");
    assert_eq!(left("/api/v2/instance").await, (429, 7, 0));
    assert_eq!(ask(&fediverse, "h2.test", "/api/v2/instance").await.status, 200, "hosts count apart");
    assert_eq!(fediverse.stats().over, 3);
}
