//! JSON text as the original writes it: three blanks of indent, everything beyond ASCII escaped (reference http-api
//! 1.7), and the one-line form of streamed replies (2.4).

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Pretty-printed JSON.
pub(super) fn pretty<T: Serialize>(value: &T) -> Vec<u8> {
    write(value, Ascii(PrettyFormatter::with_indent(b"   ")), 512)
}

/// JSON on one line with blanks behind `,` and `:`.
pub(super) fn one_line<T: Serialize>(value: &T) -> Vec<u8> {
    write(value, Ascii(OneLine), 128)
}

/// Serialization fails only for maps whose keys are not text, and no reply has one; an empty text would then be sent.
fn write<T: Serialize, F: Formatter>(value: &T, formatter: F, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    if value.serialize(&mut Serializer::with_formatter(&mut out, formatter)).is_err() {
        out.clear();
    }
    out
}

struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// Escapes what is not printable ASCII; the layout is the inner formatter's.
struct Ascii<F>(F);

impl<F: Formatter> Formatter for Ascii<F> {
    fn write_string_fragment<W: io::Write + ?Sized>(&mut self, out: &mut W, text: &str) -> io::Result<()> {
        let plain = |byte: u8| byte.is_ascii() && byte != 0x7f;
        if text.bytes().all(plain) {
            return out.write_all(text.as_bytes());
        }
        let mut units = [0; 2];
        for character in text.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                write!(out, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn begin_array<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: io::Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_and_escapes_are_those_of_python_json_dumps() {
        // python3 -c 'import json; print(json.dumps({"a": [1, "é\x7f\n\"\x01"], "b": {}, "c": []}, indent=3))'
        let value = serde_json::json!({"a": [1, "\u{e9}\u{7f}\n\"\u{1}"], "b": {}, "c": []});
        let expected = "{\n   \"a\": [\n      1,\n      \"\\u00e9\\u007f\\n\\\"\\u0001\"\n   ],\n   \"b\": {},\n   \"c\": []\n}";
        assert_eq!(String::from_utf8(pretty(&value)).unwrap(), expected);
        let line = "{\"a\": [1, \"\\u00e9\\u007f\\n\\\"\\u0001\"], \"b\": {}, \"c\": []}";
        assert_eq!(String::from_utf8(one_line(&value)).unwrap(), line);
    }
}
