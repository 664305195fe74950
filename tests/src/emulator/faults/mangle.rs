//! Faults that change the content of the body.

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use storage::env::{Entropy, SeededEntropy};

use super::Fault;

/// Bytes that are invalid in UTF-8.
const NO_UTF8: &[u8] = b"\xff\xfe\x80";

/// Applies the fault to the body; faults of other kinds leave it unchanged.
///
/// Fails only if the body is not JSON, which is possible with a dataset from the user.
pub(in crate::emulator) fn mangle(fault: Fault, body: Bytes) -> Result<Bytes, serde_json::Error> {
    match fault {
        Fault::Empty => Ok(Bytes::new()),
        Fault::Truncated => Ok(body.slice(..body.len() / 2)),
        Fault::NotUtf8 => Ok(corrupt(&body)),
        Fault::WrongTypes => rewrite(&body, wrong_types, |object| {
            object["ids"] = json!({"0": true});
            object["next_cursor"] = json!(["1"]);
            object["next_cursor_str"] = json!({});
        }),
        Fault::MissingFields => rewrite(&body, missing_fields, |object| {
            if let Value::Object(fields) = object {
                fields.retain(|name, _| !name.starts_with("next_cursor") && name != "ids");
            }
        }),
        Fault::Duplicates => rewrite(
            &body,
            |items| items.into_iter().flat_map(|item| [item.clone(), item]).collect(),
            |object| edit_ids(object, |ids| ids.into_iter().flat_map(|id| [id.clone(), id]).collect()),
        ),
        Fault::Unordered => rewrite(&body, shuffled, |object| edit_ids(object, shuffled)),
        Fault::LongCursor(length) => rewrite(
            &body,
            |items| items,
            |object| object["next_cursor_str"] = Value::String("7".repeat(length as usize)),
        ),
        Fault::Babble(length) => Ok(babble(&body, length as usize)),
        Fault::Crowded(count) => Ok(crowded(&body, count as usize)),
        _ => Ok(body),
    }
}

type Items = Vec<Box<RawValue>>;

/// Changes the items of an array, or otherwise the object.
fn rewrite(
    body: &[u8],
    array: impl FnOnce(Items) -> Items,
    object: impl FnOnce(&mut Value),
) -> Result<Bytes, serde_json::Error> {
    if body.starts_with(b"[") {
        let items = array(serde_json::from_slice(body)?);
        return serde_json::to_vec(&items).map(Bytes::from);
    }
    let mut value: Value = serde_json::from_slice(body)?;
    object(&mut value);
    serde_json::to_vec(&value).map(Bytes::from)
}

fn edit_ids(object: &mut Value, edit: impl FnOnce(Vec<Value>) -> Vec<Value>) {
    if let Some(Value::Array(ids)) = object.get_mut("ids") {
        *ids = edit(std::mem::take(ids));
    }
}

fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    let entropy = SeededEntropy::new(items.len() as u64);
    for i in (1..items.len()).rev() {
        items.swap(i, (entropy.next_u64() % (i as u64 + 1)) as usize);
    }
    // The shuffle may leave two items in their original order.
    if items.len() == 2 {
        items.reverse();
    }
    items
}

/// Prepends one item whose fields have wrong types; the others stay valid.
fn wrong_types(items: Items) -> Items {
    let bad = json!({"id": "one", "id_str": 1, "user": [], "text": {}, "screen_name": 0, "lang": false});
    with_first(&bad, items)
}

/// Prepends one item that lacks its id and nearly all other fields; the others stay valid.
fn missing_fields(items: Items) -> Items {
    with_first(&json!({"text": "no id", "lang": "en"}), items)
}

fn with_first(first: &Value, items: Items) -> Items {
    to_raw_value(first).into_iter().chain(items).collect()
}

