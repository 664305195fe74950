//! Labels of accounts.

use serde::Deserialize;

/// The label of an account that wants to be shown to nobody who is not signed in.
pub(super) const SIGNED_IN_ONLY: &str = "!no-unauthenticated";

/// Most labels that are looked at.
const MOST_LABELS: usize = 1000;

/// The labels that an account gave itself, in the JSON of its record `app.bsky.actor.profile/self`. None of what is no such record.
pub(super) fn own(record: &str) -> Vec<String> {
    #[derive(Deserialize)]
    struct Record {
        labels: Option<Own>,
    }
    #[derive(Deserialize)]
    struct Own {
        #[serde(default)]
        values: Vec<Value>,
    }
    #[derive(Deserialize)]
    struct Value {
        val: String,
    }
    let values = serde_json::from_str::<Record>(record).ok().and_then(|record| record.labels);
    values.map_or_else(Vec::new, |own| {
        own.values.into_iter().take(MOST_LABELS).map(|value| value.val).collect()
    })
}

/// A label on a profile as the AppView sends it, by whomever it is.
#[derive(Debug, Deserialize)]
pub(super) struct Label {
    val: String,
    /// Whether it takes an earlier one back.
    #[serde(default)]
    neg: bool,
}

/// Whether one of these wants the account to be hidden from those who are not signed in.
pub(super) fn hides(labels: &[Label]) -> bool {
    labels.iter().any(|label| label.val == SIGNED_IN_ONLY && !label.neg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_record_and_of_a_profile_are_found() {
        let record = r#"{"$type":"app.bsky.actor.profile","labels":{"$type":"com.atproto.label.defs#selfLabels","values":[{"val":"!no-unauthenticated"}]}}"#;
        assert_eq!(own(record), [SIGNED_IN_ONLY]);
        for none in ["", "{}", "[]", r#"{"labels":null}"#, r#"{"labels":[]}"#, r#"{"labels":{"values":[1]}}"#]
        {
            assert!(own(none).is_empty(), "{none}");
        }
        let profile = |json: &str| hides(&serde_json::from_str::<Vec<Label>>(json).unwrap());
        assert!(profile(
            r#"[{"val":"spam","src":"did:plc:x"},{"val":"!no-unauthenticated","src":"did:plc:y"}]"#
        ));
        assert!(!profile(r#"[{"val":"!no-unauthenticated","neg":true}]"#) && !profile("[]"));
    }
}
