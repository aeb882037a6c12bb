//! What a reply to `/validate/check` says (reference http-api 2.1 and 7.1).

use serde::Deserialize;

/// The verdict in a reply with HTTP status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    Refused,
    /// A well-formed HTTP reply without a verdict: an error envelope or something else.
    Unreadable,
}

#[derive(Deserialize)]
struct Envelope {
    result: ResultMember,
}

#[derive(Deserialize)]
struct ResultMember {
    status: bool,
    value: bool,
}

/// Reads the verdict of a body.
pub(crate) fn parse(body: &[u8]) -> Verdict {
    match serde_json::from_slice::<Envelope>(body) {
        Ok(Envelope { result: ResultMember { status: true, value: true } }) => Verdict::Accepted,
        Ok(Envelope { result: ResultMember { status: true, value: false } }) => Verdict::Refused,
        Ok(_) | Err(_) => Verdict::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_from_the_envelope() {
        let accepted = br#"{"jsonrpc": "2.0802", "result": {"status": true, "value": true},
            "version": "LinOTP 4.0.0.dev0", "versionNumber": "4.0.0.dev0", "id": 0, "detail": {"serial": "A"}}"#;
        assert_eq!(parse(accepted), Verdict::Accepted);
        assert_eq!(parse(br#"{"result": {"value": false, "status": true}, "id": 0}"#), Verdict::Refused);
    }

    #[test]
    fn everything_else_is_no_verdict() {
        for body in [
            "",
            "true",
            "{}",
            r#"{"result": {"status": true}}"#,
            r#"{"result": {"status": false, "value": false}, "id": 0}"#,
            r#"{"result": {"status": false, "value": true}, "id": 0}"#,
            r#"{"result": {"status": true, "value": 1}}"#,
            r#"{"result": {"status": true, "value": "true"}}"#,
            r#"{"result": {"status": false, "error": {"code": -311, "message": "x"}}}"#,
            r#"{"result": {"status": true, "value": true}"#,
        ] {
            assert_eq!(parse(body.as_bytes()), Verdict::Unreadable, "{body}");
        }
    }
}
