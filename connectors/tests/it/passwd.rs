//! The passwd resolver on real files (reference users-and-providers 3 and 10.3).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tessera_connectors::password::{PasswordVerdict, UnusableHash};
use tessera_connectors::resolver::{
    FILE_BYTES_MAX, PasswdConfig, PasswdResolver, ResolverError, ResolverTest, UserIdResolver,
};
use tessera_core::facts::SearchTerm;
use tessera_core::user::UserId;

/// Hashes from `openssl passwd -1 -salt abcdefgh`, `-5 -salt saltsalt` and `crypt(3)`; the password is `password`.
const USERS: &str = "\
# people

alice:$1$abcdefgh$G//4keteveJp0qb8z2DxG/:1000:100:Alice van der Berg,Room 5,0171-1,030-1,alice@corp.example:/home/alice:/bin/sh
bob:$5$saltsalt$gOjOtoMpVhru2uyjeJSEc/JaLQWOXMNmlOnj6T4AtC.:1001:100:Bob:/home/bob:/bin/sh
carol:x:1002:100::/:
dave::1003:100:Dave *Star*,,,,d@x.example
erin:!locked:e-7:100:100%_real
  frank:abJnggxhB/yWI:1005:100:Frank:a:b:c:d:e\r
broken line
grace:*:1006
";

fn config(dir: &TempDir) -> PasswdConfig {
    PasswdConfig {
        name: "files".to_owned(),
        file_name: "%(here)s/users".to_owned(),
        root_dir: dir.path().to_owned(),
    }
}

fn resolver(content: &str) -> (TempDir, PasswdResolver) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("users"), content).unwrap();
    let resolver = PasswdResolver::open(&config(&dir)).unwrap();
    (dir, resolver)
}

async fn uid_of(resolver: &PasswdResolver, login: &str) -> Option<String> {
    let entry = resolver.find_by_login(login).await.unwrap();
    entry.map(|entry| entry.user_id.as_str().to_owned())
}

async fn logins(resolver: &PasswdResolver, terms: &[(&str, &str)]) -> String {
    let terms: Vec<_> = terms
        .iter()
        .map(|&(field, pattern)| SearchTerm { field: field.to_owned(), pattern: pattern.to_owned() })
        .collect();
    let found = resolver.search(&terms).await.unwrap();
    found.iter().map(|entry| entry.login.as_str()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_user_is_found_by_login_and_by_uid() {
    let (_dir, resolver) = resolver(USERS);
    let entry = resolver.find_by_login("alice").await.unwrap().unwrap();
    let attributes: Vec<_> = entry.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        attributes,
        [
            "description=Alice van der Berg,Room 5,0171-1,030-1,alice@corp.example",
            "email=alice@corp.example",
            "givenname=Alice",
            "mobile=0171-1",
            "phone=030-1",
            "surname=van der Berg",
            "userid=1000",
            "username=alice",
        ]
    );
    assert_eq!(resolver.find_by_uid(&UserId::from("1000")).await.unwrap(), Some(entry));
    assert_eq!(uid_of(&resolver, "frank").await.as_deref(), Some("1005"));
    for unknown in ["Alice", "alice ", "", "#", "# people", "broken line", "grace", "1000"] {
        assert_eq!(uid_of(&resolver, unknown).await, None, "{unknown:?}");
    }
    assert_eq!(resolver.find_by_uid(&UserId::from("alice")).await.unwrap(), None);
}

#[tokio::test]
async fn passwords_are_checked_against_the_line_of_the_uid() {
    let (_dir, resolver) = resolver(USERS);
    let unusable = PasswordVerdict::Unusable;
    for (uid, password, expected) in [
        ("1000", "password", PasswordVerdict::Match),
        ("1000", "Password", PasswordVerdict::Mismatch),
        ("1000", "", PasswordVerdict::Mismatch),
        ("1001", "password", PasswordVerdict::Match),
        ("1005", "password", PasswordVerdict::Match),
        ("1002", "password", unusable(UnusableHash::Shadowed)),
        ("1003", "", PasswordVerdict::Mismatch),
        ("e-7", "password", unusable(UnusableHash::UnsupportedScheme)),
        ("9999", "password", PasswordVerdict::Mismatch),
    ] {
        let verdict = resolver.check_password(&uid.into(), &password.into()).await.unwrap();
        assert_eq!(verdict, expected, "{uid} {password:?}");
    }
}

#[tokio::test]
async fn searches_follow_the_matching_rules() {
    let (_dir, resolver) = resolver(USERS);
    for (terms, expected) in [
        (&[][..], "alice bob carol dave erin frank"),
        (&[("username", "*")], "alice bob carol dave erin frank"),
        (&[("username", "ALICE")], "alice"),
        (&[("username", "*a*")], "alice carol dave frank"),
        (&[("username", "a%")], ""),
        (&[("userid", "<=1001")], "alice bob"),
        (&[("userid", "<1001")], "alice"),
        (&[("userid", "1001")], "bob"),
        (&[("userid", "between 1001,1003")], "bob carol dave"),
        (&[("userid", "bob")], ""),
        // Both look at the raw GECOS field.
        (&[("email", "*@corp.example")], "alice"),
        (&[("email", "alice@corp.example")], ""),
        (&[("description", "bob")], "bob"),
        (&[("description", "100%_REAL")], "erin"),
        (&[("description", "*Star*")], "dave"),
        // Neither field can be searched.
        (&[("cryptpass", "*")], ""),
        (&[("surname", "*")], ""),
        (&[("username", "*a*"), ("userid", ">1002")], "dave frank"),
        (&[("searchTerm", "bob")], "bob"),
        (&[("searchTerm", "1002")], "carol"),
        (&[("searchTerm", "*corp*")], "alice"),
        (&[("searchTerm", "$1$*")], ""),
        (&[("searchTerm", "*a*"), ("username", "d*")], "dave"),
    ] {
        assert_eq!(logins(&resolver, terms).await, expected, "{terms:?}");
    }
    assert_eq!(resolver.list().await.unwrap().len(), 6);
}

#[tokio::test]
async fn of_several_lines_the_last_one_wins() {
    let (_dir, resolver) = resolver("a:x:1:1:first\nb:x:2:1:\na:x:3:1:again\nc:x:2:1:other login\n");
    assert_eq!(uid_of(&resolver, "a").await.as_deref(), Some("3"));
    assert_eq!(uid_of(&resolver, "b").await.as_deref(), Some("2"));
    let two = resolver.find_by_uid(&UserId::from("2")).await.unwrap().unwrap();
    assert_eq!((two.login.as_str(), two.attributes["description"].as_str()), ("c", "other login"));
}

#[tokio::test]
async fn lines_that_cannot_be_used_do_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("users"), b"bad\nb\xffd:x:1:1:\n:x:2:1:\nc:x::1:\ngood:x:4:1:\n").unwrap();
    let resolver = PasswdResolver::open(&config(&dir)).unwrap();
    assert_eq!(resolver.test().await.unwrap(), ResolverTest::Rows(1));
    assert_eq!(uid_of(&resolver, "good").await.as_deref(), Some("4"));
}

