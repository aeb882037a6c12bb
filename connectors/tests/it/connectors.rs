//! Questions of the core and their answers.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tessera_connectors::Connectors;
use tessera_core::facts::{Answer, Question, ResolverRef, SearchTerm};
use tessera_core::record::{Parameter, ResolverKind, ResolverV1};
use tessera_core::user::ResolverSpec;

fn resolver(kind: ResolverKind, file_name: Option<&str>) -> ResolverRef {
    let parameter = file_name.map(|name| (Box::from("fileName"), Parameter::Plain(name.into())));
    let definition = ResolverV1 { kind, parameters: parameter.into_iter().collect(), readonly: false };
    let spec = ResolverSpec::from("useridresolver.PasswdIdResolver.IdResolver.files");
    ResolverRef { spec, definition: Arc::new(definition) }
}

fn connectors(files: &[(&str, &str)]) -> (TempDir, Connectors) {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(dir.path().join(name), content).unwrap();
    }
    let connectors = Connectors::new(PathBuf::from(dir.path()));
    (dir, connectors)
}

async fn user_id(connectors: &Connectors, resolver: &ResolverRef, login: &str) -> Option<String> {
    let question = Question::UserByLogin { resolver: resolver.clone(), login: login.to_owned() };
    match connectors.answer(&question).await {
        Answer::User(user) => user.map(|user| user.user_id.as_str().to_owned()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn questions_about_users_are_answered_by_the_resolver() {
    let (_dir, connectors) = connectors(&[("users", "alice:abJnggxhB/yWI:7:1:\n")]);
    let files = resolver(ResolverKind::Passwd, Some("%(here)s/users"));
    assert_eq!(user_id(&connectors, &files, "alice").await.as_deref(), Some("7"));
    assert_eq!(user_id(&connectors, &files, "bob").await, None);

    for (password, expected) in [("password", true), ("passwort", false), ("", false)] {
        let (resolver, user_id, password) = (files.clone(), "7".into(), password.into());
        let answer = connectors.answer(&Question::CheckPassword { resolver, user_id, password }).await;
        assert_eq!(answer, Answer::Verdict(expected));
    }
    let term = SearchTerm { field: "username".to_owned(), pattern: "*".to_owned() };
    let search = Question::SearchUsers { resolver: files.clone(), terms: vec![term] };
    let by_id = Question::UserById { resolver: files.clone(), user_id: "7".into() };
    match (connectors.answer(&search).await, connectors.answer(&by_id).await) {
        (Answer::Users(users), Answer::User(user)) => assert_eq!(users, Vec::from_iter(user)),
        other => panic!("{other:?}"),
    }
    assert_eq!(connectors.answer(&Question::LoadResolver { resolver: files }).await, Answer::Loaded);
}

#[tokio::test]
async fn a_changed_definition_takes_effect_at_once() {
    let (_dir, connectors) = connectors(&[("one", "alice:x:1:1:\n"), ("two", "alice:x:2:1:\n")]);
    let one = resolver(ResolverKind::Passwd, Some("one"));
    let two = resolver(ResolverKind::Passwd, Some("two"));
    assert_eq!(user_id(&connectors, &one, "alice").await.as_deref(), Some("1"));
    assert_eq!(user_id(&connectors, &two, "alice").await.as_deref(), Some("2"));
    assert_eq!(user_id(&connectors, &one, "alice").await.as_deref(), Some("1"));
}

/// Trying a definition that may be refused must not replace the one in use.
#[tokio::test]
async fn definitions_that_cannot_be_used_are_reported() {
    let (_dir, connectors) = connectors(&[("users", "alice:x:1:1:\n"), ("empty", "")]);
    for (definition, text) in [
        (resolver(ResolverKind::Passwd, Some("missing")), "unavailable"),
        (resolver(ResolverKind::Passwd, Some("empty")), "no usable line"),
        (resolver(ResolverKind::Passwd, None), "missing parameter fileName"),
        (resolver(ResolverKind::Passwd, Some(" ")), "missing parameter fileName"),
        (resolver(ResolverKind::Ldap, None), "not supported"),
    ] {
        let by_login = Question::UserByLogin { resolver: definition.clone(), login: "alice".to_owned() };
        for question in [Question::LoadResolver { resolver: definition }, by_login] {
            match connectors.answer(&question).await {
                Answer::Unavailable(reason) => assert!(reason.contains(text), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
    let users = resolver(ResolverKind::Passwd, Some("users"));
    assert_eq!(user_id(&connectors, &users, "alice").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn administrator_passwords_are_hashed_and_verified() {
    let (_dir, connectors) = connectors(&[]);
    let Answer::Hash(hash) = connectors.answer(&Question::HashPassword { password: "geheim".into() }).await
    else {
        panic!("no hash");
    };
    for (password, expected) in [("geheim", true), ("Geheim", false)] {
        let question = Question::VerifyPasswordHash { hash: hash.clone(), password: password.into() };
        assert_eq!(connectors.answer(&question).await, Answer::Verdict(expected));
    }
}
