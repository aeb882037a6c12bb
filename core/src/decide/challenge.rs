//! Challenges: triggering, finding, answering (reference tokens 7).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Context;
use super::validate::{ChallengeReply, ChallengedToken};
use crate::decision::{Refusal, Stop};
use crate::facts::Random;
use crate::record::{ChallengeV1, IndexKey, Key, Record, TokenV1, transaction_root};
use crate::settings::Settings;
use crate::time::UnixMillis;
use crate::token::{Posed, Trigger};
use crate::token_info;
use crate::user::{Serial, TransactionId};

/// So many ids are tried before an unused one is given up on.
const TRIES_MAX: u32 = 100;
/// Sub-transactions have two digits.
const SEVERAL_MAX: usize = 99;
/// Seconds a challenge can be answered where a number in the configuration cannot be read.
const VALIDITY_DEFAULT: u64 = 120;

/// A challenge that has not expired.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: TransactionId,
    pub(super) record: Arc<ChallengeV1>,
    /// Counts created records: the order of age.
    created: u64,
}

/// The unexpired challenges of a token, newest first; of one transaction if one is wanted.
pub(super) fn of_token(
    cx: &mut Context<'_>,
    serial: &Serial,
    token: &TokenV1,
    transaction: Option<&str>,
) -> Vec<Found> {
    let keys = cx.view.index(&IndexKey::ChallengesOfToken(serial.clone()));
    let configuration = cx.view.configuration();
    let mut found = read(cx, &keys);
    found.retain(|challenge| {
        !is_expired(&configuration.settings, token, &challenge.record, cx.facts.now)
            && transaction.is_none_or(|wanted| belongs(&configuration.settings, &challenge.id, wanted))
    });
    found
}

/// The challenges of a transaction, newest first, expired ones included.
pub(super) fn of_transaction(cx: &mut Context<'_>, wanted: &str) -> Vec<Found> {
    let keys = cx.view.index(&IndexKey::ChallengesOfTransaction(root_of(wanted)));
    let configuration = cx.view.configuration();
    let mut found = read(cx, &keys);
    found.retain(|challenge| belongs(&configuration.settings, &challenge.id, wanted));
    found
}

fn read(cx: &mut Context<'_>, keys: &[Key]) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::with_capacity(keys.len());
    for key in keys {
        let created = cx.view.read(key).map(|slot| slot.created);
        if let (Key::Challenge(id), Some(created), Some(Record::Challenge(record))) =
            (key, created, cx.view.get(key))
        {
            found.push(Found { id: id.clone(), record, created });
        }
    }
    found.sort_by_key(|challenge| std::cmp::Reverse(challenge.created));
    found
}

fn root_of(wanted: &str) -> TransactionId {
    transaction_root(&TransactionId::from(wanted))
}

/// Whether a challenge is meant by an id: an id of full length without a dot is matched exactly, any other is cut at the
/// dot and means all sub-transactions of that root (reference tokens 6.4, 7.2).
fn belongs(settings: &Settings, id: &TransactionId, wanted: &str) -> bool {
    let full = usize::try_from(settings.transaction_id_length()).is_ok_and(|length| wanted.len() == length);
    if full && !wanted.contains('.') {
        return id.as_str() == wanted;
    }
    let root = root_of(wanted);
    id.as_str().strip_prefix(root.as_str()).is_some_and(|rest| rest.starts_with('.'))
}

/// Seconds in which a challenge of this token can be answered (reference tokens 7.4).
fn validity_seconds(settings: &Settings, token: &TokenV1) -> u64 {
    let own = token_info::integer(&token.info, "challenge_validity_time");
    match own {
        Ok(Some(seconds)) => u64::try_from(seconds).unwrap_or(VALIDITY_DEFAULT),
        Err(_) => VALIDITY_DEFAULT,
        Ok(None) => settings.challenge_validity_seconds(&capitalised(token.token_type.stored_name())).into(),
    }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_uppercase())
        .into_iter()
        .chain(letters.map(|c| c.to_ascii_lowercase()))
        .collect()
}

/// Evaluated when read, so that a change of the configuration concerns existing challenges.
pub(super) fn is_expired(
    settings: &Settings,
    token: &TokenV1,
    challenge: &ChallengeV1,
    now: UnixMillis,
) -> bool {
    now > challenge.created_at.plus_seconds(validity_seconds(settings, token))
}

/// A token that is to be challenged.
#[derive(Clone, Debug)]
pub(super) struct ToChallenge {
    pub(super) serial: Serial,
    pub(super) token: Arc<TokenV1>,
}

/// Challenges tokens under one transaction (reference tokens 7.3). Of several tokens those that cannot be challenged are
/// left out.
///
/// # Errors
/// When no token could be challenged.
pub(super) fn create(
    cx: &mut Context<'_>,
    tokens: &[ToChallenge],
    options: &BTreeMap<String, String>,
) -> Result<ChallengeReply, Stop> {
    if let [only] = tokens {
        let id = fresh_id(cx, 0)?;
        return Ok(ChallengeReply::One(challenge(cx, only, options, id)?));
    }
    let root = fresh_id(cx, 3)?;
    let mut challenges = Vec::with_capacity(tokens.len());
    for (number, token) in tokens.iter().take(SEVERAL_MAX).enumerate() {
        let id = TransactionId::from(format!("{root}.{:02}", number + 1));
        match challenge(cx, token, options, id) {
            Ok(challenged) => challenges.push(challenged),
            Err(Stop::Refuse(refusal)) => cx.note(&format!("token {}: {refusal}", token.serial)),
            Err(other) => return Err(other),
        }
    }
    if challenges.is_empty() {
        let serials: Vec<String> = tokens.iter().map(|token| format!("'{}'", token.serial)).collect();
        let text = format!("None of the available tokens triggered a challenge: [{}]", serials.join(", "));
        return Err(Refusal::Other(text).into());
    }
    Ok(ChallengeReply::Several { transaction_id: root, challenges })
}