#[track_caller]
fn refused(result: &Result<PasswdResolver, ResolverError>, misconfigured: bool) {
    match result {
        Err(ResolverError::Misconfigured { .. }) => assert!(misconfigured, "should be unavailable"),
        Err(ResolverError::Unavailable { .. }) => assert!(!misconfigured, "should be misconfigured"),
        Ok(_) => panic!("should be refused"),
    }
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users");
    refused(&PasswdResolver::open(&config(&dir)), false);
    for content in ["", "# nobody\n\n", "a:b:c\nd\n"] {
        fs::write(&users, content).unwrap();
        refused(&PasswdResolver::open(&config(&dir)), true);
    }
    let file = File::create(&users).unwrap();
    file.set_len(FILE_BYTES_MAX + 1).unwrap();
    refused(&PasswdResolver::open(&config(&dir)), true);
    fs::remove_file(&users).unwrap();
    fs::create_dir(&users).unwrap();
    refused(&PasswdResolver::open(&config(&dir)), true);
}

#[tokio::test]
async fn every_kind_of_change_is_noticed() {
    let (dir, resolver) = resolver("alice:x:1:1:\n");
    let users = dir.path().join("users");

    // Same size, in place, right after the first load.
    fs::write(&users, "carol:x:1:1:\n").unwrap();
    resolver.refresh().unwrap();
    assert_eq!(uid_of(&resolver, "alice").await, None);
    assert_eq!(uid_of(&resolver, "carol").await.as_deref(), Some("1"));

    fs::OpenOptions::new().append(true).open(&users).unwrap().write_all(b"dave:x:2:1:\n").unwrap();
    resolver.refresh().unwrap();
    assert_eq!(uid_of(&resolver, "dave").await.as_deref(), Some("2"));

    let new = dir.path().join("new");
    fs::write(&new, "erin_:x:1:1:\ndave:x:9:1:\n").unwrap();
    fs::rename(&new, &users).unwrap();
    resolver.refresh().unwrap();
    assert_eq!(uid_of(&resolver, "dave").await.as_deref(), Some("9"));
}

#[tokio::test]
async fn a_change_becomes_visible_to_lookups_by_itself() {
    let (dir, resolver) = resolver("alice:x:1:1:\n");
    fs::write(dir.path().join("users"), "bob:x:2:1:\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while uid_of(&resolver, "bob").await.is_none() {
        assert!(Instant::now() < deadline, "the change was never noticed");
        tokio::task::yield_now().await;
    }
    assert_eq!(uid_of(&resolver, "alice").await, None);
}

#[tokio::test]
async fn users_of_a_file_that_vanished_are_not_served() {
    let (dir, resolver) = resolver("alice:x:1:1:\n");
    let users = dir.path().join("users");
    fs::remove_file(&users).unwrap();
    assert!(matches!(resolver.refresh(), Err(ResolverError::Unavailable { .. })));
    assert!(resolver.find_by_login("alice").await.is_err());
    assert!(resolver.check_password(&"1".into(), &"password".into()).await.is_err());
    assert!(resolver.test().await.is_err());
    assert_eq!(resolver.content_hash(), None);

    fs::write(&users, "alice:x:5:1:\n").unwrap();
    resolver.refresh().unwrap();
    assert_eq!(uid_of(&resolver, "alice").await.as_deref(), Some("5"));
}

/// Expected value from `printf 'alice:x:1:1:\n' | sha256sum`.
#[test]
fn the_content_hash_is_sha256_of_the_file() {
    let (dir, resolver) = resolver("alice:x:1:1:\n");
    let hash: String = resolver.content_hash().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, "33ef4d5ff495cae6625027364efaf51eb6da34ed7cd87379d1191a70d36eb887");
    assert_eq!(resolver.resolved_path(), dir.path().canonicalize().unwrap().join("users"));
}

#[test]
fn symbolic_links_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("real"), "alice:x:1:1:\n").unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("users")).unwrap();
    let resolver = PasswdResolver::open(&config(&dir)).unwrap();
    assert_eq!(resolver.resolved_path(), dir.path().canonicalize().unwrap().join("real"));
    assert_ne!(resolver.resolved_path(), Path::new(&dir.path().join("users")));
}
