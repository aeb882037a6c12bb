//! `ANY /validate/simplecheck`: the answer as a smiley, which PAM modules compare byte for byte (reference http-api
//! 7.7, 25.1).

use tessera_core::decide::validate::Verdict;

use super::check;
use super::once::{self, Checked};
use super::verdict::prompt;
use crate::call::Call;
use crate::error::Failure;
use crate::reply::{Ending, Reply};

const ACCEPTED: &str = ":-)";
const REJECTED: &str = ":-(";

pub(crate) async fn simplecheck(mut call: Call) -> Result<Reply, Failure> {
    let request = check::read(&mut call);
    Ok(match once::run(&mut call, request).await? {
        Checked::Verdict(verdict) => render(&verdict),
        Checked::Refused => Reply::html(REJECTED).ending(Ending::Rejected),
        Checked::Reply(reply) => reply,
    })
}

fn render(verdict: &Verdict) -> Reply {
    if verdict.accepted {
        return Reply::html(ACCEPTED);
    }
    let text = match &verdict.challenge {
        None => REJECTED.to_owned(),
        Some(challenge) => {
            let (transaction, message) = prompt(challenge);
            format!("{REJECTED} {transaction} {message}").trim_end().to_owned()
        }
    };
    Reply::html(text).ending(Ending::Rejected)
}

#[cfg(test)]
mod tests {
    use tessera_core::decide::validate::{ChallengeReply, ChallengedToken};
    use tessera_core::user::{Serial, TransactionId};

    use super::*;

    #[test]
    fn bodies_are_exact() {
        assert_eq!(&render(&Verdict { accepted: true, ..Verdict::default() }).body[..], b":-)");
        assert_eq!(&render(&Verdict::default()).body[..], b":-(");
        let one = ChallengedToken {
            transaction_id: TransactionId::from("18318002572596029"),
            message: "Please enter your otp value: ".to_owned(),
            serial: Serial::from("HA"),
            token_type: "HMAC",
            description: String::new(),
            attributes: Vec::new(),
        };
        let challenge = Some(ChallengeReply::One(one.clone()));
        let reply = render(&Verdict { challenge, ..Verdict::default() });
        assert_eq!(&reply.body[..], b":-( 18318002572596029 Please enter your otp value:");
        let transaction_id = TransactionId::from("72357964811218");
        let challenge = Some(ChallengeReply::Several { transaction_id, challenges: vec![one.clone(), one] });
        let reply = render(&Verdict { challenge, ..Verdict::default() });
        assert_eq!(&reply.body[..], b":-( 72357964811218 Multiple challenges submitted.");
    }
}
