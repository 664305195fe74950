//! Billing cycles, by the dates of the network.

use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;
/// 9999-12-31T23:59:59Z: no `Date` is later.
const LAST: u64 = 253_402_300_799;

/// When cycles begin, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CycleRule {
    /// At the beginning of this day of each month, 1 to 28.
    Monthly {
        /// Day of the month.
        day: u8,
    },
    /// Every so many seconds, counted from 1970.
    Every {
        /// Length of a cycle; 0 counts as 1.
        seconds: u64,
    },
}

impl CycleRule {
    /// The number of the cycle at a moment, Unix seconds. A later moment never has a smaller number.
    pub fn number(self, unix: u64) -> u64 {
        let unix = unix.min(LAST);
        match self {
            Self::Every { seconds } => unix / seconds.max(1),
            Self::Monthly { day } => {
                let (year, month, day_of_month) = civil(unix / DAY);
                let begun = day_of_month >= day_in_range(day);
                (year * 12 + month - 1).saturating_sub(u64::from(!begun))
            }
        }
    }

    /// When a cycle begins, Unix seconds.
    pub fn start(self, number: u64) -> u64 {
        match self {
            Self::Every { seconds } => number.saturating_mul(seconds.max(1)),
            Self::Monthly { day } => {
                days_until(number / 12, number % 12 + 1, day_in_range(day)).saturating_mul(DAY)
            }
        }
    }
}

/// A moment in UTC for people, as `2026-12-01 00:00:00 UTC`.
pub fn utc(unix: u64) -> String {
    let unix = unix.min(LAST);
    let ((year, month, day), second) = (civil(unix / DAY), unix % DAY);
    let (hour, minute) = (second / 3600, second % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

fn day_in_range(day: u8) -> u64 {
    u64::from(day.clamp(1, 28))
}

/// Days from 1970-01-01 to a date. The year is counted from March, so that a leap day is its last day.
fn days_until(year: u64, month: u64, day: u64) -> u64 {
    let year_from_march = year.saturating_sub(u64::from(month <= 2));
    let month_from_march = (month + 9) % 12;
    let leap_days = year_from_march / 4 - year_from_march / 100 + year_from_march / 400;
    let in_year = (153 * month_from_march + 2) / 5 + day - 1;
    (year_from_march * 365 + leap_days + in_year).saturating_sub(719_468)
}

/// Year, month and day of the month of a day, both from 1.
fn civil(days: u64) -> (u64, u64, u64) {
    // The last guess that is not too late; a year has at most 366 days.
    let mut year = 1970 + days / 366;
    while days_until(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_until(year, *month, 1) <= days).unwrap_or(1);
    (year, month, days - days_until(year, month, 1) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23T08:21:01Z
    const NOW: u64 = 1_795_422_061;

    #[test]
    fn a_month_begins_on_its_day_and_numbers_never_go_back() {
        for day in [1, 12, 23, 24, 28] {
            let rule = CycleRule::Monthly { day };
            let number = rule.number(NOW);
            assert!((rule.start(number)..rule.start(number + 1)).contains(&NOW), "day {day}");
            let mut last = 0;
            for days in 0..40_000 {
                let number = rule.number(days * DAY);
                assert!(number >= last && number <= last + 1 || days == 0, "day {day}, {days}");
                last = number;
                let start = rule.start(number);
                assert!(start <= days * DAY || start == 0 || days < 31);
                assert_eq!(rule.number(rule.start(number).max(31 * DAY)), number.max(rule.number(31 * DAY)));
            }
        }
        let rule = CycleRule::Monthly { day: 12 };
        // 2026-11-12 and 2026-12-12.
        assert_eq!(rule.start(rule.number(NOW)), 1_794_441_600);
        assert_eq!(rule.start(rule.number(NOW) + 1), 1_797_033_600);
    }

    #[test]
    fn a_leap_day_is_a_day() {
        // 2028-02-29 and 2028-03-01.
        assert_eq!(civil(1_835_395_200 / DAY), (2028, 2, 29));
        assert_eq!(civil(1_835_481_600 / DAY), (2028, 3, 1));
        assert_eq!(days_until(2028, 3, 1) * DAY, 1_835_481_600);
        assert_eq!(utc(1_795_422_061), "2026-11-23 08:21:01 UTC");
        assert_eq!(utc(u64::MAX), "9999-12-31 23:59:59 UTC");
    }

    #[test]
    fn a_century_has_a_leap_day_only_every_fourth_time() {
        for (date, days) in [
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 12, 31), 20_818),
            ((2027, 1, 1), 20_819),
            ((2100, 2, 28), 47_540),
            ((2100, 3, 1), 47_541),
            ((2400, 2, 29), 157_113),
            ((2400, 3, 1), 157_114),
        ] {
            let (year, month, day) = date;
            assert_eq!((days_until(year, month, day), civil(days)), (days, date));
        }
        assert_eq!((civil(0), civil(364), civil(365)), ((1970, 1, 1), (1970, 12, 31), (1971, 1, 1)));
    }

    #[test]
    fn a_cycle_of_seconds_begins_at_a_multiple_of_its_length() {
        let rule = CycleRule::Every { seconds: 90 };
        assert_eq!((rule.number(0), rule.number(89), rule.number(90), rule.number(NOW)), (0, 0, 1, NOW / 90));
        assert_eq!((rule.start(0), rule.start(7)), (0, 630));
    }

    #[test]
    fn wild_dates_cost_no_time_and_do_not_panic() {
        for rule in
            [CycleRule::Every { seconds: 0 }, CycleRule::Monthly { day: 0 }, CycleRule::Monthly { day: 255 }]
        {
            let number = rule.number(u64::MAX);
            assert!(rule.start(number) <= LAST && number == rule.number(LAST));
        }
    }
}
