//! From the bytes of a request to its parameters.

use super::{Control, MAX_PARAMETERS, Params, Value};

/// What the request's body is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing that carries parameters.
    None,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`; the query string is then ignored.
    Json,
    /// `multipart/form-data` with this boundary.
    Multipart(String),
}

/// Why a request's parameters cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is no JSON object.
    #[error("the body is not a JSON object")]
    Json,
    /// The body is no multipart form.
    #[error("the body is not a multipart form")]
    Multipart,
    /// More than [`MAX_PARAMETERS`] parameters.
    #[error("too many parameters")]
    TooMany,
}

impl BodyKind {
    /// The kind a `Content-Type` header announces.
    #[must_use]
    pub fn of(content_type: Option<&str>) -> Self {
        let Some(header) = content_type else { return Self::None };
        let (mime, attributes) = header.split_once(';').unwrap_or((header, ""));
        let mime = mime.trim().to_ascii_lowercase();
        match mime.as_str() {
            "application/x-www-form-urlencoded" => Self::Form,
            "application/json" => Self::Json,
            "multipart/form-data" => boundary(attributes).map_or(Self::None, Self::Multipart),
            other if other.starts_with("application/") && other.ends_with("+json") => Self::Json,
            _ => Self::None,
        }
    }
}

fn boundary(attributes: &str) -> Option<String> {
    attributes.split(';').find_map(|attribute| {
        let (name, value) = attribute.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let fits = !value.is_empty() && value.len() <= 70;
        (name.trim().eq_ignore_ascii_case("boundary") && fits).then(|| value.to_owned())
    })
}

/// Reads the parameters of a request.
///
/// # Errors
/// When the body is not what its type says, or there are too many parameters.
pub fn decode(query: Option<&str>, kind: BodyKind, body: &[u8]) -> Result<Params, Malformed> {
    let mut collected = Collector::default();
    match kind {
        BodyKind::Json => collected.json(body)?,
        BodyKind::None => collected.urlencoded(query.unwrap_or_default().as_bytes())?,
        BodyKind::Form => {
            collected.urlencoded(query.unwrap_or_default().as_bytes())?;
            collected.urlencoded(body)?;
        }
        BodyKind::Multipart(boundary) => {
            collected.urlencoded(query.unwrap_or_default().as_bytes())?;
            collected.multipart(body, &boundary)?;
        }
    }
    Ok(collected.finish())
}

#[derive(Default)]
struct Collector {
    entries: Vec<(String, Value)>,
    files: Vec<(String, String, Vec<u8>)>,
    control: Control,
    last_httperror: Option<String>,
    damaged: bool,
}

impl Collector {
    fn urlencoded(&mut self, text: &[u8]) -> Result<(), Malformed> {
        if text.is_empty() {
            return Ok(());
        }
        for (name, value) in form_urlencoded::parse(text) {
            self.add(&name, value.into_owned())?;
        }
        Ok(())
    }

    /// Adds a named value; decoding replaced what was not UTF-8 by U+FFFD.
    fn add(&mut self, name: &str, value: String) -> Result<(), Malformed> {
        self.damaged |= name.contains('\u{fffd}') || value.contains('\u{fffd}');
        match name.strip_suffix("[]") {
            Some(list) => self.append(list, value),
            None => self.insert(name, Value::Text(value)),
        }
    }

    fn append(&mut self, name: &str, element: String) -> Result<(), Malformed> {
        if let Some((_, Value::List(list))) =
            self.entries.iter_mut().find(|(known, value)| known == name && matches!(value, Value::List(_)))
        {
            list.push(element);
            return if list.len() > MAX_PARAMETERS { Err(Malformed::TooMany) } else { Ok(()) };
        }
        self.entries.retain(|(known, _)| known != name);
        self.insert(name, Value::List(vec![element]))
    }

    fn insert(&mut self, name: &str, value: Value) -> Result<(), Malformed> {
        if let Some(slot) = self.control_slot(name) {
            if let Value::Text(text) = value {
                slot.get_or_insert_with(|| text.clone());
                if name == "httperror" {
                    self.last_httperror = Some(text);
                }
            }
            return Ok(());
        }
        if name == "session" || self.entries.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        if self.entries.len() >= MAX_PARAMETERS {
            return Err(Malformed::TooMany);
        }
        self.entries.push((name.to_owned(), value));
        Ok(())
    }

    fn control_slot(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name {
            "httperror" => Some(&mut self.control.httperror),
            "client" => Some(&mut self.control.client),
            "csrf_token" => Some(&mut self.control.csrf_token),
            _ => None,
        }
    }

    fn json(&mut self, body: &[u8]) -> Result<(), Malformed> {
        let object: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(body).map_err(|_| Malformed::Json)?;
        for (name, value) in object {
            if let serde_json::Value::Array(elements) = value {
                let elements: Vec<String> = elements.into_iter().map(json_text).collect();
                self.insert(name.strip_suffix("[]").unwrap_or(&name), Value::List(elements))?;
            } else if !value.is_null() {
                self.insert(&name, Value::Text(json_text(value)))?;
            }
        }
        Ok(())
    }

    fn multipart(&mut self, body: &[u8], boundary: &str) -> Result<(), Malformed> {
        let delimiter = format!("--{boundary}");
        let (_, mut rest) = split_once(body, delimiter.as_bytes()).ok_or(Malformed::Multipart)?;
        let separator = format!("\r\n{delimiter}");
        while !rest.starts_with(b"--") {
            let (_, part) = split_once(rest, b"\r\n").ok_or(Malformed::Multipart)?;
            let (part, next) = split_once(part, separator.as_bytes()).ok_or(Malformed::Multipart)?;
            let (head, content) = split_once(part, b"\r\n\r\n").ok_or(Malformed::Multipart)?;
            match field_of(&String::from_utf8_lossy(head)) {
                Some((name, None)) => self.add(&name, String::from_utf8_lossy(content).into_owned())?,
                Some((name, Some(_))) if self.files.iter().any(|(known, _, _)| *known == name) => {}
                Some((_, Some(_))) if self.files.len() >= MAX_PARAMETERS => return Err(Malformed::TooMany),
                Some((name, Some(file))) => self.files.push((name, file, content.to_vec())),
                None => {}
            }
            rest = next;
        }
        Ok(())
    }

    fn finish(self) -> Params {
        let Self { mut entries, files, mut control, last_httperror, damaged } = self;
        if damaged {
            // Half of a request is not acted upon, and the original then reads the last `httperror` (reference
            // http-api 3.3, clients 1.1).
            entries.clear();
            control.httperror = last_httperror;
        }
        Params { entries, files, control, damaged }
    }
}

/// The text of a JSON value as the original's string conversion gives it.
fn json_text(value: serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text,
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::Null => String::new(),
        other @ (serde_json::Value::Number(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_)) => other.to_string(),
    }
}

fn split_once<'a>(bytes: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(separator.len()).position(|window| window == separator)?;
    let (before, rest) = bytes.split_at_checked(at)?;
    rest.split_at_checked(separator.len()).map(|(_, after)| (before, after))
}

/// The field name of a part, and the name of the file if it is one. Files are not parameters (RFC 7578 section 4.2).
fn field_of(head: &str) -> Option<(String, Option<String>)> {
    let disposition = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (mut name, mut file) = (None, None);
    for attribute in disposition.split(';') {
        let Some((key, value)) = attribute.split_once('=') else { continue };
        let value = || value.trim().trim_matches('"').to_owned();
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => name = Some(value()),
            "filename" | "filename*" => file = Some(value()),
            _ => {}
        }
    }
    name.map(|name| (name, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(query: &str, body: &str) -> Params {
        decode(Some(query), BodyKind::Form, body.as_bytes()).unwrap()
    }

    #[test]
    fn query_string_wins_and_the_first_value_counts() {
        let params = form("user=query&user=second", "user=form&pass=1%2B2+3");
        assert_eq!(params.text("user"), Some("query"));
        assert_eq!(params.text("pass"), Some("1+2 3"));
    }

    #[test]
    fn json_stands_alone() {
        let body = br#"{"user": "alice", "otplen": 8, "enable": true, "serial": ["A", "B"], "x": null, "o": {"a": 1}}"#;
        let params = decode(Some("user=query&pass=1"), BodyKind::Json, body).unwrap();
        assert_eq!(params.text("user"), Some("alice"));
        assert_eq!(params.text("pass"), None);
        assert_eq!(params.text("otplen"), Some("8"));
        assert_eq!(params.flag("enable"), Ok(Some(true)));
        assert_eq!(params.list("serial"), ["A", "B"]);
        assert!(!params.has("x"));
        assert_eq!(params.text("o"), Some(r#"{"a":1}"#));
    }

    #[test]
    fn malformed_json_is_refused() {
        for body in ["", "{", "[]", "\"text\"", "{\"a\":1} x", "nul"] {
            assert_eq!(decode(None, BodyKind::Json, body.as_bytes()), Err(Malformed::Json), "{body}");
        }
    }

    #[test]
    fn brackets_make_a_list() {
        let params = form("serial[]=A", "serial[]=B&serial%5B%5D=C&realm=r");
        assert_eq!(params.list("serial"), ["A", "B", "C"]);
        assert_eq!(params.list("realm"), ["r"]);
        assert_eq!(params.list("missing"), Vec::<String>::new());
    }

    #[test]
    fn session_is_ignored_and_control_parameters_are_kept_apart() {
        let params = form("session=x&httperror=403&client=10.0.0.1&csrf_token=t", "key=v");
        assert_eq!(params.iter().collect::<Vec<_>>(), [("key", "v")]);
        assert_eq!(params.control().httperror.as_deref(), Some("403"));
        assert_eq!(params.control().client.as_deref(), Some("10.0.0.1"));
        assert_eq!(params.control().csrf_token.as_deref(), Some("t"));
    }

    #[test]
    fn text_that_is_not_utf8_empties_the_set() {
        let params = form("httperror=400&httperror=404&user=%ff", "pass=1");
        assert!(params.is_damaged() && params.is_empty());
        assert_eq!(params.control().httperror.as_deref(), Some("404"));
        let whole = form("httperror=400&httperror=404&user=%c3%bc", "pass=1");
        assert!(!whole.is_damaged());
        assert_eq!(whole.text("user"), Some("ü"));
        assert_eq!(whole.control().httperror.as_deref(), Some("400"));
    }

    #[test]
    fn multipart_fields_are_parameters_and_files_are_not() {
        let body = "preamble\r\n--xyz\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\npskc\r\n\
            --xyz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.xml\"\r\n\
            Content-Type: text/xml\r\n\r\n<a/>\r\n--xyz--\r\n";
        let kind = BodyKind::of(Some("multipart/form-data; boundary=xyz"));
        let mut params = decode(Some("realm=r"), kind.clone(), body.as_bytes()).unwrap();
        assert_eq!(params.iter().collect::<Vec<_>>(), [("realm", "r"), ("type", "pskc")]);
        assert_eq!(params.take_file("type"), None);
        assert_eq!(params.take_file("file"), Some(("a.xml".to_owned(), b"<a/>".to_vec())));
        assert_eq!(params.take_file("file"), None);
        for broken in ["", "--xyz", "--xyz\r\n", "--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\nb"] {
            assert_eq!(decode(None, kind.clone(), broken.as_bytes()), Err(Malformed::Multipart), "{broken}");
        }
    }

    #[test]
    fn the_number_of_parameters_is_bounded() {
        let many: String = (0..=MAX_PARAMETERS).map(|i| format!("p{i}=&")).collect();
        assert_eq!(decode(Some(&many), BodyKind::None, b""), Err(Malformed::TooMany));
        let list: String = (0..=MAX_PARAMETERS).map(|_| "p[]=&").collect();
        assert_eq!(decode(Some(&list), BodyKind::None, b""), Err(Malformed::TooMany));
    }

    #[test]
    fn body_kinds() {
        for (header, kind) in [
            (None, BodyKind::None),
            (Some("application/x-www-form-urlencoded; charset=utf-8"), BodyKind::Form),
            (Some("Application/JSON"), BodyKind::Json),
            (Some("application/vnd.api+json"), BodyKind::Json),
            (Some("multipart/form-data; boundary=\"a b\""), BodyKind::Multipart("a b".to_owned())),
            (Some("multipart/form-data"), BodyKind::None),
            (Some("text/plain"), BodyKind::None),
        ] {
            assert_eq!(BodyKind::of(header), kind, "{header:?}");
        }
    }
}
