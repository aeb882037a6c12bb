//! The stored form of everything that is replicated never changes (reference code-style 6).
//!
//! `tests/golden/*.hex` has one example of every variant, made by `encode.py`, which is another implementation of the
//! encoding. A line that was released is never changed. A test that fails because of a new variant wants a line for it;
//! one that fails because of other bytes has found that a stored form was changed, which needs a new variant instead.

use std::{collections::BTreeMap, fmt::Debug, path::Path, sync::Arc};

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tessera_core::{
    audit::AuditRowV1,
    record::{
        AdminV1, AutoResync, ChallengeAttributeV1, ChallengeV1, ChallengedV1, ClusterSecretV1,
        HistoryAnchorV1, IndexKey, InfoValue, InvitationV1, Key, NodeEntry, NodeMemberV1, NodesV1, Parameter,
        Pin, PolicyV1, RealmV1, Record, ReplyV1, ResolverKind, ResolverV1, RevocationV1, SettingV1,
        SettingValue, TokenType, TokenV1, UsageV1,
    },
    secret::{KeyId, PinHash, Sealed},
    time::UnixMillis,
    txn::{Dependency, Expectation, HistoryRow, Outcome, Revision, Txn, TxnId},
    user::Owner,
};
use tessera_raft::{
    batch::{Batch, Command, CommandReply, decode_command, encode_command},
    codec::{self, MembershipV1},
    snapshot::{SnapshotHeader, StoredLogId},
    type_config::{ClusterId, Payload},
};

const NOW: UnixMillis = UnixMillis(1_795_293_000_000);

fn golden(name: &str) -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"));
    let unhex = |text: &str| {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    let line = |line: &str| {
        let (example, hex) = line.split_once(' ').unwrap();
        (example.to_owned(), unhex(hex))
    };
    std::fs::read_to_string(path).unwrap().lines().map(line).collect()
}

/// Compares values with their golden bytes, both ways.
#[track_caller]
fn check<T>(file: &str, examples: Vec<(&str, T)>)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let golden = golden(file);
    let names: Vec<&str> = golden.keys().map(String::as_str).collect();
    let mut known: Vec<&str> = examples.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(names, known, "{file}.hex and this test have other examples");
    for (name, value) in examples {
        let bytes = &golden[name];
        assert_eq!(&codec::encode_plain(&value).unwrap(), bytes, "{file} {name} is encoded in another way");
        assert_eq!(codec::decode_plain::<T>(bytes).unwrap(), value, "{file} {name} is read in another way");
    }
}

/// As [`check`], for an enum: there must be an example of every variant, and none beyond.
#[track_caller]
fn check_enum<T>(file: &str, examples: Vec<(&str, T)>)
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let numbers: std::collections::BTreeSet<u8> = golden(file).values().map(|bytes| bytes[0]).collect();
    check(file, examples);
    // The decoder itself says how many variants it knows: "expected variant index 0 <= i < 9".
    let error = codec::decode_plain::<T>(&[250]).unwrap_err();
    let text = std::error::Error::source(&error).unwrap().to_string();
    let count = text.rsplit_once("< ").unwrap_or_else(|| panic!("{text}")).1;
    let count: u8 = count.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    let expected: Vec<u8> = (0..count).collect();
    let numbers: Vec<u8> = numbers.into_iter().collect();
    assert_eq!(numbers, expected, "{file}: a variant has no example, see tests/golden/encode.py");
}

fn sealed() -> Sealed {
    let nonce = std::array::from_fn(|at| u8::try_from(at).unwrap());
    Sealed { key: KeyId(1), nonce, ciphertext: Box::new([0xc0, 0xff, 0xee]) }
}

fn pin_hash() -> PinHash {
    PinHash { key: KeyId(2), salt: [3; 16], mac: [4; 32] }
}

fn hashed_pin() -> Pin {
    Pin::Hashed(pin_hash())
}

