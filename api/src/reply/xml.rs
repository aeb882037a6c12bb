//! The XML replies to uploaded files (reference http-api 2.6). Unlike the original, text in them is escaped.

use http::header::HeaderValue;

use super::{Ending, PRODUCT, Reply, escape};

const XML: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");

/// A success: the value and members beside it.
pub(crate) fn xml_success(value: &str, options: &[(&str, String)]) -> Reply {
    let mut members = String::new();
    for (name, text) in options {
        members.push_str(&format!("<{name}>{}</{name}>", escape(text)));
    }
    let options = if members.is_empty() { String::new() } else { format!("\n<options>{members}</options>") };
    let result = format!("<status>True</status>\n        <value>{}</value>", escape(value));
    document("2.0", &result, &options)
}

/// A failure.
pub(crate) fn xml_failure(code: i32, message: &str) -> Reply {
    let result = format!(
        "<status>False</status>\n        <error>\n            <code>{code}</code>\n            \
         <message>{}</message>\n        </error>",
        escape(message)
    );
    document("2.0802", &result, "").ending(Ending::Refused)
}

fn document(version: &str, result: &str, options: &str) -> Reply {
    Reply::new(
        XML,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<jsonrpc version=\"{version}\">\n    <result>\n        \
             {result}\n    </result>\n    <version>{PRODUCT}</version>\n    <id>1</id>{options}\n</jsonrpc>"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply) -> String {
        String::from_utf8(reply.body.to_vec()).unwrap()
    }

    /// Reference http-api 2.6.
    #[test]
    fn success_is_the_references() {
        let reply = xml_success("2 tokens", &[("imported", "2".to_owned())]);
        let expected = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<jsonrpc version=\"2.0\">\n    <result>\n        \
             <status>True</status>\n        <value>2 tokens</value>\n    </result>\n    \
             <version>{PRODUCT}</version>\n    <id>1</id>\n<options><imported>2</imported></options>\n</jsonrpc>"
        );
        assert_eq!(text(&reply), expected);
        assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/xml"));
        assert!(!text(&xml_success("x", &[])).contains("options"));
    }

    #[test]
    fn failures_have_code_and_message_and_nothing_breaks_out() {
        let text = text(&xml_failure(-311, "line 1: <a> & \"b\""));
        assert!(text.contains("<jsonrpc version=\"2.0802\">") && text.contains("<status>False</status>"));
        assert!(text.contains("<code>-311</code>"), "{text}");
        assert!(text.contains("line 1: &lt;a&gt; &amp;"), "{text}");
    }
}