fn challenge(
    cx: &mut Context<'_>,
    wanted: &ToChallenge,
    options: &BTreeMap<String, String>,
    id: TransactionId,
) -> Result<ChallengedToken, Stop> {
    let ToChallenge { serial, token } = wanted;
    let trigger = Trigger { serial, token, options, transaction_id: &id };
    let posed = token.token_type.rules().pose(cx, &trigger)?;
    store(cx, serial, token, &id, &posed);
    Ok(ChallengedToken {
        transaction_id: id,
        message: posed.message,
        serial: serial.clone(),
        token_type: token.token_type.stored_name(),
        description: token.description.to_string(),
        attributes: posed.attributes.into_iter().map(|(name, told)| (name.to_owned(), told)).collect(),
    })
}

/// Stores an open challenge.
pub(crate) fn store(
    cx: &mut Context<'_>,
    serial: &Serial,
    token: &TokenV1,
    id: &TransactionId,
    posed: &Posed,
) {
    let validity = validity_seconds(&cx.view.configuration().settings, token);
    let record = ChallengeV1 {
        serial: serial.clone(),
        message: posed.message.as_str().into(),
        data: posed.data.as_str().into(),
        created_at: UnixMillis::from_seconds(cx.facts.now.seconds()),
        expires_at: cx.facts.now.plus_seconds(validity.saturating_add(1)),
        open: true,
        confirmed: None,
        received_count: 0,
        received: false,
        valid: false,
    };
    cx.view.put(Key::Challenge(id.clone()), Record::Challenge(Arc::new(record)));
}

/// An id nobody has: digits, the first of them not 0, `shorter` by so many than configured.
///
/// # Errors
/// When the configured length is not between 12 and 17.
pub(crate) fn fresh_id(cx: &mut Context<'_>, shorter: u32) -> Result<TransactionId, Refusal> {
    let configured = cx.view.configuration().settings.transaction_id_length();
    if !(12..=17).contains(&configured) {
        let text = format!("TransactionIdLength is {configured}, it has to be between 12 and 17");
        return Err(Refusal::Other(text));
    }
    for _ in 0..TRIES_MAX {
        let id = digits(&mut cx.random, configured - shorter);
        let unused = cx.view.get(&Key::Challenge(id.clone())).is_none()
            && cx.view.index(&IndexKey::ChallengesOfTransaction(id.clone())).is_empty();
        if unused {
            return Ok(id);
        }
    }
    Err(Refusal::Other("no unused transaction id was found".to_owned()))
}

fn digits(random: &mut Random, length: u32) -> TransactionId {
    let digit =
        |random: &mut Random, from: u32| char::from_digit(from + random.below(10 - from), 10).unwrap_or('1');
    let first = digit(random, 1);
    let rest = (1..length).map(|_| digit(random, 0));
    TransactionId::from(std::iter::once(first).chain(rest).collect::<String>())
}

/// A challenge was answered rightly: it is closed, and with it the older ones of its token and all others of its
/// transaction (reference tokens 7.6).
pub(super) fn close(cx: &mut Context<'_>, answered: &Found) {
    let mut others = cx.view.index(&IndexKey::ChallengesOfToken(answered.record.serial.clone()));
    let transaction = cx.view.index(&IndexKey::ChallengesOfTransaction(transaction_root(&answered.id)));
    let of_transaction: Vec<TransactionId> =
        read(cx, &transaction).into_iter().map(|other| other.id).collect();
    others.extend(transaction);
    for other in read(cx, &others) {
        let is_older = other.record.serial == answered.record.serial && other.created < answered.created;
        if other.id != answered.id && (is_older || of_transaction.contains(&other.id)) && other.record.open {
            change(cx, &other, |record| record.open = false);
        }
    }
    change(cx, answered, |record| {
        record.open = false;
        record.received = true;
        record.valid = true;
        record.received_count = record.received_count.saturating_add(1);
    });
}

/// A wrong answer was sent: counted in these challenges, as far as they are open. The highest count afterwards.
pub(super) fn count_wrong(cx: &mut Context<'_>, challenges: &[Found]) -> u32 {
    let mut highest = 0;
    for challenge in challenges.iter().filter(|challenge| challenge.record.open) {
        change(cx, challenge, |record| {
            record.received = true;
            record.valid = false;
            record.received_count = record.received_count.saturating_add(1);
            highest = highest.max(record.received_count);
        });
    }
    highest
}

fn change(cx: &mut Context<'_>, challenge: &Found, change: impl FnOnce(&mut ChallengeV1)) {
    let mut record = ChallengeV1::clone(&challenge.record);
    change(&mut record);
    cx.view.put(Key::Challenge(challenge.id.clone()), Record::Challenge(Arc::new(record)));
}
