//! The mapping of the index.

use serde_json::{Value, json};

/// The mapping of this program. Only what differs from the servers' defaults is included, so that the server returns
/// the same.
pub(super) fn ours() -> Value {
    json!({
        // Fields are added only by a new mapping, never by a tweet.
        "dynamic": "false",
        "properties": {
            "id": { "type": "keyword" },
            // Tokenized by the analyzer `standard`.
            "text": { "type": "text" },
            "screen_name": { "type": "keyword" },
            "user": { "type": "keyword" },
            "created_at": { "type": "date" },
            "hashtags": { "type": "keyword" },
            "lang": { "type": "keyword" },
            "geo": { "type": "geo_point" },
            "cell": { "type": "keyword" },
        },
    })
}

/// The first difference between a mapping and ours.
pub(super) fn difference(theirs: &Value) -> Option<String> {
    let ours = ours();
    let said = |value: &Value| if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    if text(&theirs["dynamic"]) != text(&ours["dynamic"]) {
        return Some(format!("`dynamic` is {}, and should be false", said(&theirs["dynamic"])));
    }
    let (theirs, ours) = (&theirs["properties"], &ours["properties"]);
    let names = [ours, theirs].into_iter().flat_map(|fields| fields.as_object().into_iter().flatten());
    names.map(|(name, _)| name).find(|name| theirs[name] != ours[name]).map(|name| {
        format!("its field `{name}` is {}, and should be {}", said(&theirs[name]), said(&ours[name]))
    })
}

/// Servers return `false` as a string or as a boolean.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_mapping_is_told_by_its_first_difference() {
        assert_eq!(difference(&ours()), None);
        let mut theirs = ours();
        theirs["dynamic"] = json!(false);
        assert_eq!(difference(&theirs), None);
        theirs["properties"]["created_at"] = json!({ "type": "text" });
        assert_eq!(
            difference(&theirs).as_deref(),
            Some(r#"its field `created_at` is {"type":"text"}, and should be {"type":"date"}"#)
        );
        theirs = ours();
        theirs["properties"]["more"] = json!({ "type": "long" });
        assert!(difference(&theirs).unwrap().contains("`more`"));
        assert!(difference(&json!({})).unwrap().contains("dynamic"));
    }
}
