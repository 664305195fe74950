//! What hosts say about themselves.

use hyper::StatusCode;
use serde_json::json;

use super::HostKind;
use super::reply::Reply;

/// The answer about the host; `None` if the path is of something else.
pub(super) fn about_host(kind: HostKind, domain: &str, path: &str, signed: bool) -> Option<Reply> {
    let (name, version) = kind.software()?;
    match path.trim_end_matches('/') {
        "/api/v2/instance" if kind == HostKind::Limited && !signed => {
            Some(Reply::error(StatusCode::UNAUTHORIZED, "This API requires an authenticated user"))
        }
        "/api/v2/instance" => Some(Reply::json(instance(domain, kind, version))),
        "/.well-known/nodeinfo" => Some(Reply::json(
            json!({"links": [{"rel": "http://nodeinfo.diaspora.software/ns/schema/2.0",
                "href": format!("https://{}/nodeinfo/2.0", domain)}]})
            .to_string(),
        )),
        "/nodeinfo/2.0" => Some(Reply::json(
            json!({"version": "2.0", "software": {"name": name, "version": version},
                "protocols": ["activitypub"], "services": {"outbound": [], "inbound": []},
                "usage": {"users": {"total": 4, "activeMonth": 4, "activeHalfyear": 4}, "localPosts": 6},
                "openRegistrations": true, "metadata": {"nodeName": "Mastodon", "nodeDescription": ""}})
            .to_string(),
        )),
        _ => None,
    }
}

/// The description of an instance.
fn instance(domain: &str, kind: HostKind, version: &str) -> String {
    let feed = json!({"local": "public", "remote": "public"});
    json!({
        "domain": domain, "title": "Mastodon", "version": version,
        "source_url": "https://github.com/mastodon/mastodon", "description": "",
        "usage": {"users": {"active_month": 4}},
        "thumbnail": {"url": format!("https://{domain}/preview.png"), "description": "a picture"},
        "icon": [{"src": format!("https://{domain}/icon.png"), "size": "36x36"}], "languages": ["en"],
        "configuration": {
            "urls": {"streaming": format!("wss://{domain}"), "status": null,
                "about": format!("https://{domain}/about"),
                "privacy_policy": format!("https://{domain}/privacy-policy"), "terms_of_service": null},
            "vapid": {"public_key": "x"},
            "accounts": {"max_pinned_statuses": 5}, "statuses": {"max_characters": 500},
            "media_attachments": {}, "polls": {}, "translation": {"enabled": false},
            "timelines_access": {"live_feeds": feed, "hashtag_feeds": feed, "trending_link_feeds": feed},
            "limited_federation": kind == HostKind::Limited,
        },
        "registrations": {"enabled": true, "approval_required": false, "reason_required": false,
            "message": null, "min_age": null, "url": null},
        "api_versions": {"mastodon": 11}, "wrapstodon": null,
        "contact": {"email": "", "account": null}, "rules": [],
    })
    .to_string()
}
