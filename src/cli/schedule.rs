//! `--schedule`: limits by the time of day, as they are typed.

use jiff::{civil::Time, tz::TimeZone};

use super::{
    failure::{Failure, Outcome},
    units::Rate,
};
use crate::client::{MAX_WINDOWS, Schedule, Window};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// One window: `mon-fri 08:00-18:00 up=256KiB/s down=1MiB/s`.
pub(super) fn window(text: &str) -> Result<Window, String> {
    let mut words = text.split_whitespace().peekable();
    let has_days = |word: &&str| word.starts_with(|c: char| c.is_ascii_alphabetic());
    let days = match words.next_if(has_days) {
        Some(word) => days(word)?,
        None => [true; 7],
    };
    let times = words.next().and_then(|word| {
        let (from, to) = word.split_once('-')?;
        Some((time(from)?, time(to)?))
    });
    let (from, to) = times.ok_or_else(|| {
        format!("`{text}` has no time such as 08:00-18:00: write it as `mon-fri 08:00-18:00 up=256KiB/s`")
    })?;
    let (mut up, mut down) = (None, None);
    for word in words {
        let (slot, rate) = match word.split_once('=') {
            Some(("up", rate)) => (&mut up, rate),
            Some(("down", rate)) => (&mut down, rate),
            _ => return Err(format!("`{word}` is neither up=RATE nor down=RATE")),
        };
        let limit = match rate {
            "none" => None,
            rate => Some(rate.parse::<Rate>()?.0),
        };
        if slot.replace(limit).is_some() {
            return Err(format!("`{text}` names a limit twice"));
        }
    }
    if up.is_none() && down.is_none() {
        return Err(format!(
            "`{text}` has no limit: add up=RATE, down=RATE or both"
        ));
    }
    Ok(Window {
        days,
        from,
        to,
        up,
        down,
    })
}

/// Days of the week: `mon-fri`, or `mon,wed,sat-sun`.
fn days(word: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| {
        let place = DAYS.iter().position(|day| name.eq_ignore_ascii_case(day));
        place
            .ok_or_else(|| format!("`{name}` is no day: write mon, tue, wed, thu, fri, sat or sun"))
    };
    let mut days = [false; 7];
    for part in word.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // From Saturday to Monday is over the end of the week.
        let is_in = |at: usize| match first <= last {
            true => (first..=last).contains(&at),
            false => at >= first || at <= last,
        };
        for (at, is_on) in days.iter_mut().enumerate() {
            *is_on |= is_in(at);
        }
    }
    Ok(days)
}

/// `08:30`; `24:00` is midnight.
fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    match (number(hour)?, number(minute)?) {
        (24, 0) => Some(Time::midnight()),
        (hour, minute) => Time::new(hour, minute, 0, 0).ok(),
    }
}

/// The windows by this machine's clock on the wall.
pub(super) fn schedule(windows: &[Window]) -> Outcome<Schedule> {
    if windows.is_empty() {
        return Ok(Schedule::default());
    }
    if windows.len() > MAX_WINDOWS {
        let why = format!("a schedule has {MAX_WINDOWS} times at most");
        return Err(Failure::usage(why));
    }
    let zone = TimeZone::try_system().map_err(|error| {
        let why = format!("--schedule needs this machine's time zone, which is not known: {error}");
        Failure::failed("config", why).hint("set TZ, for example TZ=Europe/Berlin or TZ=UTC")
    })?;
    Ok(Schedule::new(windows.to_vec(), zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(days: &[usize]) -> [bool; 7] {
        std::array::from_fn(|at| days.contains(&at))
    }

    #[test]
    fn windows_are_read() {
        let time = |hour, minute| Time::new(hour, minute, 0, 0).unwrap();
        let read = window("mon-fri 08:00-18:30 up=256KiB/s down=1MiB/s").unwrap();
        let expected = Window {
            days: on(&[0, 1, 2, 3, 4]),
            from: time(8, 0),
            to: time(18, 30),
            up: Some(Some(256 << 10)),
            down: Some(Some(1 << 20)),
        };
        assert_eq!(read, expected);
        let read = window("22:00-6:00 down=none").unwrap();
        assert_eq!(
            (read.days, read.up, read.down),
            ([true; 7], None, Some(None))
        );
        assert_eq!((read.from, read.to), (time(22, 0), time(6, 0)));
        let read = window("Sat-mon,WED 00:00-24:00 up=1MiB/s").unwrap();
        assert_eq!(read.days, on(&[0, 2, 5, 6]));
        assert_eq!((read.from, read.to), (time(0, 0), time(0, 0)));
    }

    #[test]
    fn what_is_no_window_is_said() {
        for (text, why) in [
            ("", "has no time"),
            ("mon-fri", "has no time"),
            ("mon 8-18 up=1MiB/s", "has no time"),
            ("25:00-26:00 up=1MiB/s", "has no time"),
            ("08:60-09:00 up=1MiB/s", "has no time"),
            ("+8:00-09:00 up=1MiB/s", "has no time"),
            ("24:30-09:00 up=1MiB/s", "has no time"),
            ("noday 08:00-09:00 up=1MiB/s", "`noday` is no day"),
            ("mon- 08:00-09:00 up=1MiB/s", "`` is no day"),
            ("08:00-09:00", "has no limit"),
            ("08:00-09:00 left=1MiB/s", "neither up=RATE nor down=RATE"),
            ("08:00-09:00 up=fast", "`fast` is not a rate"),
            ("08:00-09:00 up=0", "would never finish"),
            ("08:00-09:00 up=1MiB/s up=2MiB/s", "names a limit twice"),
        ] {
            let told = window(text).unwrap_err();
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn too_many_times_are_refused() {
        let one = window("08:00-09:00 up=1MiB/s").unwrap();
        assert!(schedule(&[one; MAX_WINDOWS + 1]).is_err());
    }
}
