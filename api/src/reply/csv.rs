//! The CSV dialect of `admin/show` (reference http-api 2.5).

use bytes::Bytes;
use http::header::{CONTENT_DISPOSITION, HeaderValue};

use super::Reply;

/// A table of rows with a header line: every field in single quotes followed by `; `, line breaks inside values become
/// blanks. No rows give an empty body.
pub(crate) fn token_table<R, F>(header: &[&str], rows: R) -> Reply
where
    R: IntoIterator<Item = F>,
    F: IntoIterator<Item = String>,
{
    let mut text = String::new();
    for row in rows {
        if text.is_empty() {
            line(&mut text, header);
        }
        line(&mut text, row);
    }
    Reply::new(HeaderValue::from_static("application/force-download"), Bytes::from(text))
        .header(CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=linotp-tokendata.csv"))
}

fn line<S: AsRef<str>>(text: &mut String, fields: impl IntoIterator<Item = S>) {
    for field in fields {
        text.push('\'');
        text.extend(field.as_ref().chars().map(|c| if matches!(c, '\n' | '\r') { ' ' } else { c }));
        text.push_str("'; ");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_quoted_and_followed_by_a_semicolon() {
        let rows = [["A1".to_owned(), "two\nlines".to_owned()]];
        let reply = token_table(&["Serial", "Desc"], rows);
        assert_eq!(&reply.body[..], b"'Serial'; 'Desc'; \n'A1'; 'two lines'; \n");
        assert_eq!(
            reply.headers.get(CONTENT_DISPOSITION).unwrap(),
            "attachment; filename=linotp-tokendata.csv"
        );
    }

    #[test]
    fn no_rows_give_an_empty_body() {
        assert!(token_table(&["Serial"], Vec::<Vec<String>>::new()).body.is_empty());
    }
}