fn reply() -> ReplyV1 {
    ReplyV1 {
        request: pin_hash(),
        expires_at: UnixMillis(NOW.0 + 60_000),
        accepted: true,
        auth_info: Some(vec![("pin_length".into(), 4), ("otp_length".into(), 6)]),
        root: Some("77".into()),
        challenges: vec![ChallengedV1 {
            transaction_id: "77.01".into(),
            message: "Please enter".into(),
            serial: "HOTP1".into(),
            token_type: TokenType::Hmac,
            description: "my token".into(),
            attributes: vec![
                ("a".into(), ChallengeAttributeV1::Text("x".into())),
                ("b".into(), ChallengeAttributeV1::Code("y".into())),
            ],
        }],
        detail: Some(r#"{"Failure":"x"}"#.into()),
    }
}

fn refusal() -> ReplyV1 {
    ReplyV1 {
        request: pin_hash(),
        expires_at: UnixMillis(5),
        accepted: false,
        auth_info: None,
        root: None,
        challenges: Vec::new(),
        detail: None,
    }
}

fn owner() -> Owner {
    Owner { resolver: "useridresolver.PasswdIdResolver.IdResolver.staff".into(), user_id: "1001".into() }
}

fn token() -> TokenV1 {
    TokenV1 {
        token_type: TokenType::Totp,
        seed: Some(sealed()),
        pin: hashed_pin(),
        user_pin: Some(sealed()),
        owner: Some(owner()),
        realms: vec!["corp".into(), "lab".into()],
        description: "my token".into(),
        digits: 6,
        count_window: 10,
        sync_window: 1000,
        fail_count_max: 10,
        active: true,
        created_at: NOW,
        info: BTreeMap::from([
            ("a".into(), InfoValue::Text("x".into())),
            ("b".into(), InfoValue::Integer(-5)),
            ("c".into(), InfoValue::Json("[1]".into())),
        ]),
    }
}

fn bare_token() -> TokenV1 {
    TokenV1 {
        token_type: TokenType::Hmac,
        seed: None,
        pin: Pin::Unset,
        user_pin: None,
        owner: None,
        realms: Vec::new(),
        description: "".into(),
        digits: 8,
        count_window: 0,
        sync_window: 0,
        fail_count_max: 0,
        active: false,
        created_at: UnixMillis(0),
        info: BTreeMap::new(),
    }
}

fn usage() -> UsageV1 {
    UsageV1 {
        next_counter: 70_000,
        fail_count: 3,
        time_shift: -90,
        auto_resync: Some(AutoResync { counter: 5, due_at: Some(1_795_293_300) }),
        count_auth: Some(251),
        count_auth_success: None,
        last_match_at: Some(UnixMillis(NOW.0 + 1)),
        last_success_at: None,
        info: BTreeMap::from([("k".into(), InfoValue::Text("v".into()))]),
    }
}

fn challenge() -> ChallengeV1 {
    ChallengeV1 {
        serial: "HOTP1".into(),
        message: "enter".into(),
        data: "{}".into(),
        created_at: UnixMillis(1),
        expires_at: UnixMillis(120_001),
        open: true,
        confirmed: Some(false),
        received_count: 2,
        received: true,
        valid: false,
    }
}

fn audit() -> AuditRowV1 {
    AuditRowV1 {
        at: NOW,
        action: "validate/check".into(),
        success: true,
        serial: "HOTP1".into(),
        token_type: "hmac".into(),
        user: "alice".into(),
        realm: "corp".into(),
        administrator: "'admin@linotp_admins (LinOTP_local_admins)'".into(),
        action_detail: "wrong otp value".into(),
        info: "info".into(),
        server: "node-1".into(),
        client: "192.0.2.7".into(),
        request_id: "0f8fad5bd9cb469f".into(),
    }
}

fn txn() -> Txn {
    let usage_key = Key::Usage("HOTP1".into());
    Txn {
        now: NOW,
        expects: vec![
            Expectation { dependency: Dependency::Record(usage_key.clone()), revision: Revision(7) },
            Expectation { dependency: Dependency::Index(IndexKey::Configuration), revision: Revision(0) },
        ],
        writes: vec![
            (usage_key, Some(Record::Usage(Arc::new(usage())))),
            (Key::Challenge("77.01".into()), None),
        ],
        history: vec![HistoryRow::Audit(audit())],
    }
}

fn policy() -> PolicyV1 {
    PolicyV1 {
        active: "True".into(),
        scope: "authentication".into(),
        action: "otppin=1".into(),
        realm: "corp".into(),
        user: "alice,".into(),
        client: "10.0.0.0/8".into(),
        time: "* * * * * *;".into(),
    }
}

fn nodes() -> NodesV1 {
    let member = NodeMemberV1 {
        incarnation: [5; 16],
        raft_addr: "otp1:7580".into(),
        api_url: "https://otp1".into(),
        joined_at: NOW,
        replaces: None,
        first: true,
    };
    let invitation =
        InvitationV1 { token_hash: [6; 32], expires_at: NOW.plus_seconds(3600), replaces: Some(3) };
    let nodes = BTreeMap::from([
        (1, NodeEntry::Member(member)),
        (2, NodeEntry::Expected),
        (3, NodeEntry::Retired(UnixMillis(NOW.0 + 1))),
        (4, NodeEntry::Invited(invitation)),
    ]);
    NodesV1 { last_id: 4, nodes }
}

fn conflict() -> Outcome {
    Outcome::Conflict(Dependency::Record(Key::Usage("HOTP1".into())), Revision(8))
}

fn commands() -> Vec<(&'static str, Command)> {
    let id = TxnId { session: 3, sequence: 900 };
    vec![
        ("txn", Command::Txn { id, acked_below: 899, txn: txn() }),
        ("open_session", Command::OpenSession { node: 2, incarnation: [7; 16] }),
        ("expire_sessions", Command::ExpireSessions { idle_since: NOW }),
        ("checkpoint", Command::Checkpoint),
    ]
}

#[test]
fn keys_have_their_frozen_bytes() {
    check_enum(
        "key",
        vec![
            ("token", Key::Token("HOTP1".into())),
            ("usage", Key::Usage("HOTP1".into())),
            ("challenge", Key::Challenge("77.01".into())),
            ("realm", Key::Realm("corp".into())),
            ("resolver", Key::Resolver("staff".into())),
            ("setting", Key::Setting("DefaultRealm".into())),
            ("admin", Key::Admin("admin".into())),
            ("revocation", Key::Revocation("jti".into())),
            ("cluster_secret", Key::ClusterSecret("jwt".into())),
            ("reply", Key::Reply("5f0c".into())),
            ("history_anchor", Key::HistoryAnchor),
            ("format_level", Key::FormatLevel),
            ("nodes", Key::Nodes),
            ("policy", Key::Policy("otp_pin".into())),
        ],
    );
    check_enum(
        "index_key",
        vec![
            ("configuration", IndexKey::Configuration),
            ("tokens_of_owner", IndexKey::TokensOfOwner(owner())),
            ("tokens_in_realm", IndexKey::TokensInRealm("corp".into())),
            ("tokens_of_type", IndexKey::TokensOfType(TokenType::Totp)),
            ("challenges_of_token", IndexKey::ChallengesOfToken("HOTP1".into())),
            ("challenges_of_transaction", IndexKey::ChallengesOfTransaction("77".into())),
            ("admins", IndexKey::Admins),
        ],
    );
}

#[test]
fn records_have_their_frozen_bytes() {
    let setting = |value, kind: &str, description: &str| {
        Record::Setting(Arc::new(SettingV1 { value, kind: kind.into(), description: description.into() }))
    };
    let resolver = ResolverV1 {
        kind: ResolverKind::Passwd,
        parameters: BTreeMap::from([
            ("fileName".into(), Parameter::Plain("/etc/tessera/users".into())),
            ("pw".into(), Parameter::Secret(sealed())),
        ]),
        readonly: false,
    };
    let realm = RealmV1 { resolvers: vec!["r.one".into(), "r.two".into()] };
    let anchor = HistoryAnchorV1 { number: 300, hash: [9; 32], at: NOW };
    check_enum(
        "record",
        vec![
            ("token", Record::Token(Arc::new(token()))),
            ("bare_token", Record::Token(Arc::new(bare_token()))),
            ("usage", Record::Usage(Arc::new(usage()))),
            ("challenge", Record::Challenge(Arc::new(challenge()))),
            ("realm", Record::Realm(Arc::new(realm))),
            ("resolver", Record::Resolver(Arc::new(resolver))),
            ("setting", setting(SettingValue::Plain("corp".into()), "text", "default")),
            ("secret_setting", setting(SettingValue::Secret(sealed()), "password", "")),
            ("admin", Record::Admin(Arc::new(AdminV1 { password: sealed() }))),
            ("revocation", Record::Revocation(RevocationV1 { expires_at: NOW })),
            ("cluster_secret", Record::ClusterSecret(Arc::new(ClusterSecretV1 { secret: sealed() }))),
            ("reply", Record::Reply(Arc::new(reply()))),
            ("refusal", Record::Reply(Arc::new(refusal()))),
            ("history_anchor", Record::HistoryAnchor(anchor)),
            ("format_level", Record::FormatLevel(2)),
            ("nodes", Record::Nodes(Arc::new(nodes()))),
            ("policy", Record::Policy(Arc::new(policy()))),
        ],
    );
}

#[test]
fn parts_of_records_have_their_frozen_bytes() {
    check_enum(
        "token_type",
        vec![
            ("hmac", TokenType::Hmac),
            ("totp", TokenType::Totp),
            ("pw", TokenType::Pw),
            ("spass", TokenType::Spass),
            ("motp", TokenType::Motp),
            ("dpw", TokenType::Dpw),
            ("yubikey", TokenType::Yubikey),
            ("ocra2", TokenType::Ocra2),
            ("forward", TokenType::Forward),
            ("yubico", TokenType::Yubico),
        ],
    );
    check_enum(
        "challenge_attribute",
        vec![
            ("text", ChallengeAttributeV1::Text("x".into())),
            ("code", ChallengeAttributeV1::Code("y".into())),
        ],
    );
    check_enum(
        "pin",
        vec![("unset", Pin::Unset), ("hashed", hashed_pin()), ("reversible", Pin::Reversible(sealed()))],
    );
    check_enum(
        "info_value",
        vec![
            ("text", InfoValue::Text("x".into())),
            ("integer", InfoValue::Integer(-5)),
            ("json", InfoValue::Json("[1]".into())),
        ],
    );
    check_enum(
        "resolver_kind",
        vec![("passwd", ResolverKind::Passwd), ("ldap", ResolverKind::Ldap), ("sql", ResolverKind::Sql)],
    );
    check_enum(
        "parameter",
        vec![("plain", Parameter::Plain("x".into())), ("secret", Parameter::Secret(sealed()))],
    );
    check_enum(
        "setting_value",
        vec![("plain", SettingValue::Plain("x".into())), ("secret", SettingValue::Secret(sealed()))],
    );
}

#[test]
fn transactions_and_outcomes_have_their_frozen_bytes() {
    check("txn", vec![("full", txn()), ("empty", Txn::default())]);
    check_enum(
        "dependency",
        vec![
            ("record", Dependency::Record(Key::Usage("HOTP1".into()))),
            ("index", Dependency::Index(IndexKey::Configuration)),
        ],
    );
    check_enum("history_row", vec![("audit", HistoryRow::Audit(audit()))]);
    let committed = Outcome::Committed(Revision(9));
    check_enum(
        "outcome",
        vec![
            ("committed", committed.clone()),
            ("conflict", conflict()),
            ("duplicate", Outcome::Duplicate(Box::new(committed))),
            ("unknown_session", Outcome::UnknownSession),
        ],
    );
}

#[test]
fn commands_and_batches_have_their_frozen_bytes() {
    check_enum("command", commands());
    check_enum(
        "command_reply",
        vec![
            ("txn", CommandReply::Txn(conflict())),
            ("session", CommandReply::Session(4)),
            ("done", CommandReply::Done),
            ("checkpoint", CommandReply::Checkpoint(300)),
        ],
    );
    let commands: Vec<Bytes> =
        commands().iter().map(|(_, command)| encode_command(command).unwrap()).collect();
    let batch = Batch { time: NOW, commands };
    let bytes = golden("batch").remove("all").unwrap();
    assert_eq!(batch.encode().unwrap().0, bytes, "the envelope of a log entry is another one");
    assert_eq!(Batch::decode(&Payload(bytes.into())).unwrap(), batch);
}

#[test]
fn snapshot_header_has_its_frozen_bytes() {
    let header = SnapshotHeader {
        cluster: ClusterId(0x0f8f_ad5b_d9cb_469f_a165_7086_7728_950e),
        last_log_id: Some(StoredLogId { term: 2, node: 1, index: 300 }),
        membership_log_id: None,
        membership: MembershipV1 {
            configs: vec![vec![1, 2]],
            nodes: vec![(1, "a:1".to_owned(), "http://a".to_owned())],
        },
        feature_level: 1,
        counts: vec![(1, 1), (2, 1000)],
    };
    check("snapshot_header", vec![("full", header)]);
}

#[test]
fn command_of_a_later_version_is_an_error_and_no_other_command() {
    for number in 4..=250 {
        assert!(decode_command(&[number]).is_err());
    }
}