/// A string in place of the array.
fn babble(body: &[u8], length: usize) -> Bytes {
    let text = "x".repeat(length);
    if body.starts_with(b"[") { format!("\"{text}\"") } else { format!("{{\"ids\":\"{text}\"}}") }.into()
}

/// Two bytes per item, which take far more memory in a careless reader.
fn crowded(body: &[u8], count: usize) -> Bytes {
    let items = "0,".repeat(count);
    let array = format!("[{}]", items.trim_end_matches(','));
    if body.starts_with(b"[") { array } else { format!("{{\"ids\":{array},\"next_cursor_str\":\"0\"}}") }
        .into()
}

/// Inserts invalid UTF-8 into a text, or otherwise into another string of the body.
fn corrupt(body: &[u8]) -> Bytes {
    let starts = [&b"\"text\":\""[..], b"\"name\":\"", b"[\"", b"\""];
    let after = |start: &[u8]| body.windows(start.len()).position(|w| w == start).map(|at| at + start.len());
    let at = starts.into_iter().find_map(after).unwrap_or(body.len());
    [&body[..at], NO_UTF8, &body[at..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: &[u8] = br#"[{"id":3,"text":"c"},{"id":2,"text":"b"},{"id":1,"text":"a"}]"#;
    const OBJECT: &[u8] = br#"{"ids":["1","2","3"],"next_cursor":5,"next_cursor_str":"5"}"#;

    fn value(fault: Fault, body: &'static [u8]) -> Value {
        serde_json::from_slice(&mangle(fault, Bytes::from_static(body)).unwrap()).unwrap()
    }

    #[test]
    fn items_are_doubled_or_put_in_disorder_but_none_is_lost() {
        assert_eq!(value(Fault::Duplicates, ARRAY).as_array().unwrap().len(), 6);
        assert_eq!(value(Fault::Duplicates, OBJECT)["ids"], json!(["1", "1", "2", "2", "3", "3"]));
        let shuffled = value(Fault::Unordered, ARRAY);
        let mut ids: Vec<_> =
            shuffled.as_array().unwrap().iter().map(|t| t["id"].as_u64().unwrap()).collect();
        assert_ne!(ids, [3, 2, 1]);
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3]);
        assert_ne!(value(Fault::Unordered, OBJECT)["ids"], json!(["1", "2", "3"]));
        assert_eq!(value(Fault::Unordered, OBJECT)["next_cursor_str"], "5");
    }

    #[test]
    fn types_and_fields_go_wrong_in_valid_json() {
        let array = value(Fault::WrongTypes, ARRAY);
        assert!(array[0]["id"].is_string());
        assert_eq!(array[3]["id"], 1);
        assert!(value(Fault::WrongTypes, OBJECT)["ids"].is_object());
        assert!(value(Fault::MissingFields, ARRAY)[0].get("id").is_none());
        assert_eq!(value(Fault::MissingFields, OBJECT), json!({}));
    }

    #[test]
    fn texts_cursors_and_arrays_can_be_of_any_size() {
        assert_eq!(value(Fault::Babble(3), ARRAY), "xxx");
        assert_eq!(value(Fault::Babble(3), OBJECT), json!({"ids": "xxx"}));
        assert_eq!(value(Fault::LongCursor(3), OBJECT)["next_cursor_str"], "777");
        assert_eq!(value(Fault::Crowded(2), ARRAY), json!([0, 0]));
        assert_eq!(value(Fault::Crowded(2), OBJECT)["ids"], json!([0, 0]));
    }

    #[test]
    fn broken_bodies_do_not_parse() {
        for body in [ARRAY, OBJECT] {
            for fault in [Fault::Truncated, Fault::NotUtf8, Fault::Empty] {
                let broken = mangle(fault, Bytes::from_static(body)).unwrap();
                assert!(serde_json::from_slice::<Value>(&broken).is_err(), "{fault:?}");
            }
        }
        assert!(mangle(Fault::Duplicates, Bytes::from_static(b"[{]")).is_err());
    }
}
