//! Views: pure functions of a timeline. Nothing asks them anything.

pub mod axis;
pub mod chrome;
pub mod diff;
pub mod dot;
mod drawing;
pub mod fold;
pub mod follow;
pub mod html;
pub mod json;
pub mod list;
pub mod otlp;
pub mod plan;
pub mod svg;
pub mod text;
mod words;
pub mod zones;

/// A moment in nanoseconds since 1970 as `2026-11-22 05:26:50Z`.
pub fn utc(wall_ns: u64) -> String {
    let seconds = wall_ns / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // civil date from days, in years that begin in March, 400 years an era
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z",
        of_day / 3_600,
        of_day % 3_600 / 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_795_325_210, "2026-11-22 05:26:50Z"),
            (4_107_542_399, "2100-02-28 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(super::utc(seconds * 1_000_000_000), text);
        }
        assert_eq!(super::utc(u64::MAX), "2554-07-21 23:34:33Z");
    }
}
