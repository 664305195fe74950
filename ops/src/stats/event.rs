//! Messages of the channels `stats.ops.*`.

use serde_json::Number;
use storage::net::mirrored::OPERATIONS;

/// The channels.
pub(super) const PATTERN: &str = "stats.ops.*";

/// Longest name of a channel.
const LONGEST_LABEL: usize = 512;

/// Converts a message to a line `label value unix_seconds`: the channel is the label, the payload is `[value,
/// unix_seconds]`.
///
/// # Errors
/// The message has another form; the text says why.
pub(super) fn line(channel: &str, payload: &[u8]) -> Result<String, String> {
    // Carbon splits by white space and lines. The driver returns a name that is not UTF-8 as `?`.
    let divides = |c: char| c.is_whitespace() || c.is_control();
    if !channel.starts_with(OPERATIONS) || channel.len() > LONGEST_LABEL || channel.contains(divides) {
        return Err("the channel's name cannot be a label".to_owned());
    }
    let (value, seconds): (Number, Number) =
        serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    Ok(format!("{channel} {value} {seconds}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_makes_a_line() {
        assert_eq!(
            line("stats.ops.timeline.w1", b"[200, 1700000000]").unwrap(),
            "stats.ops.timeline.w1 200 1700000000\n"
        );
        assert_eq!(
            line("stats.ops.update.w", b"[1.5,1700000000.25]").unwrap(),
            "stats.ops.update.w 1.5 1700000000.25\n"
        );
    }

    #[test]
    fn what_is_no_pair_of_numbers_is_refused() {
        for bad in [
            &b""[..],
            b"1",
            b"[]",
            b"[1]",
            b"[1,2,3]",
            b"[\"1\",2]",
            b"[1,null]",
            b"{",
            b"\xff",
            b"[NaN,1]",
            b"[1e999,1]",
        ] {
            assert!(line("stats.ops.timeline.w", bad).is_err(), "{bad:?}");
        }
        for bad in ["", "?", "stats.ops.a b", "stats.ops.a\n", &"x".repeat(600)] {
            assert!(line(bad, b"[1,2]").is_err(), "{bad:?}");
        }
    }
}
