//! Calendar dates in UTC, as zip headers and HTTP have them.

/// A date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u16,
    pub(crate) month: u8,
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
}

/// Days from 1 March of year 0 to 1970.
const EPOCH: i64 = 719_468;

/// The date of a Unix time; years outside of 0..=65535 become 0.
///
/// Years are counted from 1 March, so that the leap day is the last one.
pub(crate) fn from_unix(seconds: i64) -> Date {
    let days = seconds.div_euclid(86_400) + EPOCH;
    let time = seconds.rem_euclid(86_400);
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Date {
        year: u16::try_from(year).unwrap_or(0),
        month: month as u8,
        day: (day_of_year - (153 * shifted + 2) / 5 + 1) as u8,
        hour: (time / 3600) as u8,
        minute: (time / 60 % 60) as u8,
        second: (time % 60) as u8,
    }
}

/// The Unix time of a date.
pub(crate) fn to_unix(date: Date) -> i64 {
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - EPOCH;
    days * 86_400
        + i64::from(date.hour) * 3600
        + i64::from(date.minute) * 60
        + i64::from(date.second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_are_right() {
        let date = |seconds| {
            let date = from_unix(seconds);
            (
                date.year,
                date.month,
                date.day,
                date.hour,
                date.minute,
                date.second,
            )
        };
        assert_eq!(date(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(date(951_868_799), (2000, 2, 29, 23, 59, 59));
        assert_eq!(date(1_700_000_000), (2023, 11, 14, 22, 13, 20));
        assert_eq!(date(-1), (1969, 12, 31, 23, 59, 59));
        assert_eq!(from_unix(i64::MAX).year, 0);
    }

    proptest! {
        #[test]
        fn every_time_comes_back(seconds in -60_000_000_000i64..1_900_000_000_000) {
            prop_assert_eq!(to_unix(from_unix(seconds)), seconds);
        }
    }
}
