//! Search requests and their answers.

use serde_json::{Value, json};

use super::call::CallError;
use crate::indexer::inspection::{Buckets, Findings, MOST_CELLS, MOST_SAMPLES, MOST_TAGS};
use crate::indexer::question::Question;

/// Terms counted by each shard for the most frequent ones: enough for exact results.
const SHARD_TERMS: usize = 10_000;

/// The request for the time range.
pub(super) fn extent(question: &Question) -> Value {
    json!({
        "size": 0,
        "track_total_hits": false,
        "query": query(question),
        "aggs": {
            "first": { "min": { "field": "created_at" } },
            "last": { "max": { "field": "created_at" } },
        },
    })
}

/// The time range, if any tweet has a date.
pub(super) fn read_extent(answer: &Value) -> Option<(i64, i64)> {
    let moment = |name: &str| answer["aggregations"][name]["value"].as_f64().map(|millis| millis as i64);
    Some((moment("first")?, moment("last")?))
}

/// The request for an inspection.
pub(super) fn find(question: &Question, buckets: Option<Buckets>) -> Value {
    let terms = |field: &str, size: usize| {
        let order = json!([{ "_count": "desc" }, { "_key": "asc" }]);
        json!({ "terms": { "field": field, "size": size, "shard_size": SHARD_TERMS, "order": order } })
    };
    let mut aggs = json!({
        "hashtags": terms("hashtags", MOST_TAGS),
        "cells": terms("cell", MOST_CELLS),
        "placed": { "value_count": { "field": "cell" } },
    });
    if let Some(buckets) = buckets {
        let interval = format!("{}ms", buckets.length);
        aggs["over_time"] = json!({
            "date_histogram": { "field": "created_at", "fixed_interval": interval, "min_doc_count": 1 }
        });
    }
    json!({
        "size": MOST_SAMPLES,
        "track_total_hits": true,
        "query": query(question),
        "sort": [{ "created_at": { "order": "desc", "missing": "_last" } }, { "id": "desc" }],
        "aggs": aggs,
    })
}

/// What was found.
pub(super) fn read(answer: &Value) -> Result<Findings, CallError> {
    // An answer from some of the shards is incomplete.
    if answer["timed_out"] == true || answer["_shards"]["failed"].as_u64().unwrap_or(1) > 0 {
        return Err(CallError::Strange("not all shards answered".to_owned()));
    }
    let aggregations = &answer["aggregations"];
    let buckets = |name: &str| aggregations[name]["buckets"].as_array().cloned().unwrap_or_default();
    let terms = |name: &str| {
        let buckets = buckets(name).into_iter();
        let term = |bucket: Value| Some((bucket["key"].as_str()?.to_owned(), bucket["doc_count"].as_u64()?));
        buckets.filter_map(term).collect()
    };
    let total = answer["hits"]["total"]["value"].as_u64();
    let hits = answer["hits"]["hits"].as_array().map(Vec::as_slice).unwrap_or_default();
    let counted = |bucket: &Value| Some((bucket["key"].as_i64()?, bucket["doc_count"].as_u64()?));
    Ok(Findings {
        total: total.ok_or(CallError::Strange("no total".to_owned()))?,
        over_time: buckets("over_time").iter().filter_map(counted).collect(),
        hashtags: terms("hashtags"),
        placed: aggregations["placed"]["value"].as_f64().unwrap_or(0.0) as u64,
        cells: terms("cells"),
        samples: hits.iter().map(|hit| hit["_source"].clone()).collect(),
    })
}

fn query(question: &Question) -> Value {
    let words = question.words.iter().map(|word| {
        // The server tokenizes a word again, as it did with the text.
        json!({ "match": { "text": { "query": word, "operator": "and" } } })
    });
    let hashtags = question.hashtags.iter().map(|tag| json!({ "term": { "hashtags": tag } }));
    let names = question
        .names
        .iter()
        .map(|name| json!({ "term": { "screen_name": { "value": name, "case_insensitive": true } } }));
    let mut all: Vec<Value> = words.chain(hashtags).chain(names).collect();
    if question.from.is_some() || question.to.is_some() {
        let mut range = json!({ "format": "epoch_millis" });
        question.from.iter().for_each(|from| range["gte"] = json!(from));
        question.to.iter().for_each(|to| range["lt"] = json!(to));
        all.push(json!({ "range": { "created_at": range } }));
    }
    json!({ "bool": { "filter": all } })
}
