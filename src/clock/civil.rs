//! The Gregorian calendar in UTC, and RFC 3339. Written out here, and not taken from the calendar
//! library, because every build of the engine reads and writes times, and only plans need time zones:
//! the library is a third of the browser's engine.

/// Milliseconds in a day.
pub(super) const DAY_MS: i64 = 86_400_000;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

/// Days of an era of 400 years, after which the calendar repeats.
const ERA: i64 = 146_097;
/// Days from 0000-03-01, where years that end with February begin, to 1970-01-01.
const TO_1970: i64 = 719_468;

impl Date {
    /// The date so many days after 1970-01-01.
    pub fn of_days(days: i64) -> Self {
        let days = days.saturating_add(TO_1970);
        let (era, in_era) = (days.div_euclid(ERA), days.rem_euclid(ERA));
        // Leap days make a year a little longer than 365 days; take them out, then divide.
        let leaps = div(in_era, 1_460).saturating_sub(div(in_era, 36_524));
        let leaps = leaps.saturating_add(div(in_era, 146_096));
        let year = div(in_era.saturating_sub(leaps), 365);
        let in_year = in_era.saturating_sub(days_before(year));
        // March is month 0; months come in groups of five with 153 days.
        let month = div(in_year.saturating_mul(5).saturating_add(2), 153);
        let day = in_year.saturating_sub(month_start(month)).saturating_add(1);
        let year = year.saturating_add(era.saturating_mul(400));
        if month < 10 {
            Self { year, month: month.saturating_add(3), day }
        } else {
            Self { year: year.saturating_add(1), month: month.saturating_sub(9), day }
        }
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i64 {
        let early = self.month <= 2;
        let year = self.year.saturating_sub(i64::from(early));
        let month = self.month.saturating_add(if early { 9 } else { -3 });
        let (era, in_era) = (year.div_euclid(400), year.rem_euclid(400));
        let in_year = month_start(month).saturating_add(self.day).saturating_sub(1);
        let days = era.saturating_mul(ERA).saturating_add(days_before(in_era));
        days.saturating_add(in_year).saturating_sub(TO_1970)
    }

    /// The first of the month after.
    pub fn next_month(self) -> Self {
        match self.month {
            12 => Self { year: self.year.saturating_add(1), month: 1, day: 1 },
            month => Self { month: month.saturating_add(1), day: 1, ..self },
        }
    }

    /// Whether there is such a day.
    fn is_real(self) -> bool {
        let first = Self { day: 1, ..self };
        (1..=12).contains(&self.month)
            && (1..=first.next_month().days().saturating_sub(first.days())).contains(&self.day)
    }
}

fn div(number: i64, by: i64) -> i64 {
    number.checked_div(by).unwrap_or(0)
}

/// Days before a year of an era.
fn days_before(year: i64) -> i64 {
    year.saturating_mul(365).saturating_add(div(year, 4)).saturating_sub(div(year, 100))
}

/// Days before a month, from March = 0.
fn month_start(month: i64) -> i64 {
    div(month.saturating_mul(153).saturating_add(2), 5)
}

/// Milliseconds since 1970 of an RFC 3339 time; digits past the millisecond are cut, and a leap
/// second is the second before it.
pub(super) fn parse(text: &str) -> Option<i64> {
    let mut rest = text.as_bytes();
    let date = Date {
        year: number(&mut rest, 4)?,
        month: after(&mut rest, b"-").and_then(|()| number(&mut rest, 2))?,
        day: after(&mut rest, b"-").and_then(|()| number(&mut rest, 2))?,
    };
    after(&mut rest, b"Tt ")?;
    let hour = number(&mut rest, 2).filter(|hour| *hour < 24)?;
    after(&mut rest, b":")?;
    let minute = number(&mut rest, 2).filter(|minute| *minute < 60)?;
    after(&mut rest, b":")?;
    let second = number(&mut rest, 2).filter(|second| *second <= 60)?.min(59);
    let ms = fraction(&mut rest)?;
    let offset = offset(&mut rest)?;
    if !rest.is_empty() || !date.is_real() {
        return None;
    }
    let minutes = hour.saturating_mul(60).saturating_add(minute).saturating_sub(offset);
    let seconds = minutes.saturating_mul(60).saturating_add(second);
    let in_day = seconds.saturating_mul(1_000).saturating_add(ms);
    Some(date.days().saturating_mul(DAY_MS).saturating_add(in_day))
}

/// One of some letters.
fn after(rest: &mut &[u8], letters: &[u8]) -> Option<()> {
    let (first, more) = rest.split_first()?;
    *rest = more;
    letters.contains(first).then_some(())
}

/// Exactly so many digits.
fn number(rest: &mut &[u8], digits: usize) -> Option<i64> {
    let (text, more) = rest.split_at_checked(digits)?;
    *rest = more;
    text.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit.saturating_sub(b'0'))?;
        Some(number.saturating_mul(10).saturating_add(i64::from(digit)))
    })
}

/// `.5` in milliseconds; nothing there is none. One to nine digits, as calendar libraries take.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some(more) = rest.strip_prefix(b".") else { return Some(0) };
    let digits = more.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (text, more) = more.split_at_checked(digits)?;
    *rest = more;
    if !(1..=9).contains(&digits) {
        return None;
    }
    let three = text.iter().copied().chain(*b"00").take(3);
    Some(three.fold(0, |number, digit| {
        i64::from(digit.saturating_sub(b'0')).saturating_add(number.saturating_mul(10))
    }))
}

/// Minutes east of UTC.
fn offset(rest: &mut &[u8]) -> Option<i64> {
    let (sign, more) = rest.split_first()?;
    *rest = more;
    let sign = match sign {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(rest, 2).filter(|hours| *hours < 24)?;
    after(rest, b":")?;
    let minutes = number(rest, 2).filter(|minutes| *minutes < 60)?;
    Some(hours.saturating_mul(60).saturating_add(minutes).saturating_mul(sign))
}
