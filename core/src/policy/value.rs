//! The types of action values: how a written value is read at run time (reference policies 2.2).

use super::items::Written;
use crate::settings::parse_duration;

/// The type of an action's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// On or off.
    Bool,
    /// A number.
    Int,
    /// Any text.
    Text,
    /// One word, or several separated by blanks.
    Set,
    /// A number, or a duration.
    IntOrDuration,
}

impl Kind {
    /// The name in `getPolicyDef`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Text => "str",
            Self::Set | Self::IntOrDuration => "set",
        }
    }
}

/// A type an action's value is read as.
pub trait ActionValue: Sized + PartialEq {
    /// Its type in the catalogue.
    const KIND: Kind;

    /// Reads a written value; `None` if it is not of this type, which makes the request fail.
    fn read(written: &Written) -> Option<Self>;
}

/// A switch. `yes` and `on` count as true (D18); every number but zero does.
impl ActionValue for bool {
    const KIND: Kind = Kind::Bool;

    fn read(written: &Written) -> Option<Self> {
        Some(match written {
            Written::On => true,
            Written::Off => false,
            Written::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => true,
                number => !number.is_empty() && is_digits(number) && number.bytes().any(|byte| byte != b'0'),
            },
        })
    }
}

impl ActionValue for i64 {
    const KIND: Kind = Kind::Int;

    fn read(written: &Written) -> Option<Self> {
        match written {
            Written::On => Some(1),
            Written::Off => Some(0),
            Written::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl ActionValue for Box<str> {
    const KIND: Kind = Kind::Text;

    fn read(written: &Written) -> Option<Self> {
        Some(match written {
            Written::On => "True".into(),
            Written::Off => "False".into(),
            Written::Text(text) => text.clone(),
        })
    }
}

/// Words separated by blanks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(pub Vec<Box<str>>);

impl ActionValue for Words {
    const KIND: Kind = Kind::Set;

    fn read(written: &Written) -> Option<Self> {
        Some(Self(match written {
            Written::On => vec!["True".into()],
            Written::Off => Vec::new(),
            Written::Text(text) => words(text).map(Box::from).collect(),
        }))
    }
}

/// The words of a list separated by blanks; surplus blanks are ignored.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

/// A number, or a duration in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntOrDuration {
    /// A number whose unit the action knows.
    Int(i64),
    /// A duration in seconds.
    Seconds(u64),
}

impl ActionValue for IntOrDuration {
    const KIND: Kind = Kind::IntOrDuration;

    fn read(written: &Written) -> Option<Self> {
        if let Some(number) = i64::read(written) {
            return Some(Self::Int(number));
        }
        match written {
            Written::Text(text) => parse_duration(text).map(Self::Seconds),
            Written::On | Written::Off => None,
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::items::Items;

    fn read<T: ActionValue>(action: &str) -> Option<T> {
        let items = Items::parse(action).unwrap();
        T::read(items.get("k").unwrap())
    }

    /// The table of reference policies 2.2, with D18.
    #[test]
    fn written_values_are_converted_by_type() {
        let text = |value: &str| Some(Box::<str>::from(value));
        for (action, bool, int, string) in [
            ("k", true, Some(1), text("True")),
            ("!k", false, Some(0), text("False")),
            ("k=false", false, Some(0), text("False")),
            ("k=true", true, None, text("true")),
            ("k=TRUE", true, None, text("TRUE")),
            ("k=1", true, Some(1), text("1")),
            ("k=2", true, Some(2), text("2")),
            ("k=0", false, Some(0), text("0")),
            ("k=-1", false, Some(-1), text("-1")),
            ("k=yes", true, None, text("yes")),
            ("k=on", true, None, text("on")),
            ("k=", false, None, text("")),
            ("k=abc", false, None, text("abc")),
        ] {
            assert_eq!(read::<bool>(action), Some(bool), "{action}");
            assert_eq!(read::<i64>(action), int, "{action}");
            assert_eq!(read::<Box<str>>(action), string, "{action}");
        }
    }

    #[test]
    fn sets_and_durations_are_read() {
        let set = |list: &[&str]| Some(Words(list.iter().map(|word| (*word).into()).collect()));
        assert_eq!(read::<Words>("k=qr  u2f "), set(&["qr", "u2f"]));
        assert_eq!(read::<Words>("k="), set(&[]));
        assert_eq!(read::<IntOrDuration>("k=10"), Some(IntOrDuration::Int(10)));
        assert_eq!(read::<IntOrDuration>("k=8d 1m"), Some(IntOrDuration::Seconds(8 * 86_400 + 60)));
        assert_eq!(read::<IntOrDuration>("k=P1DT2H"), Some(IntOrDuration::Seconds(93_600)));
        assert_eq!(read::<IntOrDuration>("k=soon"), None);
    }
}
