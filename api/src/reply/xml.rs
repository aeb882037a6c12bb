//! The XML form, which answers uploaded files (reference http-api 2.6).

use std::fmt::Display;

use http::header::HeaderValue;

use super::{Ending, PRODUCT, Reply, escape};

const XML: HeaderValue = HeaderValue::from_static("text/xml; charset=utf-8");

fn document(version: &str, result: &str) -> Reply {
    let product = escape(PRODUCT);
    Reply::new(
        XML,
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<jsonrpc version=\"{version}\">\n    <result>\n{result}    \
             </result>\n    <version>{product}</version>\n    <id>1</id>\n</jsonrpc>\n"
        ),
    )
}

/// A success with this value.
pub(crate) fn xml_value(value: impl Display) -> Reply {
    let value = value.to_string();
    let value = escape(&value);
    document("2.0", &format!("        <status>True</status>\n        <value>{value}</value>\n"))
}

/// A failure. Its HTTP status is 200 as well.
pub(crate) fn xml_failure(code: i32, message: &str) -> Reply {
    let message = escape(message);
    let result = format!(
        "        <status>False</status>\n        <error>\n            <code>{code}</code>\n            \
         <message>{message}</message>\n        </error>\n"
    );
    document("2.0802", &result).ending(Ending::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_the_references() {
        let text = |reply: Reply| String::from_utf8(reply.body.to_vec()).unwrap();
        let good = text(xml_value(6));
        assert!(good.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<jsonrpc version=\"2.0\">\n"));
        assert!(good.contains("<status>True</status>") && good.contains("<value>6</value>"), "{good}");
        let bad = text(xml_failure(-311, "a < b & \"c\""));
        assert!(bad.contains("<jsonrpc version=\"2.0802\">") && bad.contains("<code>-311</code>"), "{bad}");
        assert!(bad.contains("<message>a &lt; b &amp; &quot;c&quot;</message>"), "{bad}");
    }
}
