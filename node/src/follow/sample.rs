//! An ordinary profile.

/// A profile with every field of API v1.1, none of them `null`, on which rules are tried at submission.
pub(super) const SAMPLE_PROFILE: &str = r#"{
    "id": 22013880, "id_str": "22013880", "name": "Ada Rossi", "screen_name": "adarossi", "location": "Torino",
    "description": "reads and writes", "url": "https://example.org", "protected": false, "verified": false,
    "followers_count": 320, "friends_count": 180, "listed_count": 4, "favourites_count": 75, "statuses_count": 1500,
    "created_at": "Thu Feb 26 14:28:45 +0000 2009", "utc_offset": 3600, "time_zone": "Rome", "lang": "it",
    "geo_enabled": true, "contributors_enabled": false, "is_translator": false, "is_translation_enabled": false,
    "has_extended_profile": false, "default_profile": true, "default_profile_image": false, "following": false,
    "follow_request_sent": false, "notifications": false, "translator_type": "none", "suspended": false,
    "needs_phone_verification": false, "profile_background_color": "C0DEED", "profile_background_tile": false,
    "profile_background_image_url": "http://example.org/b.png",
    "profile_background_image_url_https": "https://example.org/b.png",
    "profile_banner_url": "https://example.org/c.png", "profile_image_url": "http://example.org/i.png",
    "profile_image_url_https": "https://example.org/i.png", "profile_link_color": "1DA1F2",
    "profile_sidebar_border_color": "C0DEED", "profile_sidebar_fill_color": "DDEEF6", "profile_text_color": "333333",
    "profile_use_background_image": true, "withheld_in_countries": ["XX"], "withheld_scope": "user",
    "entities": {"url": {"urls": [{"url": "https://example.org", "indices": [0, 19]}]}, "description": {"urls": []}},
    "status": {"id": 1, "id_str": "1", "text": "ciao", "lang": "it", "retweet_count": 2, "favorite_count": 3,
        "created_at": "Thu Feb 26 14:28:45 +0000 2009", "source": "web", "truncated": false}
}"#;
