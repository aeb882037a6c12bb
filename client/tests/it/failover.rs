//! Which requests are sent to a second node.

use std::time::Duration;

use tessera_client::{CheckRequest, Client, ClientError, TokenSelector, UrlChoice};

use crate::server::{Answer, Server, ok, status, value};

const TRUE: &str = r#"{"result": {"status": true, "value": true}, "id": 0}"#;

fn client(urls: &[&str]) -> Client {
    Client::builder().urls(urls.iter().copied()).timeout(Duration::from_secs(5)).build().unwrap()
}

#[tokio::test]
async fn a_refused_connection_is_tried_at_the_next_node_even_for_validate() {
    let down = Server::refused_url().await;
    let up = Server::start(|_| ok(TRUE)).await;
    let client = client(&[&down, &up.url]);
    for _ in 0..4 {
        assert!(client.check(&CheckRequest::user("alice", "755224")).await.unwrap().is_accepted());
    }
    assert_eq!(up.received().len(), 4);
}

#[tokio::test]
async fn with_all_nodes_down_the_error_names_a_node_and_no_otp() {
    let down = Server::refused_url().await;
    let error = client(&[&down]).check(&CheckRequest::user("alice", "755224")).await.unwrap_err();
    assert!(matches!(&error, ClientError::Connect { url, .. } if *url == down), "{error}");
    assert!(!error.outcome_is_unknown());
    assert!(!format!("{error:?}").contains("755224"), "{error:?}");
}

/// The fate of the first attempt is unknown; a second one with the same OTP could turn an accepted login into a refusal.
#[tokio::test]
async fn validate_is_not_repeated_after_503_or_a_broken_connection() {
    for answer in [status(503, ""), Answer::HangUp] {
        let first = Server::start(move |_| answer.clone()).await;
        let second = Server::start(|_| ok(TRUE)).await;
        let client = client(&[&first.url, &second.url]);
        let error = client.check(&CheckRequest::user("alice", "755224")).await.unwrap_err();
        assert!(error.outcome_is_unknown(), "{error}");
        assert!(!format!("{error:?}").contains("755224"), "{error:?}");
        assert_eq!((first.received().len(), second.received().len()), (1, 0));
    }
}

#[tokio::test]
async fn validate_with_an_idempotency_key_is_repeated_with_the_same_key() {
    for answer in [status(503, ""), Answer::HangUp] {
        let first = Server::start(move |_| answer.clone()).await;
        let second = Server::start(|_| ok(TRUE)).await;
        let client = client(&[&first.url, &second.url]);
        let request = CheckRequest {
            idempotency_key: Some("login-4711".to_owned()),
            ..CheckRequest::user("alice", "755224")
        };
        assert!(client.check(&request).await.unwrap().is_accepted());
        for server in [&first, &second] {
            let received = server.received();
            assert_eq!(received.len(), 1);
            assert_eq!(received[0].header("idempotency-key"), Some("login-4711"));
            assert_eq!(received[0].body, "user=alice&pass=755224");
        }
    }
}

#[tokio::test]
async fn reads_are_repeated_after_503_and_a_broken_connection() {
    for answer in [status(503, ""), Answer::HangUp] {
        let first = Server::start(move |_| answer.clone()).await;
        let second = Server::start(|_| value("{}")).await;
        let client = client(&[&first.url, &second.url]);
        assert_eq!(client.list_realms().await.unwrap(), Vec::new());
        assert_eq!((first.received().len(), second.received().len()), (1, 1));
    }
}

#[tokio::test]
async fn changes_are_not_repeated_after_503() {
    let first = Server::start(|_| status(503, "")).await;
    let second = Server::start(|_| value("1")).await;
    let client = client(&[&first.url, &second.url]);
    let error = client.remove_tokens(&TokenSelector::serial("A1")).await.unwrap_err();
    assert!(matches!(error, ClientError::Status { code: 503 }), "{error}");
    assert_eq!(second.received().len(), 0);
}

#[tokio::test]
async fn the_503_of_one_node_outweighs_the_refusal_of_another() {
    let first = Server::start(|_| status(503, "")).await;
    let down = Server::refused_url().await;
    let error = client(&[&first.url, &down]).list_realms().await.unwrap_err();
    assert!(matches!(error, ClientError::Status { code: 503 }), "{error}");
}

#[tokio::test]
async fn a_silent_node_is_a_timeout_and_not_repeated() {
    let silent = Server::start(|_| Answer::Silence).await;
    let second = Server::start(|_| value("{}")).await;
    let client = Client::builder()
        .urls([&silent.url, &second.url])
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = client.list_realms().await.unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }) && error.outcome_is_unknown(), "{error}");
    assert_eq!(second.received().len(), 0);
}

#[tokio::test]
async fn requests_go_round_robin_or_stay_with_one_node() {
    for (choice, expected) in [(UrlChoice::RoundRobin, (2, 2)), (UrlChoice::Pinned, (4, 0))] {
        let (first, second) = (Server::start(|_| ok(TRUE)).await, Server::start(|_| ok(TRUE)).await);
        let client = Client::builder().urls([&first.url, &second.url]).url_choice(choice).build().unwrap();
        for _ in 0..4 {
            client.check(&CheckRequest::user("alice", "1")).await.unwrap();
        }
        assert_eq!((first.received().len(), second.received().len()), expected, "{choice:?}");
    }
}

#[tokio::test]
async fn a_pinned_client_moves_on_when_its_node_is_gone_and_stays_there() {
    let down = Server::refused_url().await;
    let (second, third) = (Server::start(|_| ok(TRUE)).await, Server::start(|_| ok(TRUE)).await);
    let client = Client::builder()
        .urls([&down, &second.url, &third.url])
        .url_choice(UrlChoice::Pinned)
        .build()
        .unwrap();
    for _ in 0..3 {
        client.check(&CheckRequest::user("alice", "1")).await.unwrap();
    }
    assert_eq!((second.received().len(), third.received().len()), (3, 0));
}

#[tokio::test]
async fn health_is_asked_of_every_node() {
    let ready = Server::start(|_| ok("ok")).await;
    let learner = Server::start(|_| status(503, "no leader\n")).await;
    let down = Server::refused_url().await;
    let found = client(&[&ready.url, &learner.url, &down]).readyz().await;
    let summary: Vec<_> =
        found.iter().map(|node| (node.healthy, node.message.as_str(), node.error.is_some())).collect();
    assert_eq!(summary, [(true, "ok", false), (false, "no leader", false), (false, "", true)]);
    assert_eq!(ready.received()[0].target, "/readyz");
}
