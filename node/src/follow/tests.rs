//! Rules on profiles.

use serde_json::value::RawValue;
use storage::ids::UserId;

use super::super::{FollowRule, FollowRuleError, Undecided};
use crate::source::{FieldNames, Profile};

fn profile(json: &str) -> Profile {
    let raw = RawValue::from_string(json.to_owned()).unwrap();
    let names = FieldNames::Twitter;
    Profile { id: UserId::Number(1), screen_name: None, protected: false, names, common: None, raw }
}

fn admits(rule: &str, json: &str) -> Result<bool, Undecided> {
    FollowRule::compile(rule).unwrap_or_else(|error| panic!("{rule}: {error}")).admits(&profile(json))
}

fn refused(rule: &str) -> String {
    match FollowRule::compile(rule) {
        Ok(_) => panic!("{rule} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_originals_rule_decides() {
    let rule = "user.lang == 'it' && user.statuses_count > 100";
    assert_eq!(admits(rule, r#"{"lang":"it","statuses_count":101}"#), Ok(true));
    assert_eq!(admits(rule, r#"{"lang":"it","statuses_count":100}"#), Ok(false));
    assert_eq!(admits(rule, r#"{"lang":"en","statuses_count":500,"more":[1,{"x":null}]}"#), Ok(false));
}

#[test]
fn the_names_of_all_networks_and_the_networks_own_object_are_seen() {
    let common = RawValue::from_string(r#"{"followers_count":7,"bot":false}"#.to_owned()).unwrap();
    let own = r#"{"followers":{"of":7},"bot":"no"}"#;
    let mapped = Profile { common: Some(common), ..profile(own) };
    let decide = |rule: &str, profile: &Profile| FollowRule::compile(rule).unwrap().admits(profile);
    assert_eq!(decide("user.followers_count == 7 && !user.bot", &mapped), Ok(true));
    assert_eq!(decide("user.raw.followers.of == 7 && user.raw.bot == 'no'", &mapped), Ok(true));
    assert_eq!(decide("user['raw'].bot == 'no' && has(user.raw) && size(user) == 3", &mapped), Ok(true));
    assert_eq!(
        decide("user.followers.of == 7", &mapped),
        Err(Undecided::MissingField { field: "followers".into() })
    );
    // Twitter's own object has these names.
    assert_eq!(decide("user.raw.lang == user.lang", &profile(r#"{"lang":"it"}"#)), Ok(true));
}

#[test]
fn a_rule_that_needs_a_name_which_the_network_does_not_have_is_refused_with_what_there_is() {
    const THERE: &[&str] = &["id", "name", "posts_count"];
    let fits = |rule: &str| FollowRule::compile(rule).unwrap().fits("mastodon", THERE);
    for rule in [
        "user.posts_count > 5 && user['name'] != ''",
        "user.raw.lang == 'it' || user['raw'].bot",
        "has(user.lang) ? user.lang == 'it' : user.posts_count > 5",
        "'lang' in user && user['lang'] == 'it'",
        "!has(user.lang)",
        "user.exists(key, key == 'lang')",
        "[{'lang': 'it'}].exists(own, own.lang == 'it')",
        "true",
    ] {
        assert_eq!(fits(rule), Ok(()), "{rule}");
    }
    for (rule, name, column) in [
        ("user.lang == 'it'", "lang", 1),
        ("user.posts_count > 5 || user.lang == 'it'", "lang", 25),
        ("user.posts_count > 5 ? true : user['lang'] == 'it'", "lang", 31),
        ("user.bot || user.lang == 'it'", "bot", 1),
        ("has(user.lang) && user.bot", "bot", 19),
        ("[1].exists(n, n == user.statuses_count)", "statuses_count", 20),
        ("size(user.entities.url.urls) == 1", "entities", 6),
    ] {
        let Err(FollowRuleError::NotOfNetwork { name: found, at, .. }) = fits(rule) else {
            panic!("{rule} was accepted");
        };
        assert_eq!((found.as_str(), at.line), (name, 1), "{rule}");
        assert!(at.column.abs_diff(column) <= 5, "{rule}: {at}");
    }
    let said = fits("user.lang == 'it'").unwrap_err().to_string();
    for part in [
        "user.lang",
        "line 1, column",
        "of mastodon",
        "user.id, user.name, user.posts_count",
        "has(user.lang)",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_profile_decides_if_it_has_all_that_the_rule_reads_or_tests() {
    let raw =
        RawValue::from_string(r#"{"did":"did:plc:a","handle":"a.test","createdAt":"2026-01-01"}"#.to_owned());
    let view = Profile::from_bluesky(raw.unwrap()).unwrap();
    for (rule, decided) in [
        ("user.screen_name.endsWith('.test') && user.created_at > '2025'", true),
        ("true", true),
        ("user.followers_count > 5", false),
        ("user.screen_name == 'a.test' || has(user.posts_count)", false),
        ("user.raw.handle == 'a.test'", false),
        ("'posts_count' in user", false),
        ("size(user) > 3", false),
    ] {
        assert_eq!(FollowRule::compile(rule).unwrap().is_decided_by(&view), decided, "{rule}");
    }
}

#[test]
fn what_cel_offers_for_profiles_works() {
    let json = r#"{"id":18446744073709551615,"lang":"it","name":"\u00c9va","location":"Torino, IT","followers_count":10,
        "friends_count":3,"verified":false,"ratio":0.5,"entities":{"url":{"urls":[{"u":"a"}]}},"tags":["a","bc"]}"#;
    for rule in [
        "user.location.contains('Torino') && !user.verified",
        "user.location.matches('^Tor.*IT$')",
        "matches(user.location, 'IT$') && !user.lang.matches('^i$')",
        "user.tags.all(tag, tag.matches('^[a-c]+$'))",
        "user.lang in ['it', 'de']",
        "user['lang'] == 'it'",
        "has(user.lang) && !has(user.nothing)",
        "user.followers_count > user.friends_count * 3",
        "user.verified ? user.lang == 'en' : user.lang == 'it'",
        "size(user.entities.url.urls) == 1",
        "user.tags.exists(tag, tag == 'bc') && user.tags.all(tag, size(tag) < 3)",
        "size(user) == 10 && 'lang' in user",
        "user.name.startsWith('É')",
        "user.id == 18446744073709551615u",
        "double(user.followers_count) * user.ratio == 5.0",
        "true",
    ] {
        assert_eq!(admits(rule, json), Ok(true), "{rule}");
    }
}

#[test]
fn a_profile_that_lacks_a_field_is_undecided_and_others_are_not() {
    let rule = FollowRule::compile("user.lang == 'it'").unwrap();
    let missing = rule.admits(&profile(r#"{"other":1}"#));
    assert_eq!(missing, Err(Undecided::MissingField { field: "lang".into() }));
    assert_eq!(rule.admits(&profile(r#"{"lang":null}"#)), Ok(false), "null equals nothing else");
    let rule = FollowRule::compile("user.utc_offset > 0").unwrap();
    assert!(matches!(rule.admits(&profile(r#"{"utc_offset":null}"#)), Err(Undecided::Unfit { .. })));
    assert!(matches!(rule.admits(&profile("[]")), Err(Undecided::NoObject { .. })));
    assert!(matches!(rule.admits(&profile("\"text\"")), Err(Undecided::NoObject { .. })));
    assert_eq!(rule.admits(&profile(r#"{"utc_offset":3600}"#)), Ok(true));
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (rule, says) in [
        ("", "line 1, column 1"),
        ("user.lang ==", "line 1, column"),
        ("user.lang == 'it' &&\n  user.lang = 'en'", "line 2, column"),
        ("lang == 'it'", "\"lang\" at line 1, column 1"),
        ("user.lang == it", "\"it\" at line 1, column 14"),
        ("user.lang == 'it' &&\n profile.x", "\"profile\" at line 2, column 2"),
        ("user.tags.all(t, t == tag)", "\"tag\""),
        ("user.lang", "type string"),
        ("user.lang == 'en' && user.statuses_count", "type int"),
        ("user.lang == 'en' && user.lang > 5", "fails at line 1"),
        (
            "user.lang == 'en' && user.lang.matches('(')",
            "line 1, column 39 a pattern that cannot be used: unclosed group",
        ),
        ("user.lang.matches('a', 'b')", "matches with more or less than a pattern"),
        ("matches('a')", "matches with more or less than a pattern"),
        ("user.lang.lower() == 'it'", "\"lower\""),
        ("duration('1s') > duration('2s')", "\"duration\""),
        ("user.name.matches(user.description)", "a pattern that is no text"),
        ("user.lang.?x == 'it'", "line 1"),
        ("Message{a: 1}.a == 1", "a message"),
        ("[1].all(a, [2].all(b, a < b))", "a loop within a loop"),
        ("1", "type int"),
    ] {
        let error = refused(rule);
        assert!(error.contains(says), "{rule:?}: {error}");
    }
}

#[test]
fn length_and_depth_are_bounded_and_nothing_panics() {
    let long = format!("user.lang == '{}'", "x".repeat(2000));
    assert!(matches!(FollowRule::compile(&long), Err(FollowRuleError::TooLong { .. })));
    for text in [
        format!("{}true{}", "(".repeat(480), ")".repeat(480)),
        format!("{}1{} == 1", "[".repeat(450), "]".repeat(450)),
        format!("1{} > 0", "+1".repeat(490)),
        format!("user{}", ".a".repeat(490)),
        format!("{}true", "true?".repeat(190)),
        "\u{0}\u{ffff}'".repeat(100),
        "'\\u{110000}'".repeat(50),
        "9".repeat(900),
    ] {
        let error = FollowRule::compile(&text).expect_err(&text).to_string();
        assert!(error.len() < 2000, "{error}");
    }
    // The parser folds these, so that nothing deep is left.
    assert_eq!(admits(&format!("{}true", "!".repeat(990)), "{}"), Ok(true));
    let wide = vec!["user.lang == 'it'"; 45].join(" || ");
    assert_eq!(admits(&wide, r#"{"lang":"it"}"#), Ok(true));
    let deep = format!(r#"{{"lang":{}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    assert!(admits("user.lang == 'it'", &deep).is_err(), "a profile's depth is bounded, too");
    assert_eq!(admits("1 / user.n > 0", r#"{"n":1}"#), Ok(true));
    for (rule, json) in [
        ("1 / user.n > 0", r#"{"n":0}"#),
        ("user.n + 1 > 0", r#"{"n":9223372036854775807}"#),
        ("-user.n > 0", r#"{"n":-9223372036854775808}"#),
        ("user.n[5] == 1", r#"{"n":[1]}"#),
        ("user.n.x == 1", r#"{"n":[1]}"#),
        ("user.n.all(x, x > 1)", r#"{"n":5}"#),
    ] {
        assert!(admits(rule, json).is_err(), "{rule}");
    }
}

#[test]
fn only_what_the_rule_looks_at_is_read() {
    let rule = FollowRule::compile("user.lang == 'it' && user.statuses_count > 100").unwrap();
    // Behind the last field that it needs, the profile is not even JSON: it was checked when it arrived.
    let tail =
        Profile { raw: RawValue::from_string(super::SAMPLE_PROFILE.to_owned()).unwrap(), ..profile("{}") };
    assert_eq!(rule.admits(&tail), Ok(true));
    let value = super::super::value::profile_value(
        r#"{"a":1,"lang":"it",}"#,
        FieldNames::Twitter,
        &super::Fields::These(["lang".to_owned()].into()),
    );
    assert!(value.is_ok(), "{value:?}");
}

#[test]
fn rules_read_bluesky_by_the_common_names_and_its_own_object_as_raw() {
    let json = r#"{"did":"did:plc:z72i7hdynmk6r22z27h6tvur","handle":"ada.test","displayName":"Ada","followersCount":7,
        "followsCount":3,"postsCount":120,"createdAt":"2024-01-02T03:04:05.678Z","labels":[{"val":"bot"}]}"#;
    let profile = Profile::from_bluesky(RawValue::from_string(json.to_owned()).unwrap()).unwrap();
    let admits = |rule: &str| FollowRule::compile(rule).unwrap().admits(&profile);
    for rule in [
        "user.followers_count == 7 && user.friends_count == 3",
        "user.posts_count > 100 && user.statuses_count == user.posts_count",
        "user.created_at.startsWith('2024-') && user.name == 'Ada' && user.screen_name == 'ada.test'",
        "user.raw.handle == 'ada.test' && user.raw.labels.exists(label, label.val == 'bot')",
        "user.id == 'did:plc:z72i7hdynmk6r22z27h6tvur'",
        "!has(user.lang) && !has(user.handle) && has(user.raw)",
    ] {
        assert_eq!(admits(rule), Ok(true), "{rule}");
    }
    // What the network does not have is absent, and what is not in this profile too.
    assert_eq!(admits("user.lang == 'it'"), Err(Undecided::MissingField { field: "lang".to_owned() }));
    let short =
        Profile::from_bluesky(RawValue::from_string(r#"{"did":"did:plc:x"}"#.to_owned()).unwrap()).unwrap();
    assert!(FollowRule::compile("user.posts_count > 1").unwrap().admits(&short).is_err());
}

#[test]
fn twitters_posts_count_and_raw_object_have_the_common_names_too() {
    let json = r#"{"id":7,"statuses_count":5,"lang":"it"}"#;
    assert_eq!(
        admits("user.posts_count == 5 && user.raw.statuses_count == user.statuses_count", json),
        Ok(true)
    );
}
