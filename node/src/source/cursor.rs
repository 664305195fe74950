//! Detects walks that never end.

use serde::{Deserialize, Serialize};

/// A cursor was repeated: following it would never end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cursor {cursor:?} came again, so the pages repeat without end; the walk has to start over")]
pub struct CursorLoops {
    /// The cursor that was seen before.
    pub cursor: String,
}

/// Detects a cycle of cursors with the memory of one cursor (Brent, 1980).
///
/// A cycle of `n` pages is detected within three rounds of it, or of the pages before it. The state can be
/// saved with the cursor, so that a walk resumed elsewhere stays guarded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorWatch {
    anchor: Option<String>,
    /// Cursors seen since the anchor was set, and how many until the next one is.
    steps: u64,
    reach: u64,
}

impl CursorWatch {
    /// A watch that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the next cursor of the walk.
    pub fn check(&mut self, cursor: &str) -> Result<(), CursorLoops> {
        if self.anchor.as_deref() == Some(cursor) {
            return Err(CursorLoops { cursor: cursor.to_owned() });
        }
        self.steps += 1;
        if self.anchor.is_none() || self.steps >= self.reach {
            self.anchor = Some(cursor.to_owned());
            self.steps = 0;
            self.reach = self.reach.saturating_mul(2).max(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_walk_of_any_length_passes() {
        let mut watch = CursorWatch::new();
        for page in 0..100_000u32 {
            watch.check(&page.to_string()).unwrap();
        }
    }

    #[test]
    fn a_circle_is_noticed_within_three_rounds() {
        for (tail, circle) in [(0u32, 1u32), (0, 2), (5, 1), (7, 13), (100, 64), (3, 1000)] {
            let mut watch = CursorWatch::new();
            let at = |step: u32| if step < tail { step } else { tail + (step - tail) % circle };
            let noticed = (0..).find(|&step| watch.check(&at(step).to_string()).is_err()).unwrap();
            assert!(noticed <= 3 * (tail + circle), "{tail}+{circle}: only after {noticed}");
        }
    }

    #[test]
    fn a_saved_watch_goes_on_where_it_was() {
        let mut watch = CursorWatch::new();
        for cursor in ["a", "b", "c"] {
            watch.check(cursor).unwrap();
        }
        let saved = serde_json::to_string(&watch).unwrap();
        let mut restored: CursorWatch = serde_json::from_str(&saved).unwrap();
        assert_eq!(restored, watch);
        assert!((0..10).any(|i| restored.check(["c", "d", "b"][i % 3]).is_err()));
    }
}
