use super::*;

fn timeline(body: &str) -> Answered {
    read(body, Endpoint::Timeline, Some(&UserId::Number(5))).unwrap()
}

#[test]
fn an_object_gets_the_parts_that_it_names_and_no_others() {
    let body = r#"{"data":[
        {"id":"9", "text":"a\u00e9","author_id":"5","referenced_tweets":[{"type":"quoted","id":"3"}]},
        {"text":"b","id":"8","attachments":{"media_keys":["3_1"]} },
        {"id":"7","text":"c"}],
        "includes":{"users":[{"id":"5","name":"A"},{"id":"6","name":"B"},{"id":"4","name":"C"}],
        "tweets":[{"id":"3","author_id":"6"},{"id":"2"}],"media":[{"media_key":"3_1","type":"photo"}]},
        "meta":{"result_count":3,"next_token":"n"}}"#;
    let answered = timeline(body);
    assert_eq!(
        answered.objects[0],
        r#"{"id":"9", "text":"a\u00e9","author_id":"5","referenced_tweets":[{"type":"quoted","id":"3"}],"includes":{"tweets":[{"id":"3","author_id":"6"}],"users":[{"id":"5","name":"A"},{"id":"6","name":"B"}]}}"#
    );
    assert_eq!(
        answered.objects[1],
        r#"{"text":"b","id":"8","attachments":{"media_keys":["3_1"]},"includes":{"media":[{"media_key":"3_1","type":"photo"}]}}"#
    );
    assert_eq!(answered.objects[2], r#"{"id":"7","text":"c"}"#);
    assert_eq!(answered.cost, Cost { posts: 5, users: 3, followers: 0 });
    assert_eq!((answered.next.as_deref(), answered.nothing), (Some("n"), None));
}

#[test]
fn the_newer_names_are_read_too() {
    let body = r#"{"data":[{"id":"9","referenced_posts":[{"id":"3"}]}],"includes":{"posts":[{"id":"3"}]}}"#;
    let answered = timeline(body);
    assert!(
        answered.objects[0].ends_with(r#","includes":{"posts":[{"id":"3"}]}}"#),
        "{}",
        answered.objects[0]
    );
    assert_eq!(answered.cost.posts, 2);
}

#[test]
fn an_object_whose_references_cannot_be_read_stays_as_it_came() {
    for object in [
        r#"{"id":"9","author_id":5}"#,
        r#"{"id":"9","author_id":"5","includes":{"mine":1}}"#,
        "[1]",
        "7",
        "{}",
        r#"{"id":"9","author_id":"5","attachments":[]}"#,
    ] {
        let body = format!(r#"{{"data":[{object}],"includes":{{"users":[{{"id":"5"}}]}}}}"#);
        assert_eq!(timeline(&body).objects, [object]);
    }
}

#[test]
fn an_answer_without_objects_says_why() {
    let nothing = |body: &str| timeline(body).nothing;
    assert_eq!(nothing(r#"{"meta":{"result_count":0}}"#), None);
    assert_eq!(nothing("{}"), Some(Nothing::Empty));
    let gone =
        r#"{"errors":[{"type":"https://api.twitter.com/2/problems/resource-not-found","resource_id":"5"}]}"#;
    assert_eq!(nothing(gone), Some(Nothing::Gone(GoneReason::NotFound)));
    assert_eq!(
        nothing(r#"{"errors":[{"title":"Odd","type":"about:blank"}]}"#),
        Some(Nothing::Problem("Odd: about:blank".into()))
    );
    assert_eq!(nothing(r#"{"errors":["text"]}"#), Some(Nothing::Problem("no explanation".into())));
    let partial = r#"{"data":[{"id":"1"}],"errors":[{"type":"x/resource-not-found","resource_id":"5"}]}"#;
    assert_eq!(nothing(partial), None);
}

#[test]
fn a_look_up_that_finds_nobody_has_a_reason_for_each() {
    let nothing = |body: &str| read(body, Endpoint::Lookup, None).unwrap().nothing;
    let missing = r#"{"resource_type":"user","resource_id":"5","type":"https://api.x.com/2/problems/resource-not-found"}"#;
    assert_eq!(nothing(&format!(r#"{{"errors":[{missing},{missing}]}}"#)), None);
    let odd = format!(r#"{{"errors":[{missing},{{"title":"Service Unavailable"}}]}}"#);
    assert_eq!(nothing(&odd), Some(Nothing::Problem("Service Unavailable".into())));
}

#[test]
fn one_large_object_named_by_many_others_is_refused() {
    let large = "x".repeat(1 << 20);
    let posts = vec![r#"{"id":"9","author_id":"5"}"#; 100].join(",");
    let body = format!(r#"{{"data":[{posts}],"includes":{{"users":[{{"id":"5","name":"{large}"}}]}}}}"#);
    let error = read(&body, Endpoint::Timeline, None).unwrap_err();
    assert!(error.contains("more than 67108864 bytes"), "{error}");
}

#[test]
fn garbage_is_an_error_and_no_panic() {
    for body in
        ["", "[]", "null", "{\"data\":{}}", "{\"data\":[1,]}", "<html>", "{\"meta\":{\"next_token\":7}}"]
    {
        let answer = read(body, Endpoint::Followers, None);
        // An array is read as the fields of an answer in their order, without any.
        assert!(answer.is_err() || answer.is_ok_and(|a| a.nothing == Some(Nothing::Empty)), "{body}");
    }
    let many = format!("{{\"data\":[{}0]}}", "0,".repeat(20_000));
    assert!(read(&many, Endpoint::Followers, None).unwrap_err().contains("more than 10000 items"));
}
