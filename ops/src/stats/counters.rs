//! Reads the counters.

use api::documents::counters;
use redis::aio::ConnectionLike;

/// The result: a line for each counter, and the counters without a number.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) lines: Vec<u8>,
    pub(super) points: u64,
    pub(super) odd: Vec<&'static str>,
}

/// Reads all counters at once; one that was never written is 0.
pub(super) async fn read(connection: &mut impl ConnectionLike, now: u64) -> redis::RedisResult<Reading> {
    // `MGET` returns nil for a key that is not a string, so that such a key does not affect the others.
    let names: Vec<&str> = counters::all().collect();
    let values: Vec<Option<Vec<u8>>> = redis::cmd("MGET").arg(names).query_async(connection).await?;
    Ok(reading(&values, now))
}

fn reading(values: &[Option<Vec<u8>>], now: u64) -> Reading {
    let mut reading = Reading::default();
    for (label, value) in counters::all().zip(values) {
        let value = value.as_deref().map_or(Some("0"), number);
        match value {
            Some(value) => {
                reading.lines.extend_from_slice(format!("{label} {value} {now}\n").as_bytes());
                reading.points += 1;
            }
            None => reading.odd.push(label),
        }
    }
    reading
}

fn number(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_makes_a_line_and_one_that_holds_no_number_spoils_no_other() {
        let mut values = vec![None; counters::all().count()];
        values[0] = Some(b"12".to_vec());
        values[1] = Some(b"nan".to_vec());
        values[2] = Some(b"1\n2".to_vec());
        let reading = reading(&values, 1_700_000_000);
        let text = String::from_utf8(reading.lines).unwrap();
        assert!(
            text.starts_with("timeline.total_included 12 1700000000\nanalyzer.total_included 0 1700000000\n")
        );
        assert_eq!((reading.points, text.lines().count()), (13, 13));
        assert_eq!(reading.odd, ["timeline.total_fetched", "follower.total_fetched"]);
    }
}
